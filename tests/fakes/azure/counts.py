"""What the fake of Azure was put through in this run of the tests, for the line at its end."""

from __future__ import annotations

from collections import Counter

COUNTS: Counter[str] = Counter()
