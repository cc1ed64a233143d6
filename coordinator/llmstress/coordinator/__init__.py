"""The top floor: options, the processes of a run, its hub, its summary and verdict, the command line."""
