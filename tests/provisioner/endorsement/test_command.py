"""`vitrine endorsement` from its words to its exit code, and the page that gives it to operators."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding

from client_sdk.cli import main
from client_sdk.publisher import Publisher
from provisioner import platform_values
from provisioner.endorsement.parse import parse_endorsement
from provisioner.endorsement.verify import read_root, verify_endorsement
from provisioner.endorsement.vouched import vouched
from provisioner.keys import load_or_create, public_pem
from provisioner.platform_values import read_values
from tests.fakes.simulated_endorsement import (
    FIRMWARE,
    VCPUS,
    Issuer,
    SimulatedEndorsement,
    count,
    digest,
    google,
    wrapped,
)
from tests.provisioner.cloud_values import predicate, sourced
from tests.provisioner.test_publish import NOW

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def files(tmp_path):
    """Write what an operator has after he followed the page."""
    observed = {"verdict": "verified", "facts": {"tee": "tdx", "launch_measurement": digest("td").hex()}}
    (tmp_path / "endorsement").write_bytes(SimulatedEndorsement().data())
    (tmp_path / "root").write_bytes(google().der)
    (tmp_path / "firmware").write_bytes(FIRMWARE)
    (tmp_path / "observed").write_text(json.dumps(observed))
    return tmp_path


@pytest.fixture
def endorsement(files, capfdbinary):
    def call(*words, root="root"):
        code = main(["endorsement", str(files / "endorsement"), "--root", str(files / root), *map(str, words)])
        said = capfdbinary.readouterr()
        return code, said.out.decode(), said.err.decode()

    return call


def test_what_it_says_is_printed(endorsement):
    code, out, err = endorsement()
    assert (code, err) == (0, "")
    assert out.startswith("genuine: 17 checks passed, under the root ")
    for text in (
        "change list 123456789",
        "not compared: no --firmware",
        "guest policy 0x70000",
        f"any RAM {digest('td').hex()}",
    ):
        assert text in out
    assert [f"{number:3} vCPUs {digest(f'snp {number}').hex()}" in out for number in VCPUS] == [True] * len(VCPUS)
    assert "launch measurement" not in out


def test_json_is_what_platform_values_take(endorsement, files):
    code, out, _ = endorsement("--vcpus", 8, "--firmware", files / "firmware", "--json")
    said = json.loads(out)
    assert (code, out.count("\n"), said["firmware_was_given"], said["cl_spec"]) == (0, 1, True, 123456789)
    assert said["sev_snp"]["measurements"]["8"] == said["launch_measurements"][0]["value"] == digest("snp 8").hex()
    assert said["tdx"] == {
        "svn": 2,
        "measurements": [{"ram_gib": 0, "early_accept": False, "mrtd": digest("td").hex()}],
    }
    assert said["launch_measurements"][0]["source"] == f"Google's launch endorsement {said['sha256']}, 8 vCPUs"
    assert [one["verdict"] for one in said["checks"]] == ["ok"] * 18


def test_one_technology_alone(endorsement, files):
    (files / "endorsement").write_bytes(SimulatedEndorsement(snp={}).data())
    code, out, _ = endorsement("--ram-gib", 234, "--json")
    assert (code, json.loads(out)["sev_snp"]) == (0, None)
    (files / "endorsement").write_bytes(SimulatedEndorsement(tds=[]).data())
    code, out, _ = endorsement("--vcpus", 8, "--json")
    assert (code, json.loads(out)["tdx"]) == (0, None)


def test_a_machine_that_measured_what_is_endorsed(endorsement, files):
    code, out, _ = endorsement("--ram-gib", 234, "--observed", files / "observed")
    assert code == 0
    assert f"launch measurement {digest('td').hex()}\n  source: Google's launch endorsement " in out


def test_fields_that_are_not_read_are_named(endorsement, files):
    made = SimulatedEndorsement()
    golden = made.golden() + count(99, 1)
    (files / "endorsement").write_bytes(wrapped(golden, made.sign(golden)))
    assert "not read: golden field 99\n" in endorsement()[1]


REFUSED = [
    ("another root's", SimulatedEndorsement(issuer=Issuer("another root")), (), "refused: [E1.1]"),
    ("of another scheme", SimulatedEndorsement(scheme=padding.PKCS1v15()), (), "refused: [E3.2]"),
    ("malformed", b"\x0a\x05ab", (), "refused: endorsement byte 2"),
    ("empty", b"", (), "refused: endorsement.serialized_uefi_golden: missing"),
    ("about other CPUs", SimulatedEndorsement(), ("--vcpus", 7), "refused: the machine: expected vCPUs that"),
    ("about TDX alone", SimulatedEndorsement(snp={}), ("--vcpus", 8), "it says nothing of snp"),
    ("about other sizes", SimulatedEndorsement(tds=[(16, False, bytes(48))]), ("--ram-gib", 64), "16, got 64"),
    ("of other firmware", SimulatedEndorsement(firmware=b"other"), ("--firmware", "{firmware}"), "refused: [E5.1]"),
    (
        "of other firmware than the machine has",
        SimulatedEndorsement(tds=[(0, False, bytes(48))]),
        ("--ram-gib", 16, "--observed", "{observed}"),
        "which the endorsement has for none",
    ),
]


@pytest.mark.parametrize(("fault", "made", "words", "message"), REFUSED, ids=[fault for fault, *_ in REFUSED])
def test_an_endorsement_that_is(fault, made, words, message, endorsement, files):
    (files / "endorsement").write_bytes(made if isinstance(made, bytes) else made.data())
    paths = {name: files / name for name in ("firmware", "observed")}
    code, out, err = endorsement(*(str(word).format(**paths) for word in words))
    assert (code, out, message in err, err.count("\n")) == (1, "", True, 1), err


USAGE = [
    ("a root that is not there", (), "nothing", "--root: "),
    ("a root that is none", (), "firmware", "--root: root: neither DER nor PEM"),
    ("firmware that is not there", ("--firmware", "nothing"), "root", "--firmware: nothing: No such file"),
    ("an observation of no machine", ("--observed", "{observed}"), "root", "--vcpus or --ram-gib"),
    ("an observation that is not there", ("--ram-gib", 16, "--observed", "nothing"), "root", "--observed: nothing"),
    ("an observation that is none", ("--ram-gib", 16, "--observed", "{firmware}"), "root", "--observed: "),
    ("an observation of another CPU", ("--vcpus", 8, "--observed", "{observed}"), "root", "expected snp, got tdx"),
]


@pytest.mark.parametrize(("fault", "words", "root", "message"), USAGE, ids=[fault for fault, *_ in USAGE])
def test_usage(fault, words, root, message, endorsement, files):
    paths = {name: files / name for name in ("firmware", "observed")}
    code, out, err = endorsement(*(str(word).format(**paths) for word in words), root=root)
    assert (code, out, message in err, err.startswith("vitrine: usage: ")) == (2, "", True, True), err


def test_an_endorsement_that_is_not_there(endorsement, files):
    (files / "endorsement").unlink()
    code, _, err = endorsement()
    assert (code, "FILE: " in err, "No such file" in err) == (2, True, True)


@pytest.mark.parametrize(
    "words", [("--vcpus", 0), ("--vcpus", "-1"), ("--vcpus", "٣"), ("--vcpus", 10**6), ("--vcpus", 1, "--ram-gib", 1)]
)
def test_machines_that_cannot_be(words, endorsement):
    with pytest.raises(SystemExit) as caught:
        endorsement(*words)
    assert caught.value.code == 2


def test_the_root_has_no_default(files):
    with pytest.raises(SystemExit) as caught:
        main(["endorsement", str(files / "endorsement")])
    assert caught.value.code == 2


def test_the_command_is_found_and_loading_it_loads_neither_ansible_nor_a_cloud():
    (entry,) = [one for one in entry_points(group="vitrine.commands") if one.name == "endorsement"]
    script = f"import sys, {entry.module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    heavy = {"ansible", "azure", "google.cloud", "google.protobuf", "yaml", "provisioner.clouds", "provisioner.image"}
    assert not heavy & set(loaded.stdout.split())


# --- platform values that claim it


@pytest.fixture
def sign(files, capfdbinary):
    load_or_create(files / "publisher.key")

    def call(launched, *words):
        (files / "values.json").write_text(json.dumps(predicate(launch_measurements=launched)))
        code = platform_values.main(
            [str(files / "values.json"), "--key", str(files / "publisher.key"), *map(str, words)]
        )
        said = capfdbinary.readouterr()
        return code, said.out, said.err.decode()

    return call


def claimed(files):
    data = (files / "endorsement").read_bytes()
    found = verify_endorsement(parse_endorsement(data), read_root(google().der), now=NOW)
    return {(one.tee, one.size): sourced(one.value.hex(), one.source) for one in vouched(found)}


def test_what_the_command_prints_is_signed_with_the_endorsement(sign, files, endorsement):
    _, out, _ = endorsement("--ram-gib", 234, "--observed", files / "observed", "--json")
    launched = json.loads(out)["launch_measurements"]
    code, out, err = sign(launched, "--endorsement", files / "endorsement", "--root", files / "root")
    assert (code, err) == (0, "")
    (files / "signed.json").write_bytes(out)
    publisher = Publisher(keys=(public_pem(load_or_create(files / "publisher.key")),))
    (found,) = read_values(files / "signed.json", publisher, now=NOW).launch_measurements
    assert (found.value, found.source) == (digest("td"), launched[0]["source"])


def test_several_endorsements(sign, files):
    first = claimed(files)["tdx", 0]
    (files / "first").write_bytes((files / "endorsement").read_bytes())
    (files / "endorsement").write_bytes(SimulatedEndorsement(tds=[(0, False, digest("later"))]).data())
    both = [first, claimed(files)["tdx", 0]]
    words = ("--endorsement", files / "first", "--endorsement", files / "endorsement", "--root", files / "root")
    assert sign(both, *words)[0] == 0
    assert sign(both, *words[2:])[0] == 1


def test_a_value_on_the_operators_word_is_signed_and_said(sign):
    code, out, err = sign([sourced("dd" * 48)])
    assert (code, bool(out)) == (0, True)
    assert err == "platform values: note: launch_measurements[0] is not from an endorsement of Google's\n"


def refused(sign, launched, *words):
    code, out, err = sign(launched, *words)
    assert (code, out, err.count("\n")) == (1, b"", 1)
    return err


def test_a_claim_is_not_signed_without_its_endorsement(sign, files):
    said = refused(sign, [claimed(files)["tdx", 0]])
    assert "expected a statement of a verified endorsement (given: none)" in said


def test_a_claim_with_another_value_is_not_signed(sign, files):
    launched = [claimed(files)["tdx", 0] | {"value": "dd" * 48}]
    said = refused(sign, launched, "--endorsement", files / "endorsement", "--root", files / "root")
    assert "launch_measurements[0]" in said


def test_a_claim_under_another_root_is_not_signed(sign, files):
    (files / "root").write_bytes(Issuer("another root").der)
    said = refused(sign, [claimed(files)["tdx", 0]], "--endorsement", files / "endorsement", "--root", files / "root")
    assert "[E1.1]" in said


def test_a_malformed_endorsement_signs_nothing(sign, files):
    launched = [claimed(files)["tdx", 0]]
    (files / "endorsement").write_bytes(b"\x0a\x05ab")
    said = refused(sign, launched, "--endorsement", files / "endorsement", "--root", files / "root")
    assert "endorsement byte 2" in said


def test_an_endorsement_without_a_root_signs_nothing(sign, files):
    assert "--root: expected Google's root" in refused(
        sign, [sourced("dd" * 48)], "--endorsement", files / "endorsement"
    )


# --- the page


def test_the_commands_of_the_page_do_what_it_says(files, tmp_path, monkeypatch, capfdbinary):
    """Run them as they stand, on a simulated endorsement: what the first prints is what the second signs."""
    page = (CHECKOUT / "docs/clouds/gcp.md").read_text()
    (checked,) = re.findall(r"^\.venv/bin/vitrine (endorsement .*)$", page, re.MULTILINE)
    (signs,) = re.findall(
        r"^\.venv/bin/python -m provisioner\.platform_values (.*) > gcp-tdx\.json$", page, re.MULTILINE
    )
    monkeypatch.chdir(files)
    for name, given in (
        ("endorsement.binarypb", "endorsement"),
        ("GCE-cc-tcb-root_1.crt", "root"),
        ("observed.json", "observed"),
    ):
        (files / given).rename(name)
    assert main(shlex.split(checked)) == 0
    launched = json.loads(capfdbinary.readouterr().out)["launch_measurements"]
    (files / "values.json").write_text(json.dumps(predicate(launch_measurements=launched)))
    (files / "build/prod").mkdir(parents=True)
    load_or_create(files / "build/prod/publisher.key")
    assert platform_values.main(shlex.split(signs)) == 0
    assert capfdbinary.readouterr().err == b""
