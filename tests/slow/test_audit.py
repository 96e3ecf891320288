"""Whole audits of a release that was just baked here: what must not matter, a changed line, an end in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from provisioner.audit.audit import Subject, audit
from provisioner.image.afresh import Circumstances
from provisioner.image.reproduce import SECOND
from provisioner.publish import prepare, promote, sole
from tests.e2e.machine import BIN, CACHE, CHECKOUT, OURS, run, vitrine

pytestmark = [pytest.mark.slow, pytest.mark.root]
RULES = "roles/egress_firewall/files/tree/usr/lib/vitrine/firewall.nft.j2"
THIRD = Circumstances("üben/c", 0o002, "America/St_Johns", "de_DE.UTF-8", user="nobody", owner=65534, cores=1)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A release of this checkout, its archive, and a clone to audit from."""
    root = tmp_path_factory.mktemp("site")
    words = ("playbooks/bake.yml", "-i", "inventories/local", "-e", f"bake_output={root / 'images'}")
    baked = run(sys.executable, "-m", "ansible", "playbook", *words)
    assert baked.status == 0, baked.out[-3000:]
    (image,) = (path.parent for path in (root / "images").glob("*/artefacts.json"))
    gathered = vitrine("image", "archive", image, "--output", root / "archive", "--cache", CACHE)
    assert gathered.status == 0, gathered.err
    prepare(image, root / "dep", service="test", now=datetime.now(UTC))
    with sole(root / "dep"):
        promote(root / "dep")
    copy = root / "clone"
    subprocess.run(["git", "clone", "-q", CHECKOUT, copy], check=True)
    changed = run("git", "diff", "--binary", "HEAD").out
    subprocess.run(["git", "apply", "--allow-empty", "-"], input=changed, text=True, cwd=copy, check=True)
    return root


def words(site, clone, work):
    told = ("--source", clone, "--archive", site / "archive", "--work", work)
    return ("audit", *told, "--release", site / "dep/release.json", "--publisher", site / "dep/publisher.pub")


@pytest.mark.parametrize("circumstances", [SECOND, THIRD], ids=["second", "third"])
def test_folder_user_umask_time_zone_locale_and_cores_do_not_matter(site, tmp_path, circumstances):
    release = open_release((site / "dep/release.json").read_bytes(), Publisher(keys=(site / "dep/publisher.pub",)))
    subject = Subject(source=site / "clone", archive=site / "archive", releases=(release,), circumstances=circumstances)
    found = audit(subject, tmp_path, None, progress=print)
    assert found.findings == ()
    assert found.is_identical


def test_a_changed_line_is_shown_in_the_source_and_in_the_image(site, tmp_path):
    clone = shutil.copytree(site / "clone", tmp_path / "clone", symlinks=True)
    text = (clone / RULES).read_text()
    (clone / RULES).write_text(
        text.replace("hook output priority filter; policy drop", "hook output priority filter; policy accept")
    )
    at_once = vitrine(*words(site, clone, tmp_path / "work"))
    assert at_once.status == 1
    assert f"DIFFERS  source {RULES}" in at_once.out
    assert "nothing was rebuilt" in at_once.out.splitlines()[-1]
    anyway = vitrine(*words(site, clone, tmp_path / "work"), "--anyway", seconds=1800)
    assert anyway.status == 1, anyway.err[-3000:]
    assert "DIFFERS  root:/usr/lib/vitrine/firewall.nft" in anyway.out
    assert "+    type filter hook output priority filter; policy accept;" in anyway.out
    files = {line.split()[1] for line in anyway.out.splitlines() if line.startswith("DIFFERS  root:")}
    assert files == {"root:/usr/lib/vitrine/firewall.nft"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_audit_that_is_ended_ends_all_that_it_began(site, tmp_path, number):
    work = tmp_path / "work"
    argv = [str(word) for word in (BIN / "vitrine", *words(site, site / "clone", work))]
    process = subprocess.Popen(
        argv,
        cwd=CHECKOUT,
        env={**os.environ, **OURS},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=not_in_the_background,  # noqa: PLW1509 - there are no threads here
    )
    try:
        while "making the image tree" not in (line := process.stderr.readline()):
            assert line, "it ended before it had begun"
        process.send_signal(number)
        process.communicate(timeout=120)
    finally:
        process.kill()
    left = [path for path in work.iterdir() if path.is_dir()]
    if number == signal.SIGKILL:
        # Nothing can be done then; what it began ends all the same, and the next audit removes the rest.
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, left) == (3, [])
    assert ended(str(work)), f"something still works in {work}"


def not_in_the_background():
    """A shell has what it starts in the background ignore an interrupt, and so would the audit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(folder):
    for _ in range(100):
        if not any(folder in _words(path) for path in Path("/proc").glob("[0-9]*/cmdline")):
            return True
        time.sleep(0.2)
    return False


def _words(path):
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
