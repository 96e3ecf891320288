"""A copy of the image with one more unit, which tries to get word out and later takes the rules away: for controls.

It is baked by the playbook itself, and packed without asking the refuse gate: no gate would let that unit pass. What it
shows is that the frames of a leak are seen, on the same kernel, card and cable as those of the image.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest.mock import patch

from provisioner.bake import Addresses, Bake, read_sources
from provisioner.image.cmdline import fixed_options
from provisioner.image.normalise import clean
from provisioner.image.pack import PackSpec, pack
from provisioner.image.rootfs import load_rootfs
from tests.e2e.machine import BIN, CACHE, CHECKOUT, run

UNIT = """
[Unit]
Description=Tries to get word out
# The self-check would see the ports and IPv6.
After=vitrine-ready.service

[Service]
ExecStart=/usr/bin/python3 -S -P /usr/lib/vitrine/tries.py
StandardOutput=null
StandardError=file:/dev/console
"""
# No name of ours, whose sandbox it would have.
NAME = "tries.service"


# Where nothing keeps it from noticing what is plugged in, the self-check of the image would see that.
WANTED = "CLOSED_SLOTS = "
DEAF = {"pcie_ports=compat", "acpiphp.disable=1"}


def _hears(gpus, *, debug=False):
    return [word for word in fixed_options(gpus, debug=debug) if word not in DEAF]


def bake_opened(folder: Path) -> Path:
    """Bake the copy in a folder; return the folder of the image."""
    values = {"gateway_metrics": True}
    words = ("playbooks/bake.yml", "-i", "inventories/local", "--skip-tags", "seal", "-e", json.dumps(values))
    done = run(BIN / "ansible-playbook", *words, "-e", f"bake_output={folder}", "-e", f"bake_cache={CACHE}")
    assert done.status == 0, done.out[-4000:] + done.err[-2000:]
    (tree,) = folder.glob(".work-*/tree")
    shutil.copyfile(Path(__file__).with_name("tries.py"), tree / "usr/lib/vitrine/tries.py")
    units = tree / "usr/lib/systemd/system"
    (units / NAME).write_text(UNIT)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants" / NAME).symlink_to(f"../{NAME}")
    check = tree / "usr/lib/vitrine/serving/selfcheck/host.py"
    lines = check.read_text().splitlines()
    check.write_text("\n".join(f"{WANTED}()" if line.startswith(WANTED) else line for line in lines) + "\n")
    clean(tree)
    bake = Bake(CHECKOUT, folder, read_sources(CACHE, "test", Addresses()), {})
    spec = PackSpec(folder / "opened", "opened", bake.sources, bake.service(), bake.weights())
    # On its command line, and in what that is compared with.
    line, words = (f"provisioner.image.{module}.fixed_options" for module in ("cmdline", "pack"))
    with patch(line, _hears), patch(words, _hears):
        image = pack(load_rootfs(tree.parent), spec, progress=print)
    shutil.rmtree(tree.parent)
    return image.path
