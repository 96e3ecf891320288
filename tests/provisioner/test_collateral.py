"""Gathering collateral through the operator's own command: what it says goes on to whoever deploys."""

from __future__ import annotations

import subprocess
import sys

import pytest

from provisioner import collateral
from provisioner.collateral import gather
from provisioner.errors import CloudError
from tests.provisioner.clouds.conftest import quiet


def test_nobody_answers(tmp_path):
    with pytest.raises(CloudError, match=r"https://127\.0\.0\.1:9: collateral is not complete.*cannot reach"):
        gather("https://127.0.0.1:9", tmp_path, seconds=0, progress=quiet)


def test_an_origin_that_is_none(tmp_path):
    with pytest.raises(CloudError, match=r"collateral is not complete.*HOST"):
        gather("http://127.0.0.1", tmp_path, seconds=0, progress=quiet)


def test_a_command_without_end(tmp_path, monkeypatch):
    def forever(argv, **options):
        raise subprocess.TimeoutExpired(argv, options["timeout"])

    monkeypatch.setattr(subprocess, "run", forever)
    with pytest.raises(CloudError, match="no end of gathering collateral; run it again"):
        gather("https://127.0.0.1:9", tmp_path, seconds=0, progress=quiet)


def test_it_is_the_operators_own_command_and_its_folder_is_the_clients(tmp_path, monkeypatch):
    ran = []

    def run(argv, **_):
        ran.append(argv)
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(collateral.subprocess, "run", run)
    assert gather("https://llm.example", tmp_path, seconds=7, progress=quiet) == tmp_path / "collateral"
    assert ran[0][:5] == [sys.executable, "-m", "client_sdk.cli", "collateral", "fetch"]
    assert {"https://llm.example", str(tmp_path / "collateral"), "7"} <= set(ran[0])
