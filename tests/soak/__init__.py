"""The service under load, faults and nonsense, as a process of its own: `python -m tests.soak --help`."""
