"""``python -m tests.halves [FOLDER] ARGUMENTS``: run pytest on two halves of the tests at once, one a core.

Which test is in which half is fixed, and each half runs in its order: what fails fails again. The first half is shown
as it goes, the second when both are over.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
FIRST = ("provisioner", "roles", "gcp")
"""Trees of root file systems, and clouds: about as long as all others together. Of the clouds, Google's."""
NO_TESTS = 5  # pytest's status


def halves(top: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and files of each half; together they are all that pytest would collect in a folder."""
    found = sorted(path for path in top.iterdir() if path.is_dir() or path.name.startswith("test_"))
    first = [path for path in found if path.name in FIRST]
    return first, [path for path in found if path not in first]


def main(arguments: list[str]) -> int:
    """Run both; return the worse of their statuses. One half may have nothing of what was chosen, not both."""
    top = Path(arguments.pop(0)) if arguments and Path(arguments[0]).is_dir() else TESTS
    pytest = [sys.executable, "-m", "pytest", *arguments]
    commands = [[*pytest, *map(str, half)] for half in halves(top) if half]  # without a path pytest runs everything
    if len(commands) < 2:
        return max((subprocess.run(command, check=False).returncode for command in commands), default=NO_TESTS)
    first, second = commands
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(second, stdout=said, stderr=said) as beside:
        status = subprocess.run(first, check=False).returncode
        statuses = {status, beside.wait()}
        said.seek(0)
        sys.stdout.write(said.read())
    return max(statuses - {0, NO_TESTS}, default=min(statuses))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
