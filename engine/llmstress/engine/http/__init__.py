"""HTTP/1.1 as this client reads and writes it: requests, responses, bodies, server-sent events. No I/O."""
