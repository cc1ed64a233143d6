"""What a run leaves behind: summary, table, log, files. Secrets are removed here."""
