"""`make deploy` as a person sees it: it ends with an answer, and a second run changes nothing."""

from __future__ import annotations

import json
import re

import pytest

from client_sdk.manifest import Manifest, digest
from client_sdk.publisher import Publisher
from client_sdk.release import open_release


def test_the_playbook_bakes_boots_and_accepts(deployment):
    assert deployment.first.status == 0
    assert re.search(r"failed=0", deployment.first.out)


def test_progress_is_visible(deployment):
    assert "CPU seconds" in deployment.first.out


def test_a_second_deploy_changes_nothing_and_leaves_the_vm_alone(deployment):
    assert deployment.second.status == 0
    assert re.search(r"localhost +: ok=\d+ +changed=0 ", deployment.second.out), deployment.second.out[-2000:]
    assert deployment.pids[0] == deployment.pids[1]


def test_the_verified_facts_are_a_table_of_checks_that_all_passed(deployment):
    assert deployment.verified.status == 0, deployment.verified.out + deployment.verified.err
    for rule in ("Q1", "Q3", "K1", "C2", "L1", "L7", "L9", "L10", "L11", "R1", "D1"):
        assert rule in deployment.verified.out


def test_the_answer_comes_from_the_model(deployment):
    assert deployment.asked.status == 0, deployment.asked.err
    assert "Tokyo" in deployment.asked.out


def test_predicted_and_quoted_pcrs_are_equal(deployment):
    assert deployment.table.status == 0, deployment.table.out + deployment.table.err
    rows = re.findall(r"^\| *(\d+) *\|.*\| (\w+) *\|$", deployment.table.out, re.MULTILINE)
    assert {int(index) for index, verdict in rows if verdict == "equal"} >= {2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15}


def test_the_release_names_the_manifest_and_the_manifest_names_the_image(deployment):
    release = open_release(
        (deployment.root / "release.json").read_bytes(), Publisher(keys=(deployment.root / "publisher.pub",))
    )
    data = (deployment.root / "manifest.json").read_bytes()
    assert release.manifest_sha256 == digest(data)
    manifest = Manifest.from_json(data)
    artefacts = json.loads((deployment.image / "artefacts.json").read_text())
    assert manifest.boot.uki_sha256.hex() == artefacts["sha256"]["uki.efi"]
    assert manifest.boot.uki_authenticode == release.measurements[0].image_authenticode
    assert f"vitrine.root={manifest.root.root_hash.hex()}" in manifest.boot.cmdline


@pytest.mark.parametrize("name", ["publisher.key", "tpm-ca"])
def test_keys_are_for_their_owner_alone(deployment, name):
    assert (deployment.root / name).stat().st_mode & 0o077 == 0
