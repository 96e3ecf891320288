"""``make mutants``: which changes of the verifier nobody notices. With names of files, only theirs; ``--jobs 2``.

Exit status: 0 when every survivor is explained in ``explained.json`` and nothing there is out of date, else 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.hunt import TESTS, Hunt
from tests.mutants.mutate import SOURCES

EXPLAINED = Path(__file__).with_name("explained.json")


def main() -> int:
    """Hunt, and say what is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="files of the verifier (all)")
    parser.add_argument("--jobs", type=int, default=2, choices=(1, 2))
    arguments = parser.parse_args()
    files = [file for file in SOURCES if not arguments.files or any(name in file for name in arguments.files)]
    hunt = Hunt(files, arguments.jobs)
    pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *TESTS], plugins=[hunt])
    return report(hunt, whole=not arguments.files)


def report(hunt: Hunt, *, whole: bool) -> int:
    """Print the survivors and the figures."""
    explained = json.loads(EXPLAINED.read_text())
    survivors = [mutant for mutant in hunt.mutants if not hunt.noticed[mutant.key]]
    unexplained = [mutant for mutant in survivors if mutant.key not in explained]
    for mutant in unexplained:
        print(f"survivor: {mutant.file}:{mutant.line} {mutant.rule} {mutant.function} [{mutant.kind}] {mutant.what}")
    stale = sorted(explained.keys() - {mutant.key for mutant in survivors}) if whole else []
    for key in stale:
        print(f"explained, but noticed or gone: {key}")
    by, kinds = Counter(hunt.noticed.values()), Counter(mutant.kind for mutant in hunt.mutants)
    print(f"{len(hunt.mutants)} mutants: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}")
    print(
        f"noticed by vectors: {by['vector']}; by tests alone: {by['test']}; "
        f"explained: {len(survivors) - len(unexplained)}; survivors: {len(unexplained)}"
    )
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    sys.exit(main())
