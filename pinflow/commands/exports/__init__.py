"""What `pinflow export` can write, a format a module."""
