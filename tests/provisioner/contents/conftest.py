"""The tools tree, and a tiny image that is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree
from tests.provisioner.contents import tiny

CACHE = Path(__file__).resolve().parents[3] / "build/cache"


@pytest.fixture(scope="session")
def tools():
    """The tools tree of this checkout's lock, from the cache, or made now (minutes, network)."""
    return tools_tree(Sources(CACHE), progress=lambda _: None).tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    return tiny.plant(tmp_path_factory.mktemp("tree") / "root")


@pytest.fixture(scope="session")
def image(tools, tree, tmp_path_factory):
    """A tiny image; nobody writes to it."""
    return tiny.make(tmp_path_factory.mktemp("image") / "image", tools, tree)
