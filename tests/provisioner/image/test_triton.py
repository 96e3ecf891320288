"""Triton in the image names our backend, which is for one version of it."""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from provisioner.errors import BakeError
from provisioner.image import rootfs
from provisioner.image.triton import BACKEND, VERSION, exchange_backend
from provisioner.image.vllm_wheels import LOCK_FILE, Pin, parse_closure

ENTRIES = "[console_scripts]\nproton = x:main\n\n[triton.backends]\namd = triton.backends.amd\n"
STOCK = "nvidia = triton.backends.nvidia\n"
REPOSITORY = Path(__file__).resolve().parents[3]


def site(folder, entries=ENTRIES + STOCK, versions=(VERSION,)):
    for version in versions:
        info = folder / f"triton-{version}.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(entries)
    return folder


def test_the_stock_backend_makes_way_and_nothing_else_does(tmp_path):
    exchange_backend(site(tmp_path))
    text = (tmp_path / f"triton-{VERSION}.dist-info/entry_points.txt").read_text()
    assert text == f"{ENTRIES}nvidia = {BACKEND}\n"


@pytest.mark.parametrize(
    "versions", [(), ("3.7.0",), ("3.6.0.post1",), (VERSION, "3.7.0")], ids=["none", "later", "close", "two"]
)
def test_another_triton_than_the_backend_is_for(tmp_path, versions):
    with pytest.raises(BakeError, match=f"is for {VERSION}: read it anew"):
        exchange_backend(site(tmp_path, versions=versions))


@pytest.mark.parametrize(
    "entries",
    [
        ENTRIES,
        ENTRIES + STOCK + STOCK,
        ENTRIES + "nvidia = triton.backends.nvidia2\n",
        f"{ENTRIES}nvidia = {BACKEND}\n",
    ],
    ids=["none", "twice", "other", "already"],
)
def test_a_triton_that_names_its_backend_otherwise(tmp_path, entries):
    with pytest.raises(BakeError, match="does not name its backend"):
        exchange_backend(site(tmp_path, entries))


def test_a_triton_that_names_no_backends(tmp_path):
    (site(tmp_path) / f"triton-{VERSION}.dist-info/entry_points.txt").unlink()
    with pytest.raises(BakeError, match="does not name its backend"):
        exchange_backend(tmp_path)


def test_the_locked_triton_is_the_one_that_the_backend_is_for():
    pins = parse_closure((REPOSITORY / LOCK_FILE).read_text())
    assert [pin.version for pin in pins if pin.name == "triton"] == [VERSION]


def test_the_backend_has_what_triton_imports():
    found = importlib.util.find_spec(BACKEND)
    assert found is not None
    folder = Path(found.submodule_search_locations[0])
    assert {"compiler.py", "driver.py"} <= {path.name for path in folder.iterdir()}


def test_a_bake_for_gpus_exchanges_it(tmp_path, monkeypatch):
    wheel = tmp_path / f"triton-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"triton-{VERSION}.dist-info/entry_points.txt", ENTRIES + STOCK)
    driver, tree = tmp_path / "driver", tmp_path / "tree"
    for folder in (driver, tree / rootfs.ENGINE_SITE):
        folder.mkdir(parents=True)
    monkeypatch.setattr(rootfs, "kernel_release", lambda _: "6.12")
    monkeypatch.setattr(rootfs, "obtain_driver", lambda *_, **__: SimpleNamespace(tree=driver))
    monkeypatch.setattr(rootfs, "obtain_closure", lambda *_, **__: tmp_path)
    made = SimpleNamespace(tree=tree, lock=None)
    pins = (Pin("triton", VERSION, wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest()),)
    rootfs._add_gpus(made, pins, SimpleNamespace(cache=tmp_path), progress=lambda _: None)
    entries = tree / rootfs.ENGINE_SITE / f"triton-{VERSION}.dist-info/entry_points.txt"
    assert entries.read_text() == f"{ENTRIES}nvidia = {BACKEND}\n"
