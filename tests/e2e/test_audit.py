"""An audit of a VM that runs, from a fresh clone, as the page says it: minutes, because it bakes."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from client_sdk.dsse import sign
from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from provisioner.keys import load
from tests.e2e.machine import CHECKOUT, make, run, vitrine
from tests.e2e.test_docs import BLOCK, at, commands

pytestmark = [pytest.mark.slow, pytest.mark.root]
PAGE = CHECKOUT / "docs/audit.md"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """This checkout as git would commit it, and not as it lies here."""
    folder = tmp_path_factory.mktemp("clone") / "vitrine"
    subprocess.run(["git", "clone", "-q", CHECKOUT, folder], check=True)
    changed = run("git", "diff", "--binary", "HEAD").out
    subprocess.run(["git", "apply", "--allow-empty", "-"], input=changed, text=True, cwd=folder, check=True)
    return folder


def words_of_the_page():
    (text,) = [text for kind, text in BLOCK.findall(PAGE.read_text()) if kind == "console"]
    return text


def test_the_page_audits_the_running_vm_from_a_fresh_clone(vm, clone):
    gather, audit = commands(at(vm, words_of_the_page()))
    gathered = vitrine(*gather[1:])
    assert gathered.status == 0, gathered.err
    audit[audit.index("--source") + 1] = str(clone)
    outcome = vitrine(*audit[1:], seconds=1800)
    assert outcome.status == 0, outcome.out + outcome.err[-4000:]
    last = outcome.out.splitlines()[-1]
    assert (
        last
        == f"identical: the rebuilt image is the published one, byte for byte, and {vm.origin} quotes what it measures"
    )
    assert "quoted PCR 11" in outcome.out
    assert not [path for path in (clone / "build/audit").iterdir() if path.is_dir()]


def test_make_archives_and_audits(vm):
    link = CHECKOUT / "build" / vm.name
    port = vm.origin.rsplit(":", 1)[1]
    link.symlink_to(vm.root)
    try:
        missing = make("audit", f"NAME={vm.name}", f"PORT={port}")
        gathered = make("archive", f"NAME={vm.name}", f"PORT={port}")
        audited = make("audit", f"NAME={vm.name}", f"PORT={port}")
    finally:
        link.unlink()
    assert (missing.status, "make archive" in missing.err) == (2, True)
    assert gathered.status == 0, gathered.err
    assert audited.status == 0, audited.out + audited.err[-4000:]


def test_a_vm_with_another_image_is_refused_before_anything_is_baked(vm, clone, deployment, tmp_path):
    """The release states another image's PCR 11: as if the VM ran another disk than the archive's."""
    gathered = vitrine("image", "archive", deployment.image, "--output", tmp_path / "archive")
    assert gathered.status == 0, gathered.err
    pinned = Publisher(keys=(deployment.root / "publisher.pub",))
    release = open_release(vm.release.read_bytes(), pinned)
    (one,) = release.measurements
    pcrs = tuple((pcr, bytes(32) if pcr == 11 else value) for pcr, value in one.pcrs)
    other = replace(release, measurements=(replace(one, pcrs=pcrs),))
    (tmp_path / "release.json").write_bytes(sign(other.to_statement(), (load(deployment.root / "publisher.key"),)))
    outcome = vitrine(
        *("audit", vm.origin, "--source", clone, "--archive", tmp_path / "archive"),
        *("--release", tmp_path / "release.json", "--publisher", vm.publisher, "--simulated", vm.tpm_ca),
    )
    assert outcome.status == 1, outcome.out + outcome.err
    assert "L1.pcr11" in outcome.err
    assert "rebuilding" not in outcome.err
