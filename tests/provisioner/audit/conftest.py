"""One site for all tests of the audit, copied for each; and images that differ from its own in one thing."""

from __future__ import annotations

import shutil

import pytest

from provisioner.audit import audit as module
from provisioner.audit.gathering import gather
from provisioner.image import cpio
from tests.provisioner.audit import site as sites
from tests.provisioner.contents import tiny


def quiet(_line):
    pass


@pytest.fixture(scope="session")
def pristine(tiny_image, tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    source, cache = sites.write_checkout(root / "source"), sites.write_cache(root / "cache")
    copy = shutil.copytree(tiny_image, root / "image")
    sites.describe(copy, source)
    gather(copy, source, cache, root / "archive", weights={}, progress=quiet)
    return root


@pytest.fixture
def site(pristine, tmp_path):
    """A site of the test's own."""
    root = shutil.copytree(pristine, tmp_path / "site")
    release = sites.release_of(root / "image")
    return sites.Site(root / "source", root / "cache", root / "image", root / "archive", release)


@pytest.fixture(scope="session")
def other(tools, tiny_tree, pristine, tmp_path_factory):
    """An image of a tree in which things were changed, added, taken away, and given other rights."""
    root = tmp_path_factory.mktemp("other")
    changed = shutil.copytree(tiny_tree, root / "tree", symlinks=True)
    (changed / "usr/lib/vitrine/firewall.nft").write_bytes(b"table inet vitrine {\n  policy accept;\n}\n")
    (changed / "noise").write_bytes((changed / "noise").read_bytes()[:-1] + b"!")
    (changed / "added").write_bytes(b"new")
    (changed / "more").unlink()
    (changed / "block").chmod(0o755)
    (changed / "bin").unlink()
    (changed / "bin").symlink_to("usr")
    initrd = (*tiny.INITRD[:1], cpio.file("init", b"#!/bin/evil\n", 0o755), *tiny.INITRD[2:])
    made = tiny.make(root / "image", tools, changed, seed="6" * 64, initrd=initrd, words="debug")
    sites.describe(made, pristine / "source")
    return made


@pytest.fixture
def rebuilt(monkeypatch):
    """Say what the rebuild gives: a real one takes minutes, and is in tests/slow."""
    asked = []

    def becomes(image):
        monkeypatch.setattr(module, "rebuild", lambda *words, **_: (asked.append(words), image)[1])
        return asked

    return becomes
