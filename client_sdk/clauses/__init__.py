"""Clauses of policies: what a caller finds acceptable about evidence that ``verify/`` found genuine."""
