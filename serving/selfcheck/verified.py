"""Checks: root and model come from file systems whose every block is compared with the measured hash."""

from __future__ import annotations

from serving.selfcheck.expect import expect
from serving.selfcheck.facts import MODEL, Facts

# "verity", version, data device, hash device, two block sizes, data blocks, hash start, algorithm, root hash, salt
_VERITY_FIELDS = 11


def root_is_verified(facts: Facts) -> None:
    """Require the root to be erofs, read-only, on dm-verity with the measured root hash, panic on corruption."""
    _verified(facts, "/", "vitrine.root=")


def model_is_verified(facts: Facts) -> None:
    """Require the same of the model's file system."""
    _verified(facts, MODEL, "vitrine.model=")


def _verified(facts: Facts, point: str, key: str) -> None:
    mount = next((mount for mount in facts.mounts if mount.point == point), None)
    expect(mount, f"nothing is mounted on {point}")
    assert mount is not None  # noqa: S101 - for the type checker; the line above has raised
    expect(mount.kind == "erofs", f"{point} is {mount.kind}")
    expect("ro" in mount.options and "rw" not in mount.options, f"{point} is writable")
    words = [word.removeprefix(key) for word in facts.read("proc/cmdline").split() if word.startswith(key)]
    expect(len(words) == 1, f"{key} is given {len(words)} times")
    root_hash, salt, blocks = words[0].split(":")
    fields = facts.tables[mount.device].split()
    expect(fields[:1] == ["verity"] and len(fields) >= _VERITY_FIELDS, f"{point} is not on dm-verity")
    wanted = ["4096", "4096", blocks, "0", "sha256", root_hash, salt]
    expect(fields[4:_VERITY_FIELDS] == wanted, f"{point} has another hash tree than the command line names")
    lacking = [word for word in ("panic_on_corruption", "panic_on_error") if word not in fields]
    expect(not lacking, f"{point} lacks {' and '.join(lacking)}")
