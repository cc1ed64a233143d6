"""The coordinator: command line, options, checks, child processes, the course of a run, summary and output."""
