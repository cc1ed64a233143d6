"""Where the screen gets its run from."""
