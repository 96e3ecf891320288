"""``python -m tests.example``: what it writes is accepted as its README says, and refused when something differs."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from client_sdk import cli, load_policy
from client_sdk.errors import AttestationError, EvidenceError, PolicyError, VerificationError
from tests.example import main, write
from tests.fakes.simulated_cloud_vm import KINDS

ROOT = Path(__file__).resolve().parents[2]


def judged(folder):
    return runpy.run_path(str(folder / "verify.py"))["accepted"]


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "example", "gcp-tdx", 1)
    return tmp_path / "example"


@pytest.mark.parametrize("kind", KINDS)
def test_the_script_accepts_each_kind(tmp_path, capsys, kind):
    assert main([str(tmp_path / "new"), "--kind", kind, "--gpus", "2"]) == 0
    assert capsys.readouterr().out == f"see {tmp_path / 'new' / 'README'}\n"
    accepted = judged(tmp_path / "new")
    assert (accepted.evidence.tee.kind, len(accepted.evidence.gpus)) == (kind.partition("-")[2], 2)
    assert [rules for rules, _ in accepted.report.not_run if rules == "C3"] == ["C3"]
    assert accepted.checks[-1].what in capsys.readouterr().out


def test_there_may_be_no_gpu(tmp_path):
    write(tmp_path / "new")
    assert judged(tmp_path / "new").evidence.gpus == ()


def test_the_command_in_the_readme_trusts_the_makers_alone(folder, capsys):
    (command,) = re.findall(r"\.venv/bin/vitrine (.*)", (folder / "README").read_text())
    assert cli.main(shlex.split(command)) == 1
    assert "[K1.1]" in capsys.readouterr().out


def test_the_policy_in_the_readme_of_the_project_can_be_read(tmp_path):
    readme = (ROOT / "README.md").read_text()
    (toml,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "policy.toml").write_text(toml)
    assert load_policy(tmp_path / "policy.toml").google.project == ("my-project",)


def test_what_the_readme_of_the_project_says_of_an_installation_is_so():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert (project["requires-python"], "Python 3.11 to 3.13" in readme) == (">=3.11,<3.14", True)
    assert ("client" in project["optional-dependencies"], "pip install '.[client]'" in readme) == (True, True)
    (only,) = project["dependencies"]
    assert only.startswith("cryptography")
    script = "import sys\nfor name in ('openai', 'httpx2', 'rich'): sys.modules[name] = None\n"
    script += "from client_sdk import verify_stored, load_policy, load_collateral"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def replaced(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


def other_zone(folder):
    replaced(folder, "policy.toml", "us-central1-a", "mars-1a")


def other_project(folder):
    replaced(folder, "policy.toml", "vitrine-test", "another")


def more_gpus(folder):
    replaced(folder, "policy.toml", "count = 1", "count = 8")


def other_cloud(folder):
    (folder / "policy.toml").write_text("version = 1\n[azure]\nsecure_boot = true\n")


def other_nonce(folder):
    (folder / "nonce").write_text("00" * 32)


def much_later(folder):
    (folder / "at").write_text("2099-01-01T00:00:00Z")


def other_publisher(folder):
    write(folder / "other")
    (folder / "release.json").write_bytes((folder / "other" / "release.json").read_bytes())
    replaced(folder, "publisher.pub", "MCow", "MCoX")


def other_root(folder):
    (folder / "roots" / "google.pem").write_bytes((folder / "roots" / "azure.pem").read_bytes())


def other_collateral(folder):
    next((folder / "collateral" / "intel").glob("*.pem")).write_bytes(b"-")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (other_zone, PolicyError, r"\[K3.5"),
        (other_project, PolicyError, r"\[K3.4"),
        (more_gpus, PolicyError, r"\[G4.1"),
        (other_cloud, PolicyError, r"\[P5"),
        (other_nonce, VerificationError, r"\[C2.2\]"),
        (much_later, VerificationError, r"\[R6\]"),
        (other_publisher, EvidenceError, "publisher"),
        (other_root, VerificationError, r"\[K1.1\]"),
        (other_collateral, EvidenceError, "gather again"),
    ],
)
def test_a_change_is_refused(folder, change, error, says):
    change(folder)
    with pytest.raises(error, match=says):
        judged(folder)


def test_a_changed_byte_of_the_quote_is_refused(folder):
    data = (folder / "evidence.json").read_text()
    signature = re.search(r'"signature":"([^"]+)"', data)[1]
    other = signature[:40] + ("A" if signature[40] != "A" else "B") + signature[41:]
    (folder / "evidence.json").write_text(data.replace(signature, other))
    with pytest.raises(AttestationError):
        judged(folder)


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path)])
    assert (stopped.value.code, [path.name for path in tmp_path.iterdir()]) == (2, ["mine"])
    assert "is not empty; name a new folder" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--kind", "local"), ("--gpus", "-1"), ("--gpus", "9"), ("--kind",)])
def test_what_is_no_machine_is_a_usage_error(tmp_path, capsys, words):
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "new"), *words])
    assert (stopped.value.code, (tmp_path / "new").exists()) == (2, False)
    assert "usage: python -m tests.example" in capsys.readouterr().err


def test_verified_and_accepted_evidence_show_themselves_in_a_line(folder):
    accepted = judged(folder)
    assert re.fullmatch(r"<VerifiedEvidence: gcp, tdx, 1 GPUs, \d+ checks, at \S+Z>", repr(accepted.evidence))
    assert re.match(r"<Accepted: release 1 of 'vitrine', by policy '.*', \d+ checks, of <Verified", repr(accepted))
    assert len(f"{accepted!r}") < 300
