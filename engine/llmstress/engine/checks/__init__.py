"""What is expected of an answer besides that it came: checks of its text, its length and how it ended."""
