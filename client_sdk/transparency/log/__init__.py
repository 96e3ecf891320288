"""A log: its tree and entries, one's own that is written and served, anybody's that is read, and its pages."""
