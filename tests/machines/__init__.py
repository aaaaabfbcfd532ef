"""What `make machines` tries before a release: other Pythons, an old pip, a busy machine, and the image itself."""
