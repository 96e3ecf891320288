"""Credentials that cannot be used, through the command and the vendor's own library: exit status 3 and a sentence."""

from __future__ import annotations

import pytest

from client_sdk.cli import main
from provisioner.status import run
from tests.provisioner.test_candidate import GCP


@pytest.fixture
def inventory(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "BUILD", tmp_path / "build")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {localhost: }}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text(f"deploy_vm: {GCP}\n")
    return tmp_path / "hosts.yml"


@pytest.mark.parametrize("content", [None, b"", b'{"x":', b"[]", b"\xff\xfe", b'{"type": "service_account"}'])
def test_a_key_file_that_is_none(inventory, tmp_path, monkeypatch, capfd, content):
    """Nothing stands for a folder of that name."""
    path = tmp_path / "key.json"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    code = main(["status", "-i", str(inventory)])
    said = capfd.readouterr()
    assert code == 3, said.err
    (line,) = [line for line in said.out.splitlines() if "not asked " in line]
    assert "gcloud auth application-default login" in line
    assert "Traceback" not in said.out + said.err
