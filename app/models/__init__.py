"""What is said and decided: no I/O, no clock."""
