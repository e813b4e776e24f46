"""Style: the same hand rather than the same thing; and pictures redrawn by another hand."""
