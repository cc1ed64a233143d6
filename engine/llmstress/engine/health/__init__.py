"""The state of this process and machine: event loop lag, memory, CPU times. Ends the process with its parent."""
