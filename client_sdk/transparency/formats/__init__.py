"""Formats that logs, witnesses and clients share: C2SP's and the bundle; pure, and of nobody's side."""
