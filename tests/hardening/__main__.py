"""`make hardening-numbers`: counts of the image before and after, and what independent judges say of it.

It writes the tables of docs/hardening/numbers.md and prints them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from provisioner.contents.bill import read_bill
from provisioner.gate.executables import shipped_executables
from provisioner.image.artefacts import BakedImage, open_image
from provisioner.progress import say
from tests.hardening import judges, page, trees
from tests.hardening.counts import COUNTS, count

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Count, ask the judges, write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.hardening", description=__doc__)
    parser.add_argument("image", type=Path, nargs="?", default=CHECKOUT / "build/local/image", help="a baked image")
    parser.add_argument("--cache", type=Path, default=CHECKOUT / "build/cache")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("root is needed: a root file system has other users' files")
    tables = measured(open_image(arguments.image), arguments.cache)
    page.PAGE.write_text(page.replace(page.PAGE.read_text(), tables))
    for told in tables.values():
        print(told)
    return 0


def measured(image: BakedImage, cache: Path) -> Mapping[str, str]:
    """Make every table."""
    with trees.scratch() as name:
        folder = Path(name)
        packages, base, tools = trees.locked(cache, progress=say)
        before = trees.bootstrapped(packages, base, folder / "before", progress=say)
        say("unpacking the image")
        after = trees.sealed(image, tools.tree, folder / "after")
        sysctl, config = folder / "sysctl", folder / "config"
        sysctl.write_text(trees.settings(after, (image.path / "cmdline").read_text()))
        config.write_bytes((base.folder / "config").read_bytes())
        busybox = tools.tree / "usr/bin/busybox"
        say("asking the judges")
        return {
            "counts": _counts(image, before, after),
            "executables": _executables(),
            "sizes": _sizes(image),
            **_lynis(judges.obtain("lynis", folder), before, after, busybox),
            **_kernel(judges.obtain("kernel-hardening-checker", folder), config, image.path / "cmdline", sysctl),
        }


def _counts(image: BakedImage, before: Path, after: Path) -> str:
    first, second = count(before), count(after)
    installed = [package for package in read_bill(image.path).packages if package.files is not None]
    left = sum(not package.is_gone for package in installed)
    rows: list[tuple[object, ...]] = [("packages of which something is left", len(installed), left)]
    return page.table(("", "before", "after"), [*rows, *((c.what, first[c.what], second[c.what]) for c in COUNTS)])


def _executables() -> str:
    rows = [(f"`{x.path}`", x.why, f"where there is `{x.where}`" if x.where else "") for x in shipped_executables()]
    return page.table(("executable", "why", ""), rows)


def _sizes(image: BakedImage) -> str:
    names = ("boot.raw", "uki.efi", "initrd", "linux", "model.raw")
    return page.table(("file", "MB"), ((name, f"{(image.path / name).stat().st_size / 1e6:.1f}") for name in names))


def _lynis(judge: judges.Judge, before: Path, after: Path, busybox: Path) -> dict[str, str]:
    first, second = (judges.judge_tree(judge, tree, busybox, page.skipped()) for tree in (before, after))
    rows = [(judge.version, tree, found.index, found.tests, len(found.said)) for tree, found in
            (("before", first), ("after", second))]  # fmt: skip
    said = page.grouped((test for test, _ in second.said), page.groups("lynis"))
    head = ("Lynis", "tree", "hardening index", "tests", "warnings and suggestions")
    return {"lynis": page.table(head, rows), "lynis_reasons": page.reasons_table(said)}


def _kernel(judge: judges.Judge, config: Path, cmdline: Path, sysctl: Path) -> dict[str, str]:
    lines = judges.judge_kernel(judge, config, cmdline, sysctl)
    kinds = {"kconfig": "configuration", "cmdline": "command line", "sysctl": "settings"}
    rows = [
        (
            judge.version,
            told,
            sum(line.holds for line in lines if line.kind == kind),
            sum(not line.holds for line in lines if line.kind == kind),
        )
        for kind, told in kinds.items()
    ]
    rows.append((judge.version, "all", sum(line.holds for line in lines), sum(not line.holds for line in lines)))
    failed = page.grouped((line.name for line in lines if not line.holds), page.groups("kernel"))
    head = ("kernel-hardening-checker", "of the", "OK", "not OK")
    return {"kernel": page.table(head, rows), "kernel_reasons": page.reasons_table(failed)}


if __name__ == "__main__":
    sys.exit(main())
