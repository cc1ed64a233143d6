"""What is asked of or told to the user over the panes."""
