"""How sessions live in this process."""
