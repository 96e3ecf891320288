"""The lock-down self-check: runs once, as root, before the attester; nothing of it stays in memory."""
