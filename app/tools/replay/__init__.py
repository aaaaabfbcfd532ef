"""`python -m app replay FILE`: sends a recorded talk to a running service and shows what becomes of it."""
