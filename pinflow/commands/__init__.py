"""What the command line's longer commands do; the command line itself only parses and prints."""
