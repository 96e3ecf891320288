"""`make deploy` as a person sees it: it ends with an answer, and a second run changes nothing."""

from __future__ import annotations

import json
import re

import pytest

from client_sdk.manifest import Manifest, digest
from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from provisioner.clouds import processes
from provisioner.contents.bill import read_bill
from tests.e2e.conftest import NAME


def test_make_deploy_bakes_boots_and_accepts(deployment):
    assert deployment.first.status == 0
    assert re.search(r"failed=0", deployment.first.out)


def test_progress_is_visible(deployment):
    assert "CPU seconds" in deployment.first.out


def test_a_second_deploy_changes_nothing_and_leaves_the_vm_alone(deployment):
    assert deployment.second.status == 0
    assert re.search(r"localhost +: ok=\d+ +changed=0 ", deployment.second.out), deployment.second.out[-2000:]
    assert deployment.pids[0] == deployment.pids[1]


def test_the_verified_facts_are_a_table_of_checks_that_all_passed(deployment):
    rows = re.findall(r"^(ok|FAILED|failed) +([A-Z]\d+)\S* ", deployment.first.out, re.MULTILINE)
    assert {verdict for verdict, _ in rows} == {"ok"}
    assert {rule for _, rule in rows} >= {"Q1", "Q3", "K1", "C2", "L1", "L7", "L9", "L10", "L11", "R1", "D1"}


def test_the_answer_comes_from_the_model(deployment):
    question, _, answer = deployment.first.out.partition("Q: What is the capital of Japan?")
    assert question
    assert "The capital of Japan is Tokyo." in answer
    assert "Tokyo" in deployment.second.out


def test_it_ends_with_how_to_go_on(deployment):
    for words in ("make ask", "make verify", "make destroy", "console.log"):
        assert words in deployment.first.out[-800:]


def test_destroy_leaves_nothing_running_and_keeps_what_clients_were_given(deployment):
    assert deployment.gone.status == 0, deployment.gone.out
    assert [path for path in (deployment.root / "vms").iterdir() if path.is_dir()] == []
    assert (deployment.root / "release.json").is_file()
    assert processes.find_by_argument(f"vitrine-{NAME}") is None


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


def test_the_manifest_vouches_for_the_bill_of_materials_and_both_name_the_same_packages(deployment):
    manifest = Manifest.from_json((deployment.root / "manifest.json").read_bytes())
    bill = read_bill(deployment.image)
    assert {package.name for package in bill.packages if "root" in package.where} == {p.name for p in manifest.packages}
    assert {"busybox-static", "systemd-boot-efi"} <= {package.name for package in bill.packages}
    gone = {package.name for package in bill.packages if package.is_gone}
    assert {"tar", "bash", "grep"} <= gone
    assert not gone & {"systemd", "libc6", "python3.13-minimal", "nftables"}


@pytest.mark.parametrize("name", ["publisher.key", "tpm-ca"])
def test_keys_are_for_their_owner_alone(deployment, name):
    assert (deployment.root / name).stat().st_mode & 0o077 == 0
