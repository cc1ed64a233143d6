"""The state of this process and machine (lag of the event loop, memory, CPU times), and the end with the parent."""
