"""The GPU driver: for the image's own kernel, from the lock alone; its build is tried by a bake."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.errors import BakeError
from provisioner.image import driver
from provisioner.image.debs import driver_wanted
from provisioner.image.driver import PATCHES, SOURCE, driver_key, driver_version, patch_source
from provisioner.image.packages import Tree, shipped_lock

LOCK = shipped_lock()
KERNEL = next(name for name in LOCK.image.unpacked if name.startswith("linux-image-")).removeprefix("linux-image-")


def test_the_locks_headers_are_those_of_the_images_kernel():
    assert f"linux-headers-{KERNEL}" in LOCK.driver.unpacked
    versions = {p.version for p in LOCK.image.packages if p.name == f"linux-image-{KERNEL}"}
    assert {
        p.version for p in LOCK.driver.packages if p.name.startswith(("linux-headers-", "linux-kbuild-"))
    } == versions


def test_every_part_of_the_driver_has_one_version():
    found = {p.name: p.version for p in LOCK.driver.packages if "nvidia" in p.name or p.name == "libcuda1"}
    assert len(found) == 5
    assert {version.partition("-")[0] for version in found.values()} == {driver_version(LOCK)}


def test_no_part_of_the_driver_or_its_compiler_is_installed_into_the_image():
    names = {p.name for p in LOCK.image.packages}
    assert not [name for name in names if "nvidia" in name or name.startswith(("gcc-1", "make", "linux-headers"))] or (
        {name for name in names if name.startswith("gcc-1")} == {"gcc-14-base"}
    )


@pytest.mark.parametrize(
    "unpacked", [(), ("linux-image-6.1-amd64",), ("linux-image-a-cloud-amd64", "linux-image-b-cloud-amd64")]
)
def test_no_kernel_or_two_have_no_headers(unpacked):
    with pytest.raises(BakeError, match="expected one kernel"):
        driver_wanted(Tree(packages=LOCK.image.packages, unpacked=unpacked))


def test_headers_follow_the_kernel():
    wanted = driver_wanted(Tree(packages=(), unpacked=("linux-image-9.9+deb-cloud-amd64",)))
    assert {"linux-headers-9.9+deb-cloud-amd64", "linux-headers-9.9+deb-common", "linux-kbuild-9.9+deb"} <= set(
        wanted.unpack
    )
    assert "gcc-14" in wanted.install


def test_a_lock_without_a_driver():
    packages = tuple(p for p in LOCK.driver.packages if p.name != SOURCE)
    with pytest.raises(BakeError, match="no version of"):
        driver_version(replace(LOCK, driver=Tree(packages, ())))


def test_the_key_follows_packages_patches_and_options(monkeypatch):
    keys = {driver_key(LOCK), driver_key(replace(LOCK, epoch=LOCK.epoch + 1))}
    monkeypatch.setattr(driver, "PATCHES", ())
    keys.add(driver_key(LOCK))
    monkeypatch.setattr(driver, "ORDER", "nvidia.ko\n")
    assert len(keys | {driver_key(LOCK)}) == 4


def test_a_patch_is_applied_once_and_refuses_another_source(tmp_path):
    for patch in PATCHES:
        (tmp_path / patch.file).parent.mkdir(exist_ok=True)
        (tmp_path / patch.file).write_text(f"r = {patch.old};\n")
    patch_source(tmp_path)
    assert (tmp_path / PATCHES[0].file).read_text() == f"r = {PATCHES[0].new};\n"
    with pytest.raises(BakeError, match="does not fit"):
        patch_source(tmp_path)


def test_the_initrd_loads_what_is_built():
    names = [line.split()[0] for line in driver.ORDER.splitlines()]
    assert names == [f"{name}.ko" for name in driver.MODULES]
