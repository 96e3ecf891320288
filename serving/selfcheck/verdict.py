"""How the self-check hands over to the attester: a verdict that names every check, and logs beside it."""

from __future__ import annotations

import json
from pathlib import Path

from serving.errors import SelfCheckError
from serving.selfcheck.checks import NAMES

PASSED, EVENT_LOG, CCEL = "passed.json", "event_log", "ccel"
_MAX_VERDICT = 64 * 1024


def write_passed(folder: Path, passed: tuple[str, ...], event_log: bytes, ccel: bytes) -> None:
    """Write the firmware's logs, each empty where there is none, and then the verdict."""
    (folder / EVENT_LOG).write_bytes(event_log)
    (folder / CCEL).write_bytes(ccel)
    (folder / PASSED).write_text(json.dumps({"version": 1, "passed": list(passed)}))


def read_passed(folder: Path) -> None:
    """Return when the self-check has passed with exactly the checks that this code knows.

    Raises:
        SelfCheckError: otherwise.
    """
    try:
        with (folder / PASSED).open("rb") as file:
            found = json.loads(file.read(_MAX_VERDICT))
    except (OSError, ValueError) as error:
        raise SelfCheckError((("verdict", f"not readable ({type(error).__name__})"),)) from error
    if found != {"version": 1, "passed": list(NAMES)}:
        raise SelfCheckError((("verdict", "it does not name every check"),))
