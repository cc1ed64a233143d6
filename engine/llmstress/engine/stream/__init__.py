"""One stream and its requests: what is stamped, read, decided and counted."""
