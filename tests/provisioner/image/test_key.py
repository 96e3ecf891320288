"""The key of a bake: equal inputs, equal key; anything else, another."""

from __future__ import annotations

import pytest

from provisioner.errors import BakeError
from provisioner.image.key import bake_key, file_digests


@pytest.fixture
def role(tmp_path):
    (tmp_path / "role/tasks").mkdir(parents=True)
    (tmp_path / "role/tasks/main.yml").write_text("---\n")
    return tmp_path / "role"


def test_times_umask_and_byte_code_do_not_matter(role):
    before = bake_key({"role": role}, {})
    (role / "tasks/main.yml").chmod(0o600)
    (role / "tasks/__pycache__").mkdir()
    (role / "tasks/__pycache__/x.pyc").write_bytes(b"x")
    assert bake_key({"role": role}, {}) == before


@pytest.mark.parametrize("change", ["content", "new file", "name", "executable", "link"])
def test_every_change_of_a_file_matters(role, change):
    before = bake_key({"role": role}, {})
    main = role / "tasks/main.yml"
    match change:
        case "content":
            main.write_text("--- # changed\n")
        case "new file":
            (role / "tasks/more.yml").write_text("")
        case "name":
            main.rename(role / "tasks/main.yaml")
        case "executable":
            main.chmod(0o755)
        case "link":
            main.rename(role / "elsewhere")
            main.symlink_to("../elsewhere")
    assert bake_key({"role": role}, {}) != before


def test_values_and_names_matter(role):
    keys = {bake_key({"role": role}, {}), bake_key({"other": role}, {}), bake_key({"role": role}, {"port": "1"})}
    assert len(keys | {bake_key({"role": role}, {"port": "2"})}) == 4


def test_a_missing_ingredient_is_refused(tmp_path):
    with pytest.raises(BakeError, match="does not exist, but the image is made of it"):
        file_digests(tmp_path / "gone")
