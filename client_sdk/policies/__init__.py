"""Policies, one idea a file; ``client_sdk.policy`` has all their names."""
