"""The output of a run: summary, table, log, files; redaction of secrets."""
