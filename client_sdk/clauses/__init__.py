"""Clauses of policies, one file a kind of evidence: what is acceptable, over facts that are already genuine."""
