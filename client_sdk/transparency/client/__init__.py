"""What a client judges of a log and its publisher, what it remembers of both, and what it tells of that."""
