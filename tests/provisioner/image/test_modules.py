"""Kernel modules of the initrd: dependency order, built-in ones, missing ones."""

from __future__ import annotations

import json
import lzma

import pytest

from provisioner.errors import BakeError
from provisioner.image.modules import (
    initrd_modules,
    load_order,
    parse_dependencies,
    strip_root_modules,
    wanted_modules,
)
from provisioner.image.packages import data_file

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


@pytest.fixture
def modules(tmp_path):
    folder = tmp_path / "usr/lib/modules/6.12"
    needs = {
        "kernel/net/nf_tables.ko.xz": "kernel/lib/needed.ko.xz",
        **{f"kernel/net/{name}.ko.xz": "kernel/net/nf_tables.ko.xz" for name in ROOT if name != "nf_tables"},
        "kernel/lib/needed.ko.xz": "",
        "kernel/crypto/cipher.ko.xz": "",
        "kernel/drivers/usb-storage.ko.xz": "",
    }
    for path in needs:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    (folder / "modules.dep").write_text("".join(f"{path}: {need}\n" for path, need in needs.items()))
    (folder / "modules.builtin").write_text("kernel/fs/ext4.ko\n")
    return folder


def left(folder):
    return {path.name.partition(".")[0] for path in folder.rglob("*.ko.xz")}


ROOT = tuple(json.loads(data_file("root_modules.json")))


def test_the_root_keeps_what_the_firewall_loads_and_needs(modules, tmp_path):
    assert strip_root_modules(tmp_path, "6.12", crypto=False) == 2
    assert left(modules) == {*ROOT, "needed"}


def test_ciphers_stay_where_a_driver_may_ask_for_them(modules, tmp_path):
    strip_root_modules(tmp_path, "6.12", crypto=True)
    assert left(modules) == {*ROOT, "needed", "cipher"}


def test_a_kernel_without_a_module_of_the_firewall_is_refused(modules, tmp_path):
    text = (modules / "modules.dep").read_text()
    (modules / "modules.dep").write_text("".join(line for line in text.splitlines(True) if "nft_ct" not in line))
    with pytest.raises(BakeError, match="no module nft_ct"):
        strip_root_modules(tmp_path, "6.12", crypto=False)


def test_what_the_root_keeps_the_initrd_has_loaded():
    assert set(ROOT) <= set(wanted_modules())
