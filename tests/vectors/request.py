"""``python -m tests.vectors.request NAME``: print the request of a vector, as a stage of conformance reads it.

NAME is an id of ``manifest.json``, or a stage: then it is that stage's first control, which is accepted.
"""

from __future__ import annotations

import sys

from tests.vectors.manifest import Vector, vectors


def named(name: str) -> Vector:
    """Return the vector of an id, or the first control of a stage.

    Raises:
        SystemExit: there is none.
    """
    found = [one for one in vectors() if name == one.id or (name == one.stage and not one.rules)]
    if not found:
        stages = ", ".join(sorted({one.stage for one in vectors()}))
        raise SystemExit(f"no vector {name!r}: expected an id of tests/vectors/manifest.json, or a stage of {stages}")
    return found[0]


def main(arguments: list[str]) -> int:
    """Print one request; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write(
            "usage: python -m tests.vectors.request NAME, an id of tests/vectors/manifest.json or a stage\n"
        )
        return 2
    sys.stdout.buffer.write(named(arguments[0]).data + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
