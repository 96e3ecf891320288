"""Triton's backend for NVIDIA's GPUs in the engine's wheels, exchanged for one that needs no C compiler.

Triton finds backends by entry points. The one line that names the stock backend is made to name ours, which is written
for one version of Triton and refuses to be told of another: what its C does may change with every release.
"""

from __future__ import annotations

from pathlib import Path

from provisioner.errors import BakeError

VERSION = "3.6.0"
BACKEND = "serving.engines.triton_nvidia"
_STOCK, _OURS = "nvidia = triton.backends.nvidia", f"nvidia = {BACKEND}"


def exchange_backend(site: Path) -> None:
    """Name our backend in the Triton that is unpacked in ``site``.

    Raises:
        BakeError: there is another version, or it names its backends otherwise.
    """
    path = site / f"triton-{VERSION}.dist-info" / "entry_points.txt"
    found = sorted(folder.name for folder in site.glob("triton-*.dist-info"))
    if found != [path.parent.name]:
        raise BakeError(f"the engine's wheels have {found or 'no Triton'}; {BACKEND} is for {VERSION}: read it anew")
    lines = path.read_text().splitlines() if path.is_file() else []
    if lines.count(_STOCK) != 1:
        raise BakeError(f"Triton {VERSION} does not name its backend as {_STOCK!r}: read {BACKEND} anew")
    path.write_text("".join(f"{_OURS if line == _STOCK else line}\n" for line in lines))
