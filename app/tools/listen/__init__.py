"""`python -m app listen`: takes a voice to a recogniser, and what that hears to a running service."""
