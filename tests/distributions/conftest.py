"""Every distribution, built once for the tests that look into it."""

from __future__ import annotations

import pytest

from tests.distributions.building import PROJECTS, Surroundings, built, copied


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("tree") / "vitrine", Surroundings())


@pytest.fixture(scope="session")
def built_files(tree, tmp_path_factory):
    """The files of each distribution, by its name."""
    out = tmp_path_factory.mktemp("built")
    return {project: built(tree, project, out / project, Surroundings()) for project in PROJECTS}
