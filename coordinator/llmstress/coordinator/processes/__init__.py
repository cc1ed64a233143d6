"""Child processes and sockets: workers, mock, screen, the connection to workers and viewers."""
