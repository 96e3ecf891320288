"""``python -m tests.bench.triton``: what a launch of a kernel costs through Triton's own driver and through ours.

On a library that only writes down what it is asked: what Python and C cost before the GPU's driver, nothing of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.fakes.fake_cuda import build
from tests.fakes.triton_site import drive, exchange, unpack, with_compiler


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("ours", "home"):
            (folder / part).mkdir()
        library, site = build(folder), unpack(folder)
        stock = drive(library, folder / "home", site, how="time", **with_compiler(library))
        ours = drive(library, folder / "home", exchange(site, folder / "ours"), site, how="time")
        print(f"a launch of ten arguments: {float(stock.stdout):.1f} µs of a processor through Triton's own driver")
        print(f"                           {float(ours.stdout):.1f} µs through ours")


if __name__ == "__main__":
    main()
