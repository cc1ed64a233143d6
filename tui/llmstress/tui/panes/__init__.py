"""The tabs of the screen, and the bars around them."""
