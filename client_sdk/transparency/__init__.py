"""The public log of releases: its formats, and what a client asks of it (rules R2, R3, R5, R6)."""
