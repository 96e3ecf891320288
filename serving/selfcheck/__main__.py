"""``python3 -m serving.selfcheck``: check the lock-down of this boot, write the verdict for the attester.

Exit 0: passed, verdict and logs written. Exit 1: at least one check failed, or could not be carried out; the unit then
powers the machine off. Nothing is printed but the names and reasons of failed checks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from serving.errors import SelfCheckError
from serving.selfcheck.checks import run
from serving.selfcheck.facts import FIRMWARE_LOG, TDX_LOG, collect, read_log
from serving.selfcheck.verdict import write_passed


def main(arguments: list[str] | None = None) -> int:
    """Run the self-check with the options of the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="serving.selfcheck")
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        passed = run(collect(options.root))
        logs = read_log(options.root, FIRMWARE_LOG), read_log(options.root, TDX_LOG)
        write_passed(options.output, passed, *logs)
    except (SelfCheckError, OSError) as error:
        sys.stderr.write(f"self-check: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
