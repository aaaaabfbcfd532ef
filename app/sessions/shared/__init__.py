"""Sessions that several processes share, in Redis: one of them has a session and writes it down for the others."""
