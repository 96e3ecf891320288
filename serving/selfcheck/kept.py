"""Checks: nothing is kept, and nothing that is written can be run."""

from __future__ import annotations

from serving.selfcheck.expect import expect, expect_none
from serving.selfcheck.facts import Facts
from serving.selfcheck.lists import FILES, MOUNTS


def mounts_are_known(facts: Facts) -> None:
    """Require known file systems at known places; no set-user-id bit counts, and what is writable cannot be executed.

    It is what PID 1 sees. What a unit mounts for itself is its sandbox's business.
    """
    unknown = [f"{mount.kind} on {mount.point}" for mount in facts.mounts if MOUNTS.get(mount.point) != mount.kind]
    expect_none(unknown, "unknown mounts")
    folders = [mount for mount in facts.mounts if mount.point not in FILES]
    expect_none([mount.point for mount in folders if "nosuid" not in mount.options], "without nosuid")
    both = [mount.point for mount in facts.mounts if not {"ro", "noexec"} & mount.options]
    expect_none(both, "writable and executable")


def nothing_is_swapped(facts: Facts) -> None:
    """Require that no memory can reach a disk."""
    lines = facts.read("proc/swaps").splitlines()
    expect(len(lines) == 1, f"{len(lines) - 1} swap areas")


def nothing_is_logged(facts: Facts) -> None:
    """Require that no journal is kept and no log daemon listens."""
    for path in ("run/log/journal", "var/log/journal", "run/systemd/journal/stdout", "run/systemd/journal/dev-log"):
        expect(not (facts.root / path).exists(), f"/{path} exists")


def clock_is_sane(facts: Facts) -> None:
    """Require a clock that does not lie before the image was made."""
    made = (facts.root / "usr/lib/clock-epoch").stat().st_mtime
    expect(facts.now >= made, "the clock lies before the image")
