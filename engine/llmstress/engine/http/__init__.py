"""HTTP/1.1 without I/O: building requests; parsing responses, bodies and server-sent events."""
