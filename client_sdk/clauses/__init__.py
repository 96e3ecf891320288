"""Clauses of a policy, one file for each kind of evidence: what a caller finds acceptable in verified facts."""
