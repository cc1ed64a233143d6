"""The processes of a run and the sockets between them."""
