"""Kernel modules of the initrd: dependency order, built-in ones, missing ones."""

from __future__ import annotations

import lzma

import pytest

from provisioner.errors import BakeError
from provisioner.image.modules import (
    initrd_modules,
    load_order,
    parse_dependencies,
    wanted_modules,
)

DEP = """\
kernel/scsi/scsi_common.ko.xz:
kernel/scsi/scsi_mod.ko.xz: kernel/scsi/scsi_common.ko.xz
kernel/hv_storvsc.ko.xz: kernel/scsi/scsi_mod.ko.xz kernel/scsi/scsi_common.ko.xz kernel/hv/hv_vmbus.ko.xz
kernel/hv/hv_vmbus.ko.xz:
kernel/md/dm-verity.ko.xz: kernel/md/dm-mod.ko.xz
kernel/md/dm-mod.ko.xz:
"""


def test_each_module_comes_after_what_it_needs_and_once():
    needs = parse_dependencies(DEP)
    order = load_order(("hv_storvsc", "dm-verity", "hv_vmbus"), needs, set())
    assert len(set(order)) == len(order) == 6
    for path in order:
        assert all(order.index(need) < order.index(path) for need in needs[path])


def test_dashes_and_underscores_are_one():
    assert load_order(("dm_verity",), parse_dependencies(DEP), set())[-1] == "kernel/md/dm-verity.ko.xz"


def test_a_built_in_module_needs_no_file():
    assert load_order(("nvme",), parse_dependencies(DEP), {"nvme"}) == ()


def test_a_module_that_the_kernel_lacks_is_refused():
    with pytest.raises(BakeError, match="the kernel has no module sev_guest"):
        load_order(("sev-guest",), parse_dependencies(DEP), set())


@pytest.mark.parametrize(
    "module",
    [
        "virtio_blk",
        "virtio_net",
        "nvme",
        "gve",
        "hv_storvsc",
        "hv_netvsc",
        "mana",
        "tdx-guest",
        "sev-guest",
        "dm-verity",
    ],
)
def test_every_platforms_modules_are_wanted(module):
    assert module in wanted_modules()


def test_a_module_with_an_unknown_compression_is_refused(tmp_path):
    folder = tmp_path / "usr/lib/modules/6.12"
    folder.mkdir(parents=True)
    names = [name.replace("-", "_") for name in wanted_modules()]
    (folder / "modules.builtin").write_text("\n".join(f"kernel/{name}.ko" for name in names if name != "erofs"))
    (folder / "modules.dep").write_text("kernel/erofs.ko.zst:\n")
    with pytest.raises(BakeError, match=r"erofs.ko.zst: expected a module compressed with xz"):
        initrd_modules(tmp_path, "6.12")
    (folder / "modules.dep").write_text("kernel/erofs.ko.xz:\n")
    (folder / "kernel").mkdir()
    (folder / "kernel/erofs.ko.xz").write_bytes(lzma.compress(b"module, signature"))
    (module,) = initrd_modules(tmp_path, "6.12")
    assert (module.filename, module.data) == ("erofs.ko", b"module, signature")


def test_a_cipher_is_there_before_the_driver_that_asks_for_it():
    """Nothing answers a driver that asks the kernel for a module: without AES-GCM sev-guest finds no firmware."""
    order = wanted_modules()
    assert all(order.index(cipher) < order.index("sev-guest") for cipher in ("aesni-intel", "gcm", "ghash-generic"))
