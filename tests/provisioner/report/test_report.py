"""The report on an image: its bill, what a mirror offers, what a copy of the tracker knows; each as it can be wrong."""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import time

import pytest

from provisioner.contents import bill as bill_
from provisioner.contents.bill import parse_bill, read_bill
from provisioner.errors import BakeError
from provisioner.image.apt import Apt
from provisioner.image.sbom import serialise
from provisioner.report import behind as behind_
from provisioner.report.behind import behind, newest, parse_index
from provisioner.report.command import register
from provisioner.report.tracker import findings, read_findings
from provisioner.report.versions import is_older
from tests.provisioner.image.test_sbom import MATERIALS

DATA = serialise(MATERIALS)
BILL = parse_bill(DATA)
INDEX = """\
Package: libc6
Source: glibc
Version: 2.41-12+deb13u6
Description: x

Package: libc-bin
Source: glibc
Version: 2.41-12+deb13u7

Package: other
Version: 9
"""


def release(status="open", fixed=None, urgency="low", suite="trixie"):
    told = {"status": status, "urgency": urgency, "repositories": {suite: "1"}}
    return {"releases": {suite: told | ({} if fixed is None else {"fixed_version": fixed})}}


@pytest.fixture
def image(tmp_path):
    (tmp_path / "sbom.json").write_bytes(DATA)
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"sbom.json": hashlib.sha256(DATA).hexdigest()}}))
    return tmp_path


@pytest.fixture
def run(capsys):
    def command(*words):
        parser = argparse.ArgumentParser()
        register(parser.add_subparsers())
        arguments = parser.parse_args(["image", "report", *map(str, words)])
        return arguments.run(arguments), capsys.readouterr()

    return command


def test_the_bill_tells_sources_and_what_is_left():
    libc, gcc = BILL.packages
    assert (BILL.image, BILL.suite, BILL.others) == ("ef" * 32, "trixie", ("xllamacpp",))
    assert (libc.source, libc.where, libc.is_gone) == ("glibc", ("root", "initrd"), False)
    assert (gcc.source_version, gcc.files, gcc.is_gone) == ("14~2-1", 0, True)


def test_a_bill_that_the_manifest_does_not_name_is_refused(image):
    (image / "sbom.json").write_bytes(DATA.replace(b"deb13u5", b"deb13u9"))
    with pytest.raises(BakeError, match="not the one that the manifest names"):
        read_bill(image)


@pytest.mark.parametrize("name", ["sbom.json", "manifest.json"])
def test_an_image_of_before_has_no_bill(image, name):
    (image / name).unlink()
    with pytest.raises(BakeError, match="has no bill of materials"):
        read_bill(image)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told.update(bomFormat="SPDX"),
        lambda told: told.update(specVersion="1.7"),
        lambda told: told.pop("components"),
        lambda told: told["components"][0].pop("properties"),
        lambda told: told["components"][0].update(properties=[]),
        lambda told: told.update(components=[1]),
        lambda told: told["metadata"]["component"].update(properties=[]),
        lambda told: told["components"][0]["properties"][3].update(value="many"),
    ],
)
def test_a_malformed_bill_is_refused(spoil):
    told = json.loads(DATA)
    spoil(told)
    with pytest.raises(BakeError, match="bill of materials"):
        parse_bill(json.dumps(told).encode())


def test_many_packages_of_one_source_are_read_in_one_pass():
    """Of twenty thousand, comparing each with each takes minutes."""
    told = json.loads(DATA)
    deb = next(item for item in told["components"] if item.get("purl", "").startswith("pkg:deb/"))
    wheel = next(item for item in told["components"] if item.get("purl", "").startswith("pkg:pypi/"))
    debs = [deb | {"name": f"deb {number}"} for number in range(20_000)]
    told["components"] = debs + [wheel | {"name": f"wheel {number}"} for number in range(20_000)]
    data = json.dumps(told).encode()
    began = time.process_time()
    found = parse_bill(data)
    ((source, packages),) = found.sources().items()
    assert time.process_time() - began < 10
    assert (source, packages) == ("glibc", found.packages)
    assert (len(packages), len(found.others)) == (20_000, 20_000)


@pytest.mark.parametrize(("name", "most"), [("sbom.json", "MAX_FILE"), ("manifest.json", "MAX_SIZE")])
def test_a_bill_or_manifest_that_is_larger_than_any_of_ours_is_refused(image, monkeypatch, name, most):
    limit = (image / name).stat().st_size
    monkeypatch.setattr(bill_, most, limit)
    read_bill(image)
    with (image / name).open("ab") as file:
        file.truncate(limit + 1)
    with pytest.raises(BakeError, match=rf"{name} has more than {limit} bytes"):
        read_bill(image)


DEEP = b"[" * 100_000


def test_what_is_nested_too_deep_is_malformed(image, tmp_path):
    with pytest.raises(BakeError, match="bill of materials"):
        parse_bill(DEEP)
    (image / "manifest.json").write_bytes(DEEP)
    with pytest.raises(BakeError, match="has no bill of materials"):
        read_bill(image)
    (tmp_path / "tracker.json").write_bytes(DEEP)
    with pytest.raises(BakeError, match="not the data of Debian's security tracker"):
        read_findings(tmp_path / "tracker.json", BILL)


def test_the_newest_version_of_a_source_counts():
    assert newest(parse_index(INDEX)) == {"glibc": "2.41-12+deb13u7", "other": "9"}


def test_what_is_behind_is_told_with_its_packages():
    (found,) = behind(BILL, {"glibc": "2.41-12+deb13u7", "other": "9"})
    assert (found.source, found.version, found.offered) == ("glibc", "2.41-12+deb13u5", "2.41-12+deb13u7")
    assert [package.name for package in found.packages] == ["libc6"]


@pytest.mark.parametrize("offered", ["2.41-12+deb13u5", "2.41-12", "2.41-12+deb13u5~1"])
def test_what_is_as_new_or_newer_is_not_behind(offered):
    assert behind(BILL, {"glibc": offered}) == ()


@pytest.mark.parametrize("text", ["", "\n\n", "Package: x\n", "Version: 1\n", "Package: x\nVersion: 1\nSource: ()\n"])
def test_an_index_that_is_none_is_not_a_suite_without_updates(text):
    with pytest.raises(BakeError, match=r"index|source"):
        parse_index(text)


@pytest.mark.parametrize(("version", "other"), [("1.0~rc1", "1.0"), ("9", "1:1"), ("1.9", "1.10"), ("1-1", "1-1+b1")])
def test_versions_are_ordered_as_dpkg_does(version, other):
    assert is_older(version, other)
    assert not is_older(other, version)


@pytest.mark.parametrize("version", ["", "x y", "1;2"])
def test_what_is_no_version_is_not_compared(version):
    with pytest.raises(BakeError, match="cannot compare"):
        is_older(version, "1")


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        (release("open"), "open"),
        (release("undetermined"), "undetermined"),
        (release("resolved", "2.41-12+deb13u6", "high"), "fixed"),
        (release("open", urgency="low**"), "open"),
    ],
)
def test_what_the_tracker_knows_against_the_image(entry, state):
    (found,) = findings({"glibc": {"CVE-1": entry}}, BILL)
    assert (found.cve, found.state, found.is_gone) == ("CVE-1", state, False)


@pytest.mark.parametrize(
    "entry",
    [
        release("resolved", "2.41-12+deb13u5"),
        release("resolved", "2.41-1"),
        release("resolved", "0"),
        release("open", suite="bookworm"),
    ],
)
def test_what_is_mended_or_of_another_suite_is_none(entry):
    other = {"other": {"CVE-9": release()}}
    assert findings({"glibc": {"CVE-1": entry}, **other}, BILL) == ()


def test_a_fault_in_what_is_gone_is_told_apart():
    (found,) = findings({"gcc-14": {"CVE-1": release()}}, BILL)
    assert found.is_gone


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"glibc": []},
        {"glibc": {"CVE-1": {}}},
        {"glibc": {"CVE-1": {"releases": []}}},
        {"glibc": {"CVE-1": {"releases": {"trixie": "open"}}}},
        {"glibc": {"CVE-1": release("fixed")}},
        {"glibc": {"CVE-1": release(urgency="catastrophic")}},
        {"glibc": {"CVE-1": release(urgency=7)}},
        {"glibc": {"CVE-1": release("resolved", 1)}},
        {"glibc": {"CVE-1": release(suite="bookworm")}},
    ],
)
def test_a_file_that_is_not_the_trackers_is_no_clean_bill(document):
    with pytest.raises(BakeError, match="vulnerabilities"):
        findings(document, BILL)


def test_the_command_without_a_mirror(run, image, tmp_path):
    tracker = tmp_path / "tracker.json"
    tracker.write_text(json.dumps({"glibc": {"CVE-1": release("resolved", "2.41-12+deb13u6", "high")}}))
    status, said = run(image, "--offline", "--vulnerabilities", tracker)
    assert status == 1
    assert "packages 2 of Debian trixie: 2 in the root (of 1 nothing but the licence is left)\n" in said.out
    assert "behind   not asked" in said.out
    assert "high: 1 fixed, 0 open" in said.out
    assert "CVE-1 glibc 2.41-12+deb13u5: fixed in 2.41-12+deb13u6" in said.out
    status, said = run(image, "--offline", "--json", "--vulnerabilities", tracker)
    told = json.loads(said.out)
    assert (status, told["behind"], told["without_files"]) == (1, None, ["libstdc++6"])
    assert told["vulnerabilities"][0]["packages"] == ["libc6"]


def test_what_no_newer_version_mends_or_is_gone_is_told_and_is_no_failure(run, image, tmp_path):
    tracker = tmp_path / "tracker.json"
    known = {"glibc": {"CVE-1": release()}, "gcc-14": {"CVE-2": release("resolved", "99")}}
    tracker.write_text(json.dumps(known))
    status, said = run(image, "--offline", "--vulnerabilities", tracker)
    assert status == 0
    assert "known    1 vulnerabilities, and 1 in packages of which nothing is left" in said.out


def test_what_the_mirror_offers(run, image, monkeypatch):
    monkeypatch.setattr(behind_, "find_mirror", lambda *_: None)
    monkeypatch.setattr(behind_.apt, "open_apt", lambda *_, **__: Apt(image))
    monkeypatch.setattr(Apt, "index_of", lambda _, name: {"trixie-security": INDEX}[name])
    status, said = run(image)
    assert status == 1
    assert "1 of 2 sources are behind trixie-security" in said.out
    assert "glibc 2.41-12+deb13u5 < 2.41-12+deb13u7: libc6 (root initrd)" in said.out


def test_a_mirror_that_cannot_be_asked_is_no_clean_bill(run, image):
    status, said = run(image, "--mirror", "file:/nowhere/debian")
    assert status == 3
    assert "--offline" in said.err
    assert said.out == ""


@pytest.mark.parametrize("words", [(), ("--vulnerabilities", "missing.json")])
def test_a_file_that_is_not_what_it_should_be_is_a_mistake_of_the_caller(run, image, tmp_path, words):
    folder = image if words else tmp_path / "nothing"
    status, said = run(folder, "--offline", *words)
    assert status == 2
    assert said.err.startswith("vitrine: usage: ")


def test_the_report_changes_nothing(run, image):
    before = {path.name: path.read_bytes() for path in image.iterdir()}
    told = copy.deepcopy(BILL)
    run(image, "--offline")
    assert {path.name: path.read_bytes() for path in image.iterdir()} == before
    assert told == BILL
