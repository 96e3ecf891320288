"""Runs inside the image, under the image's own Python: makes every byte-code file anew where it does not fit.

Byte code with a time stamp in it would differ from bake to bake and be ignored at run time, as all times in the
image are one; so it is bound to its source by hash, and not checked at run time (the file system is verified).
"""

import importlib.util
import pathlib
import py_compile
import sys

HEADER = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")  # hash-based, unchecked
SKIP = ("/proc/", "/sys/", "/dev/", "/run/", "/tmp/")


def compiled(source):
    return pathlib.Path(importlib.util.cache_from_source(str(source)))


def refresh(source):
    target = compiled(source)
    wanted = HEADER + importlib.util.source_hash(source.read_bytes())
    if target.is_file() and target.read_bytes()[:16] == wanted:
        return 0
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(str(source), cfile=str(target), doraise=True, invalidation_mode=mode)
    except (py_compile.PyCompileError, SyntaxError):
        return 0  # templates and tests of other Python versions lie among the modules; nobody imports them
    return 1


def main(roots):
    sources = sorted(p for root in roots for p in pathlib.Path(root).rglob("*.py") if not str(p).startswith(SKIP))
    sources = [p for p in sources if p.is_file() and not p.is_symlink()]
    kept = {compiled(source) for source in sources}
    for root in roots:
        for stale in sorted(pathlib.Path(root).rglob("__pycache__/*")):
            if stale not in kept:
                stale.unlink()
    print(sum(refresh(source) for source in sources), "of", len(sources))


main(sys.argv[1:])
