"""What each API says: how its requests are read, and what its answers, pings and errors look like. No HTTP, no I/O."""
