"""How a check of the self-check fails."""

from __future__ import annotations


class CheckFailed(Exception):  # noqa: N818 - it is no error of ours: checks.run() turns it into one
    """One check does not hold; the message says what was found."""


def expect(holds: object, found: str) -> None:
    """Fail the check with what was found, unless ``holds``."""
    if not holds:
        raise CheckFailed(found)


def expect_none(found: list[str], what: str) -> None:
    """Fail the check when anything was found; a long list is cut."""
    expect(not found, f"{what}: {', '.join(found[:8])}{', …' if len(found) > 8 else ''}")
