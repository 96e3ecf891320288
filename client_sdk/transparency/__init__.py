"""The public log of what a publisher released: reading, verifying and keeping it, and showing it to people."""
