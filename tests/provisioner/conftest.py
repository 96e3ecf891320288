"""What a client would be given of a deployment that is on no machine; and a tiny image that real tools made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.acceptance import Target, Trust
from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree
from tests.fakes.simulated_vm import default_ca, publisher_key, release, signed
from tests.provisioner.contents import tiny
from tests.provisioner.status.conftest import public_pem

CACHE = Path(__file__).resolve().parents[2] / "build/cache"


@pytest.fixture
def target(tmp_path):
    """A deployment's files, and an address where nobody is."""
    found = Target(
        "https://127.0.0.1:9",
        tmp_path / "release.json",
        tmp_path / "publisher.pub",
        Trust("simulated", tmp_path / "tpm-ca.pem"),
    )
    found.release.write_bytes(signed(release()))
    found.publisher.write_bytes(public_pem(publisher_key()))
    found.trust.file.write_bytes(default_ca().pem)
    return found


@pytest.fixture(scope="session")
def tools():
    """The tools tree of this checkout's lock, from the cache, or made now (minutes, network)."""
    return tools_tree(Sources(CACHE), progress=lambda _: None).tree


@pytest.fixture(scope="session")
def tiny_tree(tmp_path_factory):
    """What is in the root of the tiny image."""
    return tiny.plant(tmp_path_factory.mktemp("tree") / "root")


@pytest.fixture(scope="session")
def tiny_image(tools, tiny_tree, tmp_path_factory):
    """A tiny image; nobody writes to it."""
    return tiny.make(tmp_path_factory.mktemp("image") / "image", tools, tiny_tree)
