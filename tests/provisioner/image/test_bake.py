"""Whole bakes and their faults, with real tools: the tools tree comes from the cache, or is made (minutes, network)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from provisioner.errors import BakeError
from provisioner.image.artefacts import Service, check_image
from provisioner.image.debs import obtain
from provisioner.image.files import share
from provisioner.image.model import model_card
from provisioner.image.pack import PackSpec, find_image, pack
from provisioner.image.packages import EVERY_BAKE, shipped_lock
from provisioner.image.rootfs import load_rootfs, prepare_rootfs
from provisioner.image.sources import Sources
from provisioner.image.weights import read_weights

REPOSITORY = Path(__file__).parents[3]
CACHE = REPOSITORY / "build/cache"
SERVICE = Service(8443)
MODELS = [{"name": model_card()["name"], "engine": "llamacpp"}]
WEIGHTS = read_weights(MODELS, [], model_card())

pytestmark = [pytest.mark.root, pytest.mark.slow]


def quiet(_line):
    pass


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    return prepare_rootfs(tmp_path_factory.mktemp("bake") / "work", Sources(CACHE), progress=quiet)


def spec(output):
    return PackSpec(output=output, seed="5" * 64, sources=Sources(CACHE), service=SERVICE, weights=WEIGHTS)


def mounts():
    return Path("/proc/self/mountinfo").read_text()


def test_a_second_packing_of_one_tree_gives_the_same_bytes(rootfs, tmp_path):
    first, second = (
        pack(rootfs, spec(tmp_path / "a"), progress=quiet),
        pack(rootfs, spec(tmp_path / "b"), progress=quiet),
    )
    assert first.artefacts == second.artefacts
    check_image(second)


def test_a_full_disk_ends_in_a_typed_error_and_leaves_nothing(rootfs, tmp_path):
    before = mounts()
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small], check=True)
    try:
        with pytest.raises(BakeError, match="the disk is full"):
            pack(rootfs, spec(small / "image"), progress=quiet)
        assert not [path for path in small.iterdir() if path.is_dir()]
    finally:
        subprocess.run(["umount", small], check=True)
    assert mounts() == before


@pytest.mark.parametrize("seconds", [0.5, 4.0])
def test_a_killed_bake_can_be_run_again(rootfs, tmp_path, seconds):
    script = (
        "import sys; from pathlib import Path\n"
        "from provisioner.image.pack import *; from provisioner.image.rootfs import load_rootfs\n"
        "from provisioner.image.artefacts import Service; from provisioner.image.sources import Sources\n"
        "from provisioner.image.weights import read_weights; from provisioner.image.model import model_card\n"
        "work, output, cache = map(Path, sys.argv[1:])\n"
        f"weights = read_weights({MODELS!r}, [], model_card())\n"
        f"spec = PackSpec(output, {'5' * 64!r}, Sources(cache), Service(8443), weights)\n"
        "pack(load_rootfs(work), spec, progress=print)\n"
    )
    before = mounts()
    argv = [sys.executable, "-c", script, str(rootfs.workdir), str(tmp_path / "image"), str(CACHE)]
    killed = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    time.sleep(seconds)
    killed.kill()
    killed.wait()
    assert find_image(tmp_path / "image") is None
    image = pack(load_rootfs(rootfs.workdir), spec(tmp_path / "image"), progress=quiet)
    check_image(image)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["image"]
    assert mounts() == before


@pytest.mark.parametrize("mode", ["test", "release"])
def test_no_network_while_baking_is_a_typed_error(tmp_path, mode):
    script = (
        "import sys; from pathlib import Path\n"
        "from provisioner.image.debs import obtain; from provisioner.image.packages import shipped_lock\n"
        "from provisioner.image.sources import Sources\n"
        "obtain(shipped_lock(), Sources(Path(sys.argv[1]), sys.argv[2]), progress=lambda _: None)\n"
    )
    argv = ["unshare", "--net", sys.executable, "-c", script, str(tmp_path), mode]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "BakeError" in done.stderr
    assert "is there a network" in done.stderr


def test_a_package_changed_in_the_cache_is_refused(tmp_path):
    """The cache is not trusted: a base tree made of it is checked file by file."""
    real = obtain(shipped_lock(), Sources(CACHE, "release"), progress=quiet)
    (tmp_path / "debs").mkdir()
    for package in real.lock.files(EVERY_BAKE):
        share(real.path(package), tmp_path / "debs" / f"{package.sha256}.deb")
    victim = next(package for package in real.lock.image.packages if package.name == "bash")
    path = tmp_path / "debs" / f"{victim.sha256}.deb"
    data = bytearray(path.read_bytes())
    path.unlink()
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BakeError, match="bash: the lock says sha256"):
        prepare_rootfs(tmp_path / "work", Sources(tmp_path, "release"), progress=quiet)
