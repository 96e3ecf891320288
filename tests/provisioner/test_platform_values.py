"""Platform values: strict, dated, each with its source, and signed by the publisher or not taken at all."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from client_sdk.dsse import sign
from client_sdk.encoding import canonical_json
from client_sdk.errors import EvidenceError
from client_sdk.publisher import Publisher
from provisioner.errors import SpecError
from provisioner.keys import load_or_create, public_pem
from provisioner.platform_values import PREDICATE_TYPE, _wrapped, main, parse_values, read_values, sign_values
from provisioner.publish import prepare
from tests.provisioner.cloud_values import SEPARATOR, predicate, sourced, values
from tests.provisioner.measure.fake_artefacts import write_artefacts
from tests.provisioner.test_publish import NOW, write_manifest


@pytest.fixture
def key(tmp_path):
    return load_or_create(tmp_path / "publisher.key")


@pytest.fixture
def publisher(key):
    return Publisher(keys=(public_pem(key),))


@pytest.fixture
def file(tmp_path, key):
    path = tmp_path / "gcp-tdx.json"
    path.write_bytes(sign_values(values(), (key,)))
    return path


def refused(path, publisher, *, now=NOW):
    with pytest.raises(SpecError) as caught:
        read_values(path, publisher, now=now)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_was_signed_is_read(file, publisher):
    assert read_values(file, publisher, now=NOW) == values()
    assert values().to_json() == predicate()


def test_the_same_values_are_the_same_bytes(key):
    assert sign_values(values(), (key,)) == sign_values(values(), (key,))


# --- who signed, and what


def test_values_of_somebody_elses_key(file, tmp_path):
    other = Publisher(keys=(public_pem(load_or_create(tmp_path / "other.key")),))
    assert "0 of their signatures" in refused(file, other)


def test_values_that_too_few_signed(file, publisher, tmp_path):
    second = public_pem(load_or_create(tmp_path / "second.key"))
    both = Publisher(keys=(*publisher.keys, second), threshold=2)
    assert "signed by 2 of" in refused(file, both)


def test_values_that_were_changed_after_they_were_signed(file, publisher):
    envelope = json.loads(file.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b"cc" * 32, b"ee" * 32)
    envelope["payload"] = base64.b64encode(payload).decode()
    file.write_text(json.dumps(envelope))
    assert "0 of their signatures" in refused(file, publisher)


def test_unsigned_values(tmp_path, publisher):
    path = tmp_path / "values.json"
    path.write_text(json.dumps(predicate()))
    refused(path, publisher)


def test_a_release_is_no_platform_values(tmp_path, publisher, key):
    """The same key signs both: what one says must never be read as the other."""
    image = write_artefacts(tmp_path / "image")
    write_manifest(image)
    prepare(image, tmp_path, service="test", now=NOW)
    assert PREDICATE_TYPE in refused(tmp_path / "release.candidate.json", publisher)
    assert key


def statement(**changes):
    return canonical_json(_wrapped(predicate()) | changes)


@pytest.mark.parametrize(
    ("attack", "changes"),
    [
        ("another statement", {"_type": "https://in-toto.io/Statement/v0.1"}),
        ("another predicate", {"predicateType": "urn:vitrine:platform-values/v2"}),
        ("another subject", {"subject": [{"name": "gcp/tdx", "digest": {"sha256": "00" * 32}}]}),
        ("more than a statement", {"more": 1}),
    ],
)
def test_a_signed_statement_about_something_else(tmp_path, publisher, key, attack, changes):
    path = tmp_path / "values.json"
    path.write_bytes(sign(statement(), (key,)))
    assert read_values(path, publisher, now=NOW) == values()
    path.write_bytes(sign(statement(**changes), (key,)))
    assert refused(path, publisher), attack


def test_values_from_the_future(file, publisher):
    assert "a date up to 2026-11-19" in refused(file, publisher, now=datetime(2026, 11, 19, tzinfo=UTC))


def test_a_file_that_is_not_there(tmp_path, publisher):
    assert "No such file" in refused(tmp_path / "nothing.json", publisher)


# --- the form


@pytest.mark.parametrize("key", sorted(predicate()))
def test_no_field_may_be_left_out(key):
    with pytest.raises(EvidenceError, match=f"missing {key}"):
        parse_values(json.dumps({name: value for name, value in predicate().items() if name != key}).encode())


BAD = [
    ("an unknown field", {"comment": ""}, "unknown key 'comment'"),
    ("another version", {"version": 2}, "version 1"),
    ("a version that is no number", {"version": True}, "version 1"),
    ("the local platform, which is computed", {"platform": "local-qemu"}, "one of gcp, azure"),
    ("a date without a time", {"date": "2026-11-20"}, "instant"),
    (
        "a golden value for what the image measures",
        {"golden": predicate()["golden"] | {"4": sourced("00" * 32)}},
        "'4'",
    ),
    ("no golden value for option ROMs", {"golden": {"3": sourced(SEPARATOR), "6": sourced(SEPARATOR)}}, "missing 2"),
    ("a golden value of SHA-1", {"golden": predicate()["golden"] | {"2": sourced("00" * 20)}}, "expected 32 bytes"),
    ("a value without a source", {"pcr0_allowed": [{"value": "cc" * 32}]}, "missing source"),
    ("a value in place of a list", {"pcr0_allowed": sourced("cc" * 32)}, "not a list"),
    ("a launch measurement of SHA-256", {"launch_measurements": [sourced("dd" * 32)]}, "expected 48 bytes"),
    ("upper-case hex", {"pcr0_allowed": [sourced("CC" * 32)]}, "hex"),
    (
        "a variable too few",
        {"variables": {k: v for k, v in predicate()["variables"].items() if k != "dbx"}},
        "missing dbx",
    ),
    ("a variable in hex", {"variables": predicate()["variables"] | {"PK": sourced("abc")}}, "base64"),
]


@pytest.mark.parametrize(("fault", "changes", "message"), BAD, ids=[fault for fault, _, _ in BAD])
def test_a_form_that_is_not_the_formats(fault, changes, message):
    with pytest.raises(EvidenceError, match=message):
        parse_values(json.dumps(predicate() | changes).encode())
    assert fault


WRONG = [
    ("no such CPU", {"tee": "sgx"}, "tee"),
    ("an image where no firmware measures one", {"image_pcr": 5}, "image_pcr"),
    ("no firmware is pinned", {"pcr0_allowed": []}, "pcr0_allowed"),
    ("no launch measurement is pinned", {"launch_measurements": []}, "launch_measurements"),
    ("a value twice", {"pcr0_allowed": [sourced("cc" * 32)] * 2}, "pcr0_allowed"),
    ("ACPI tables are not pinned", {"acpi_allowed": []}, "acpi_allowed"),
    ("nothing for RTMR0", {"acpi_allowed": [sourced("aa" * 32)]}, "acpi_allowed"),
    ("nothing for PCR 1", {"acpi_allowed": [sourced("bb" * 48)]}, "acpi_allowed"),
    ("a driver ran before the image", {"golden": predicate()["golden"] | {"2": sourced("ab" * 32)}}, "golden.2"),
    ("a source that says nothing", {"pcr0_allowed": [sourced("cc" * 32, " ")]}, "pcr0_allowed[0].source"),
    ("keys that are none", {"variables": predicate()["variables"] | {"PK": sourced("AAAA")}}, "variables"),
]


@pytest.mark.parametrize(("fault", "changes", "field"), WRONG, ids=[fault for fault, _, _ in WRONG])
def test_values_that_no_client_would_accept(fault, changes, field):
    with pytest.raises(SpecError) as caught:
        parse_values(json.dumps(predicate() | changes).encode())
    assert [one.field for one in caught.value.faults] == [field], fault


def test_every_fault_is_listed_at_once():
    with pytest.raises(SpecError) as caught:
        values(image_pcr=0, pcr0_allowed=[], launch_measurements=[])
    assert len(caught.value.faults) == 3


def test_azure_gives_no_log_so_no_list_of_tables():
    assert values("azure", "snp").golden[0][0] == 1
    with pytest.raises(SpecError, match="acpi_allowed: expected none"):
        values("azure", "snp", acpi_allowed=[sourced("aa" * 32)])
    with pytest.raises(EvidenceError, match="missing 1"):
        values("azure", "snp", golden=predicate()["golden"])


# --- the command that signs


def test_the_command_signs_what_an_operator_wrote(tmp_path, key, publisher, capfdbinary):
    source, path = tmp_path / "written.json", tmp_path / "signed.json"
    source.write_text(json.dumps(predicate(), indent=1))
    assert main([str(source), "--key", str(tmp_path / "publisher.key")]) == 0
    path.write_bytes(capfdbinary.readouterr().out)
    assert read_values(path, publisher, now=NOW) == values()
    assert key


@pytest.mark.parametrize(
    ("fault", "content", "message"),
    [
        ("not JSON", "{", "not JSON"),
        ("what cannot be", json.dumps(predicate(image_pcr=9)), "not an integer from 0 to 7"),
        ("nothing pinned", json.dumps(predicate(pcr0_allowed=[])), "at least one value"),
        ("a date to come", json.dumps(predicate(date="2999-01-01T00:00:00Z")), "not in the future"),
    ],
)
def test_the_command_signs_nothing_that_would_be_refused(tmp_path, key, capfd, fault, content, message):
    source = tmp_path / "written.json"
    source.write_text(content)
    assert main([str(source), "--key", str(tmp_path / "publisher.key")]) == 1, fault
    out, err = capfd.readouterr()
    assert (out, message in err, err.count("\n")) == ("", True, 1)
    assert key


def test_the_command_makes_no_key(tmp_path, capfd):
    source = tmp_path / "written.json"
    source.write_text(json.dumps(predicate()))
    assert main([str(source), "--key", str(tmp_path / "none.key")]) == 1
    assert "which the first deployment makes" in capfd.readouterr().err
    assert not (tmp_path / "none.key").exists()


def test_the_example_for_operators_is_one():
    page = (Path(__file__).resolve().parents[2] / "docs/operator.md").read_text()
    (example,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert parse_values(example.encode()).platform == "gcp"
