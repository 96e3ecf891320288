"""How every command ends: its exit codes, which the epilog of `vitrine --help` explains."""

from __future__ import annotations

ACCEPTED, REFUSED, USAGE, NO_VERDICT = 0, 1, 2, 3
