"""Issuing access tokens: what the operator does for whoever may ask. The VM verifies them, ``serving.access``."""
