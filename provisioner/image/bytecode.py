"""Python byte code in a tree: made by the tree's own Python, the same in every bake."""

from __future__ import annotations

from pathlib import Path

from provisioner.image.chroot import run_inside
from provisioner.image.packages import data_file

_ROOTS = ("/usr/lib", "/usr/share")


def compile_tree(tree: Path) -> str:
    """Compile what changed since the last time and drop byte code without a source; returns how much was done."""
    # Without the site module nothing of the tree's own packages runs before our script.
    argv = ["python3", "-I", "-S", "-B", "-", *_ROOTS]
    output = run_inside(tree, argv, what="compiling Python files", writable=True, stdin=data_file("compile.py.txt"))
    return output.decode().strip()
