"""The command over a cloud's VM: policy and collateral from files, and stored raw evidence with the same verdict."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk import cli
from client_sdk.cli import rules
from client_sdk.fields import format_instant
from client_sdk.policies import cloud, gpu, production, release, tee
from client_sdk.policies import file as policy_file
from provisioner.endorsement.vouched import observed_measurement
from tests.client_sdk.test_collateral import write
from tests.fakes.judging import NONCE
from tests.fakes.simulated_cloud_vm import AZURE_SNP, GCP_TDX, MOMENT, SimulatedCloudVm, roots
from tests.fakes.simulated_server import serving
from tests.fakes.simulated_vm import SimulatedVm, publisher_key, signed
from tests.fakes.simulated_vm import release as release_of


@pytest.fixture(autouse=True)
def _test_roots(monkeypatch):
    """Put test roots in the makers' place: the command itself takes no roots."""
    for module in (cloud, gpu, production, release, tee, policy_file):
        monkeypatch.setattr(module, "production_roots", roots)
    original = production.Production.__init__

    def init(self, *arguments, **fields):
        original(self, *arguments, **{"roots": roots()} | fields)

    monkeypatch.setattr(production.Production, "__init__", init)


@pytest.fixture
def run(capsys):
    def _run(*argv):
        try:
            code = cli.main([str(word) for word in argv])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        failed = re.findall(r"^FAILED +(\S+)", said.out, re.MULTILINE)
        return SimpleNamespace(code=code, out=said.out, err=said.err, all=said.out + said.err, failed=failed)

    return _run


@pytest.fixture(scope="module")
def vm():
    return SimulatedCloudVm(GCP_TDX, gpus=1)


@pytest.fixture
def files(tmp_path, vm):
    return fill(tmp_path, vm)


def fill(tmp_path, vm):
    """Write what a deployment publishes, and raw evidence."""
    (tmp_path / "release.json").write_bytes(signed(release_of(measured=vm.measurement())))
    public = publisher_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "publisher.pub").write_bytes(public)
    (tmp_path / "raw.json").write_bytes(vm.evidence(NONCE).to_json())
    (tmp_path / "collateral").mkdir()
    write(tmp_path / "collateral", vm.files())
    return tmp_path


def trust(files):
    return ("--release", files / "release.json", "--publisher", files / "publisher.pub")


def stored(files):
    evidence = ("--evidence", files / "raw.json", "--nonce", NONCE.hex(), "--at", format_instant(MOMENT))
    return ("verify", *evidence, *trust(files))


def with_collateral(files):
    return ("--collateral", files / "collateral")


def test_a_service_is_verified(run, vm, files):
    with serving(vm) as server:
        said = run("verify", server.origin, *trust(files), *with_collateral(files))
        assert (said.code, "accepted: " in said.out, said.failed) == (0, True, []), said.all
        assert "tcb status" in said.out
        said = run("verify", server.origin, *trust(files))
        assert (said.code, said.failed) == (1, ["T11.1"])
        said = run("ask", server.origin, "q", *trust(files), *with_collateral(files))
        assert said.code == 0, said.all
        assert run("ask", server.origin, "q", *trust(files)).failed == ["T11.1"]
        said = run("observe", server.origin, *with_collateral(files))
        assert (said.code, "compared with no release" in said.out) == (0, True)
        printed = run("observe", server.origin, *with_collateral(files), "--json").out
        found = json.loads(printed)
        assert len(found["firmware"]["rtmr0"]) > 1
        # `vitrine endorsement --observed` reads this very output.
        assert observed_measurement(printed.encode(), "tdx").hex() == found["facts"]["launch_measurement"]


def test_stored_evidence_has_the_same_verdict(run, vm, files):
    said = run(*stored(files), *with_collateral(files))
    assert (said.code, said.failed) == (0, []), said.all
    report = json.loads(run(*stored(files), *with_collateral(files), "--json").out)
    with serving(vm) as server:
        online = json.loads(run("verify", server.origin, *trust(files), *with_collateral(files), "--json").out)
    offline = [check["id"] for check in report["checks"]]
    assert offline == [check["id"] for check in online["checks"] if check["id"] != "C3.1"]
    assert "C3" in [row["rules"] for row in report["not_run"]]
    assert (report["verdict"], report["saved"]) == ("accepted", True)


def test_a_refusal_says_whether_a_file_was_judged(run, vm, files):
    told = json.loads(run(*stored(files), "--json").out)
    assert (told["verdict"], told["saved"]) == ("refused", True)
    with serving(vm) as server:
        told = json.loads(run("verify", server.origin, *trust(files), "--json").out)
    assert (told["verdict"], told["saved"]) == ("refused", False)


def test_the_terminal_says_what_was_not_run(run, files):
    said = run(*stored(files), *with_collateral(files))
    why = "the evidence was stored: no connection showed its certificate"
    assert re.search(rf"^not run +C3: {why} *$", said.out, re.MULTILINE)
    assert "service at" not in said.out


def test_the_terminal_names_machine_and_gpu_and_what_was_taken_unseen(run, files):
    said = run(*stored(files), *with_collateral(files)).out
    for name in ("instance", "zone", "gpu 0"):
        assert re.search(rf"^{name} +\S", said, re.MULTILINE), name
    assert re.search(r"K3.5 +the zone is expected \(anything taken\)", said)
    assert "lockdown) (anything taken)" not in said, "what was compared is not called untested"
    assert re.search(r"^verified at +\S+Z\s*$", said, re.MULTILINE)


def test_an_azure_vm_has_its_id_in_the_terminal(run, tmp_path):
    other = SimulatedCloudVm(AZURE_SNP)
    fill(tmp_path, other)
    said = run(*stored(tmp_path), *with_collateral(tmp_path)).out
    assert re.search(r"^vm id +\S", said, re.MULTILINE), said


@pytest.mark.parametrize("collateral", [True, False])
def test_quiet_prints_the_verdict_and_what_failed_and_nothing_else(run, files, collateral):
    said = run(*stored(files), *(with_collateral(files) if collateral else ()), "--quiet")
    (verdict, *failures) = said.out.splitlines()
    assert verdict.startswith("accepted: " if collateral else "refused: ")
    assert [line.strip()[:7] for line in failures] == ([] if collateral else ["[T11.1]"])
    assert said.code == (0 if collateral else 1)


@pytest.mark.parametrize("collateral", [True, False])
def test_stored_evidence_has_its_page_whatever_the_verdict(run, files, tmp_path, collateral):
    page = tmp_path / "report.html"
    said = run(*stored(files), *(with_collateral(files) if collateral else ()), "--html", page)
    assert said.code == (0 if collateral else 1)
    assert b"T11.1" in page.read_bytes()
    said = run(*stored(files), "--html", tmp_path / "missing" / "report.html")
    assert (said.code, "--html: cannot write" in said.err) == (2, True)
    assert run(*stored(files), "--html", files / "raw.json").code == 2, "the evidence is not written over"


def test_a_reader_that_goes_away_is_no_refusal():
    """`vitrine … | head -1`: 1 would say that something was refused."""
    reader, writer = os.pipe()
    os.close(reader)
    words = (sys.executable, "-m", "client_sdk.cli", "rules")
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (3, b"")


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("words", [("rules",), ("rules", "--json"), ("collateral", "show", "{d}")])
def test_a_full_disk_under_the_output_is_one_line(words, buffered, tmp_path):
    (tmp_path / "index.json").write_text('{"files":[],"gathered_at":"2026-01-31T12:00:00Z","version":1}')
    command = [sys.executable, "-m", "client_sdk.cli", *[word.format(d=tmp_path) for word in words]]
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, not a file
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": buffered},
        )
    says = (
        "vitrine: no verdict: cannot write to standard output: No space left on device; free space or send it elsewhere"
    )
    assert (done.returncode, done.stderr) == (3, f"{says}\n")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "2>&-"])
def test_a_closed_output_is_one_line_and_a_closed_standard_error_nothing(closed):
    words = ["sh", "-c", f'exec "$0" -m client_sdk.cli rules T8 {closed}', sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    assert (done.returncode, "T8.5" in done.stdout) == ((0, True) if closed == "2>&-" else (3, False))
    if closed == ">&-":
        assert done.stderr == "vitrine: no verdict: standard output is closed; send it somewhere\n"


def test_another_fault_of_a_file_is_not_taken_for_the_output(monkeypatch, capsys):
    def fail(_arguments):
        raise PermissionError(13, "Permission denied", "x\x1b")

    monkeypatch.setattr(rules, "run", fail)
    assert cli.main(["rules"]) == 2
    told = "vitrine: usage: cannot use x\\x1b: Permission denied; see to it, and run the same command again\n"
    assert capsys.readouterr().err == told


def test_evidence_of_a_cloud_is_not_a_simulated_platforms(run, files):
    (files / "ca.pem").write_bytes(SimulatedVm().ca.pem)
    said = run(*stored(files), "--simulated", files / "ca.pem", *with_collateral(files))
    assert (said.code, said.failed) == (1, ["K1.1"]), said.all
    says = "this is evidence of a cloud's VM (gcp), and --simulated (SimulatedPlatform in code) takes a local"
    assert says in said.out
    assert "leave it out to judge a cloud's VM" in said.out
    words = run(*stored(files), *with_collateral(files)).out
    assert "--simulated" not in words


def test_a_threshold_that_cannot_be_met_is_the_thresholds_fault(run, files):
    for threshold in ("0", "2"):
        said = run(*stored(files), "--threshold", threshold)
        says = (
            f"usage: --threshold: expected 1 to 1, as many keys as --publisher names, got {threshold}; name more keys"
        )
        assert (said.code, says in said.err) == (2, True), said.all


def test_the_instant_has_two_names(run, files):
    words = ["--now" if word == "--at" else word for word in stored(files)]
    assert run(*words, *with_collateral(files)).code == 0
    said = run(*words, "--at", format_instant(MOMENT))
    assert (said.code, "--at and --now are two names of one option: give one of them" in said.err) == (2, True)


def test_stored_evidence_that_its_peer_malformed_is_refused(run, files):
    raw = files / "raw.json"
    raw.write_bytes(raw.read_bytes().replace(b'"version":', b'"version":1,"version":'))
    said = run(*stored(files), *with_collateral(files))
    assert (said.code, "the key appears twice" in said.out) == (1, True), said.all


def test_stored_evidence_answers_one_nonce(run, files):
    words = ["00" * 32 if word == NONCE.hex() else word for word in stored(files)]
    assert run(*words, *with_collateral(files)).failed == ["C2.2"]


def test_a_nonce_of_another_request_is_told_to_be_checked(run, files):
    words = [word if word != NONCE.hex() else "11" * 32 for word in (*stored(files), *with_collateral(files))]
    said = run(*words)
    assert said.failed == ["C2.2"]
    says = "check that the nonce, --nonce, is the one that this evidence was asked for with"
    assert " ".join(said.out.split()).count(says) == 2, "in the table, and below it"


def test_a_release_for_another_platform_has_a_line_of_its_own(run, files):
    (files / "release.json").write_bytes(signed(release_of()))
    said = run(*stored(files), *with_collateral(files))
    assert (said.code, said.failed) == (1, ["R4"])
    assert "expected gcp got local-qemu" in " ".join(said.out.split())


def test_what_a_policy_goes_without_stands_in_every_report(run, files, tmp_path):
    """Terminal, JSON and page: what, and the reason that its writer gave."""
    (files / "policy.toml").write_text(
        'version = 1\nunsafe_unpinned = "the pins come later"\n[nvidia]\nunsafe_without_revocation = "no way out"\n'
        '[sev_snp]\nunsafe_without_revocation = "not about this VM"\n'
    )
    words, page = (*stored(files), *with_collateral(files), "--policy", files / "policy.toml"), tmp_path / "page.html"
    said = run(*words, "--html", page)
    assert said.code == 0, said.all
    facts = json.loads(run(*words, "--json").out)["facts"]
    assert facts["opted_out"] == [
        "that the release pins what runs: the pins come later",
        "OCSP answers about GPUs: no way out",
    ]
    for text in (" ".join(said.out.split()), page.read_text()):
        assert "the pins come later" in text
        assert "no way out" in text
    assert "Everything that this platform has was checked" not in page.read_text()
    assert "under a policy that goes without some of the checks" in page.read_text()
    checks = {check["id"]: check["expected"] for check in json.loads(run(*words, "--json").out)["checks"]}
    assert (checks["P2"], checks["G1.7"]) == ("anything: the pins come later", "not demanded: no way out")
    assert checks["G3.11"] == checks["G1.7"]


def test_a_policy_that_goes_without_nothing_says_so(run, files, tmp_path):
    page = tmp_path / "page.html"
    assert (
        json.loads(run(*stored(files), *with_collateral(files), "--html", page, "--json").out)["facts"]["opted_out"]
        == []
    )
    assert "Everything that this platform has was checked, and held." in page.read_text()


def test_stored_evidence_is_judged_at_an_instant(run, files):
    words = ["2020-01-01T00:00:00Z" if word == format_instant(MOMENT) else word for word in stored(files)]
    assert run(*words, *with_collateral(files)).failed == ["R6"]


def test_a_local_vm_needs_its_second_round(run, files):
    (files / "raw.json").write_bytes(SimulatedVm().evidence(NONCE).to_json())
    (files / "ca.pem").write_bytes(SimulatedVm().ca.pem)
    said = run(*stored(files), "--simulated", files / "ca.pem")
    assert (said.code, "[Q8.3]" in said.out) == (1, True)
    assert run(*stored(files), "--simulated", files / "ca.pem", *with_collateral(files)).failed == ["T11"]


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("version = 1\n", []),
        ('version = 1\n[google]\nproject = "x"\nzones = { any = "a test" }\n', ["K3.4"]),
        ("version = 1\n[nvidia]\ncount = 2\n", ["G4.1"]),
        ("version = 1\n[azure]\n", ["P5"]),
    ],
)
def test_a_policy_from_a_file_is_judged(run, files, text, failed):
    (files / "policy.toml").write_text(text)
    said = run(*stored(files), *with_collateral(files), "--policy", files / "policy.toml")
    assert (said.code, said.failed) == (1 if failed else 0, failed), said.all


def test_a_policy_with_faults_names_them_all(run, files):
    (files / "policy.toml").write_text("version = 1\nx = 1\n[nvidia]\ncount = -1\n")
    said = run(*stored(files), "--policy", files / "policy.toml")
    assert (said.code, "R4: x" in said.err, "R4: nvidia.count" in said.err) == (2, True, True)


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        ("a policy and a simulated platform", ("--policy", "{d}/policy.toml", "--simulated", "{d}/ca.pem")),
        ("a policy that is not there", ("--policy", "{d}/none.toml")),
        ("collateral that is not there", ("--collateral", "{d}/none")),
        ("an instant by two names", ("--now", "2026-01-01T00:00:00Z")),
        ("saving what was stored", ("--save", "{d}/new.json")),
        ("an origin", ("https://h",)),
        ("a nonce that is none", ("--nonce", "00")),
        ("evidence that is not there", ("--evidence", "{d}/none.json")),
    ],
)
def test_usage(run, files, fault, more):
    said = run(*stored(files), *[word.format(d=files) for word in more])
    assert (said.code, bool(said.err)) == (2, True), said.all


@pytest.mark.parametrize("left", ["--nonce", "--at", "--evidence", "all"])
def test_raw_evidence_needs_everything(run, files, left):
    words = list(stored(files))
    for name in ("--nonce", "--at", "--evidence") if left == "all" else (left,):
        place = words.index(name)
        del words[place : place + 2]
    said = run(*words)
    assert (said.code, "--evidence" in said.err) == (2, True), said.all
