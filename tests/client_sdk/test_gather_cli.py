"""`vitrine collateral`: from evidence to a folder, exit codes (0, 2 usage, 3 no collateral), tables and JSON."""

from __future__ import annotations

import json
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from client_sdk.cli import collateral, main
from client_sdk.gather import collect, folder
from client_sdk.gather.web import Web
from client_sdk.rounds import Gathered
from client_sdk.saved import to_json
from tests.fakes.gathering import DAY, NONCE, NOW, authority, evidence, files, google_ak, snp
from tests.fakes.simulated_cloud_tpm import AzureTpm, azure_root, google_root
from tests.fakes.simulated_nvidia import SimulatedGpu
from tests.fakes.simulated_server import serving
from tests.fakes.simulated_snp import SimulatedSnp
from tests.fakes.simulated_vm import NOW as TODAY
from tests.fakes.simulated_vm import SimulatedVm
from tests.fakes.vendors import KDS, POOL, RIM, Reply

CRL = "/vcek/v1/Milan/crl"


@pytest.fixture
def run(capsys, vendors, monkeypatch):
    """Run the command in this process, at a fixed instant and without waiting; return its exit code and words."""
    clock = {"now": NOW}
    monkeypatch.setattr(collateral, "now", lambda: clock["now"])
    monkeypatch.setattr(collateral, "Web", partial(Web, sleep=lambda _seconds: None))

    def _run(*argv, now=NOW):
        clock["now"] = now
        try:
            code = main(["collateral", *(str(word) for word in argv)])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return _run


@pytest.fixture
def machine(vendors, tmp_path):
    """A machine that AMD and NVIDIA know; its evidence lies in a file."""
    chip, gpu = SimulatedSnp(), SimulatedGpu()
    vendors.chips.append(chip)
    vendors.add_gpu(gpu)
    data, path = evidence(tee=snp(chip), gpus=(gpu,)), tmp_path / "evidence.json"
    path.write_bytes(data)
    return SimpleNamespace(chip=chip, gpu=gpu, data=data, path=path, out=tmp_path / "collateral")


def test_a_whole_machine(run, vendors, machine):
    said = run("fetch", machine.path, "--output", machine.out)
    assert said.code == 0, said.err
    got = files(machine.out)
    assert len(got) == 1 + 3 + (2 + 3 + 3)
    assert f"{machine.out}: {len(got) - 1} files, written" in said.out
    assert "amd/milan/ask.der" in said.out
    assert "fetched nvidia/rim/NV_GPU_DRIVER_GH100_590.12.xml" in said.err
    assert run("show", machine.out).code == 0


def test_a_key_of_a_tpm(run, vendors, tmp_path):
    """The roots are those that ship, so the search goes on to a root that does not."""
    near, far = (f"http://{POOL}/{name}.crt" for name in ("near", "far"))
    tpm = google_ak(near, ca=authority("EK/AK CA Intermediate", google_root(), far))
    vendors.publish(near, tpm.ca.der)
    vendors.publish(far, google_root().der, pem=True)
    (tmp_path / "evidence.json").write_bytes(evidence(ak=(tpm.certificate(),)))
    assert run("fetch", tmp_path / "evidence.json", "--output", tmp_path / "out", now=TODAY).code == 0
    assert len(files(tmp_path / "out")) == 3
    assert run("show", tmp_path / "out", now=TODAY).code == 0


def test_a_key_whose_certificate_does_not_say_who_issued_it(run, vendors, tmp_path):
    """As older ones of Azure's: the operator has the CA from the cloud's documentation."""
    tpm = AzureTpm()
    evidence_file, ca, out = tmp_path / "evidence.json", tmp_path / "ca.pem", tmp_path / "out"
    evidence_file.write_bytes(evidence(ak=(tpm.certificate(),)))
    ca.write_bytes(authority("another", azure_root()).pem + tpm.ca.pem + azure_root().pem)
    said = run("fetch", evidence_file, "--output", out, now=TODAY)
    assert (said.code, out.exists()) == (3, False), "the evidence is as it should be: something could not be had"
    assert f"{evidence_file}: ak_certificates: " in said.err
    assert "is missing, and nothing says where it is; give it by --ca" in said.err
    assert run("fetch", evidence_file, "--output", out, "--ca", ca, now=TODAY).code == 0
    got = files(out)
    assert set(got) == {"index.json", *(f"tpm/{sha256(one.der).hexdigest()}.der" for one in (tpm.ca, azure_root()))}
    assert {row["source"] for row in json.loads(got["index.json"])["files"]} == {"given by the operator"}
    said = run("fetch", evidence_file, "--output", out, "--ca", ca, now=TODAY + DAY)
    assert (said.code, files(out), vendors.requests) == (0, got, [])
    assert "nothing was due" in said.out
    assert run("show", out, now=TODAY).code == 0


@pytest.mark.parametrize("data", [b"", b"no certificate", None])
def test_a_ca_that_is_none(run, machine, tmp_path, data):
    if data is not None:
        (tmp_path / "ca.pem").write_bytes(data)
    said = run("fetch", machine.path, "--output", machine.out, "--ca", tmp_path / "ca.pem")
    assert said.code == 2
    assert "--ca: " in said.err


def test_a_second_time(run, vendors, machine, tmp_path):
    run("fetch", machine.path, "--output", machine.out)
    before = files(machine.out)
    vendors.requests.clear()
    said = run("fetch", machine.path, "--output", machine.out)
    assert (said.code, vendors.requests, files(machine.out)) == (0, [], before)
    assert "nothing was due" in said.out
    assert (tmp_path / "xdg" / "vitrine" / "collateral").is_dir()


def test_the_cache_may_be_elsewhere(run, machine, tmp_path):
    assert run("fetch", machine.path, "--output", machine.out, "--cache", tmp_path / "mine").code == 0
    assert len(list((tmp_path / "mine").iterdir())) == len(files(machine.out)) - 1
    assert not (tmp_path / "xdg").exists()
    assert run("fetch", machine.path, "--output", tmp_path / "b", "--cache", tmp_path / "mine", "--offline").code == 0
    assert run("fetch", machine.path, "--output", tmp_path / "c", "--cache", tmp_path / "none", "--offline").code == 3


def test_json(run, machine):
    said = run("fetch", machine.path, "--output", machine.out, "--json")
    value = json.loads(said.out)
    assert (value["verdict"], value["changed"], value["output"]) == ("complete", True, str(machine.out))
    got = files(machine.out)
    assert {row["path"] for row in value["files"]} == got.keys() - {"index.json"}
    assert {row["from"] for row in value["files"]} == {"vendor"}
    said = run("fetch", machine.path, "--output", machine.out, "--json")
    assert {row["from"] for row in json.loads(said.out)["files"]} == {"cache"}
    value = json.loads(run("show", machine.out, "--json").out)
    assert value["problems"] == []
    assert {row["sha256"] for row in value["files"]} == {
        sha256(data).hexdigest() for path, data in got.items() if path != "index.json"
    }
    assert value["good_until"] == "2026-06-03T12:00:00Z"


def test_a_file_of_verify_save(run, machine, tmp_path):
    saved = tmp_path / "saved.json"
    saved.write_bytes(to_json(Gathered("https://llm.example:443", machine.data, NONCE, b"certificate", None)))
    assert run("fetch", saved, "--output", machine.out).code == 0
    assert run("fetch", machine.path, "--output", machine.out).out.endswith("nothing was due\n")


def test_a_live_service(run, vendors, machine, tmp_path):
    vm = SimulatedVm()
    vm.changes = {"tee": snp(machine.chip)}
    with serving(vm) as server:
        said = run("fetch", server.origin, "--output", machine.out)
        assert said.code == 0, said.err
        assert [path for _, path, _ in server.requests] == ["/.well-known/attestation"]
    assert len(files(machine.out)) == 4


def test_several_machines_at_once(run, vendors, machine, tmp_path):
    other = SimulatedSnp()
    other.hwid = bytes(range(64))
    other.chip_id, other.extensions["4"] = other.hwid, other.hwid
    vendors.chips.append(other)
    second = tmp_path / "second.json"
    second.write_bytes(evidence(tee=snp(other)))
    vendors.requests.clear()
    assert run("fetch", machine.path, second, "--output", machine.out).code == 0
    assert sum(path.startswith("amd/vcek/") for path in files(machine.out)) == 2
    assert vendors.asked(KDS).count(CRL) == 1


def test_a_software_tpm_needs_nothing(run, vendors, tmp_path):
    path = tmp_path / "evidence.json"
    path.write_bytes(SimulatedVm().evidence(NONCE).to_json())
    said = run("fetch", path, "--output", tmp_path / "out")
    assert (said.code, vendors.requests) == (0, [])
    assert "needs no collateral" in said.err
    assert list(files(tmp_path / "out")) == ["index.json"]
    assert "nothing was due" in run("fetch", path, "--output", tmp_path / "out", now=NOW + DAY).out
    assert run("show", tmp_path / "out").code == 0


def test_a_vendor_that_does_not_know_it(run, vendors, machine):
    vendors.rims.clear()
    said = run("fetch", machine.path, "--output", machine.out)
    assert said.code == 3
    assert said.err.count("the vendor does not know it") == 2
    assert "incomplete, so the folder was not touched; what was fetched is kept in the cache" in said.err
    assert not machine.out.exists()
    value = json.loads(run("fetch", machine.path, "--output", machine.out, "--json").out)
    assert (value["verdict"], value["changed"], len(value["failures"])) == ("incomplete", False, 2)


def test_a_vendor_that_wants_to_be_asked_later(run, vendors, machine):
    vendors.replies[KDS, CRL] = [Reply(status=429, headers={"Retry-After": "900"})]
    value = json.loads(run("fetch", machine.path, "--output", machine.out, "--json").out)
    assert value["retry_after"] == 900


def test_nobody_there(run, vendors, machine):
    said = run("fetch", "https://127.0.0.1:9", "--output", machine.out)
    assert said.code == 3
    assert "cannot reach" in said.err


def test_a_service_whose_evidence_is_none(run, vendors, machine):
    with serving(SimulatedVm()) as server:
        server.answer_with["/.well-known/attestation"] = (200, {}, b"{}")
        assert run("fetch", server.origin, "--output", machine.out).code == 3
    assert vendors.requests == []


USAGE = {
    "no source": ("fetch", "--output", "out"),
    "no output": ("fetch", "evidence.json"),
    "no such file": ("fetch", "no-such-file.json", "--output", "out"),
    "not https": ("fetch", "http://llm.example", "--output", "out"),
    "a path": ("fetch", "https://llm.example/v1", "--output", "out"),
    "no folder": ("show", "no-such-folder"),
    "no command": (),
    "a file as output": ("fetch", "evidence.json", "--output", "evidence.json"),
}


@pytest.mark.parametrize("words", USAGE.values(), ids=USAGE)
def test_usage(run, vendors, machine, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    said = run(*words)
    assert said.code == 2, said.err
    assert vendors.requests == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"evidence":1}', b"<html>", b" " * (9 << 20)])
def test_a_file_that_is_no_evidence(run, vendors, tmp_path, data):
    path = tmp_path / "evidence.json"
    path.write_bytes(data)
    said = run("fetch", path, "--output", tmp_path / "out")
    assert (said.code, vendors.requests) == (2, [])
    assert f"EVIDENCE: {path} is no evidence; give a file of `vitrine verify --save`, or the body of GET /" in said.err


def test_evidence_of_another_version_in_a_file(run, vendors, machine):
    machine.path.write_bytes(machine.data.replace(b'"version":', b'"version":9'))
    said = run("fetch", machine.path, "--output", machine.out)
    assert (said.code, vendors.requests) == (2, [])
    assert f"{machine.path} is no evidence that this client reads: $.version" in said.err


def test_an_output_that_cannot_be_written(run, machine, tmp_path):
    (tmp_path / "file").write_text("")
    said = run("fetch", machine.path, "--output", tmp_path / "file" / "out")
    assert said.code == 2
    assert "--output: cannot write" in said.err


def test_an_output_that_holds_something_else(run, vendors, machine, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    said = run("fetch", machine.path, "--output", home)
    assert (said.code, vendors.requests) == (2, [])
    assert "holds thesis.tex, which is no collateral and would be lost" in said.err
    assert files(home) == {"thesis.tex": b"years of work"}


def test_an_output_that_is_a_link(run, machine, tmp_path):
    (tmp_path / "real").mkdir()
    machine.out.symlink_to(tmp_path / "real")
    for _ in range(2):
        assert run("fetch", machine.path, "--output", machine.out).code == 0
    assert machine.out.is_symlink()
    assert len(files(tmp_path / "real")) == 12


def test_a_full_disk(run, machine, monkeypatch):
    run("fetch", machine.path, "--output", machine.out)
    before = files(machine.out)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.os, "fsync", full)
    said = run("fetch", machine.path, "--output", machine.out, now=NOW + DAY / 2)
    assert said.code == 2
    assert "No space left on device" in said.err
    assert files(machine.out) == before
    assert [path.name for path in machine.out.parent.glob(".collateral*")] == []


def test_interrupted_in_the_middle(run, vendors, machine, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    run("fetch", machine.path, "--output", machine.out)
    before = files(machine.out)
    monkeypatch.setattr(collect, "follow", interrupt)
    assert run("fetch", machine.path, "--output", machine.out, now=NOW + DAY / 2).code == 3
    assert files(machine.out) == before


def test_show_says_what_expires_when(run, machine):
    run("fetch", machine.path, "--output", machine.out)
    said = run("show", machine.out)
    assert said.code == 0
    for words in ("revocation list of ARK-Milan", "2027-03-28T00:00:00Z", "is good", "good until 2026-06-03T12:00:00Z"):
        assert words in said.out
    said = run("show", machine.out, now=NOW + 3 * DAY)
    assert said.code == 3
    assert "expired" in said.out
    assert "run `vitrine collateral fetch` again" in said.err
    value = json.loads(run("show", machine.out, "--json", now=NOW + 3 * DAY).out)
    assert len(value["problems"]) == 6


def test_show_of_a_folder_that_is_none(run, tmp_path):
    assert run("show", tmp_path).code == 2
    (tmp_path / "index.json").write_text("{}")
    said = run("show", tmp_path)
    assert said.code == 2
    assert "is no folder of collateral" in said.err


def test_show_of_evidence(run, machine):
    said = run("show", machine.path)
    says = f"{machine.path} is a file; give the folder that `vitrine collateral fetch` wrote"
    assert (said.code, says in said.err) == (2, True)


def test_show_never_writes(run, machine):
    run("fetch", machine.path, "--output", machine.out)
    moved = machine.out.with_name(".collateral.old")
    machine.out.rename(moved)
    assert run("show", machine.out).code == 2
    assert moved.exists()


def test_what_a_vendor_says_does_not_command_a_terminal(run, vendors, machine):
    body = b'{"id":"\\u001b[2J","rim":""}'
    vendors.replies[RIM, "/v1/rim/NV_GPU_DRIVER_GH100_590.12"] = [Reply(body, "application/json")]
    said = run("fetch", machine.path, "--output", machine.out)
    assert said.code == 3
    assert "\x1b" not in said.out + said.err


def test_help_says_what_leaves(run):
    said = run("fetch", "--help")
    assert said.code == 0
    assert "what leaves this machine" in said.out
    for word in ("chip id", "FMSPC", "serial numbers"):
        assert word in said.out


def test_the_page_names_every_host_and_every_option(run):
    page = (Path(__file__).parents[2] / "docs" / "collateral.md").read_text()
    for name in ("kdsintf.amd.com", "api.trustedservices.intel.com", "certificates.trustedservices.intel.com"):
        assert name in page
    for name in ("rim.attestation.nvidia.com", "ocsp.ndis.nvidia.com", "www.microsoft.com", "pki.goog"):
        assert name in page
    for option in ("--output", "--cache", "--ca", "--offline", "--json"):
        assert option in page
