"""A folder of collateral is exactly what its index names, or it is refused; and nothing in it is believed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client_sdk import collateral as module
from client_sdk.collateral import collateral_of, load_collateral
from client_sdk.encoding import canonical_json
from client_sdk.errors import EvidenceError
from client_sdk.parse.snp import Product
from tests.fakes.judging_cloud import accepted, refused
from tests.fakes.simulated_cloud_vm import AZURE_SNP, GCP_TDX, SimulatedCloudVm

GATHERED = datetime(2026, 1, 31, 12, tzinfo=UTC)
CHIP, TCB = "ab" * 64, "0a00000000001754"
FILES = {
    "amd/genoa/ask.der": b"ask",
    "amd/genoa/asvk.der": b"asvk",
    "amd/genoa/crl.der": b"crl",
    "amd/milan/ask.der": b"milan",
    f"amd/vcek/{CHIP}-{TCB}.der": b"vcek",
    f"amd/vcek/{'cd' * 8}-{TCB}.der": b"turin",
    f"amd/vlek/CN=cc-test.example-{TCB}.der": b"vlek",
    "intel/pck_crl-platform.der": b"pck",
    "intel/pck_crl-processor.der": b"pck2",
    "intel/qe_identity.json": b"qe",
    "intel/qe_identity.pem": b"qe chain",
    "intel/root_crl.der": b"root",
    "intel/tcb_info-90c06f000000.json": b"tcb",
    "intel/tcb_info-90c06f000000.pem": b"tcb chain",
    f"nvidia/ocsp/{'12' * 32}.der": b"answer",
    "nvidia/rim/NV_GPU_DRIVER_GH100_590.12.xml": b"<rim/>",
    f"tpm/{'34' * 32}.der": b"intermediate",
}


def index(files: dict[str, bytes]) -> dict:
    rows = [
        {"path": path, "sha256": sha256(data).hexdigest(), "source": "https://maker.example/"}
        for path, data in sorted(files.items())
    ]
    return {"version": 1, "gathered_at": "2026-01-31T12:00:00Z", "files": rows}


def write(folder, files: dict[str, bytes], named: dict | None = None):
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    (folder / "index.json").write_bytes(canonical_json(named or index(files)))
    return folder


def test_a_folder_is_sorted_by_what_it_is_for(tmp_path):
    found = load_collateral(str(write(tmp_path, FILES)))
    assert found == collateral_of(FILES, gathered_at=GATHERED)
    assert found.amd[Product.GENOA].intermediates == (b"ask", b"asvk")
    assert (found.amd[Product.GENOA].crl, found.amd[Product.MILAN].crl) == (b"crl", None)
    tcb = bytes.fromhex(TCB)
    assert found.vceks[bytes.fromhex(CHIP), tcb] == b"vcek"
    assert found.vceks[(b"\xcd" * 8).ljust(64, b"\0"), tcb] == b"turin"
    assert found.vleks["CN=cc-test.example", tcb] == b"vlek"
    assert found.tcb_infos[bytes.fromhex("90c06f000000")].chain == b"tcb chain"
    assert (found.qe_identity.document, found.root_crl, found.tpm) == (b"qe", b"root", (b"intermediate",))
    assert found.pck_crls == {"platform": b"pck", "processor": b"pck2"}
    assert found.rims == {"NV_GPU_DRIVER_GH100_590.12": b"<rim/>"}
    assert found.ocsp == {b"\x12" * 32: b"answer"}


def test_an_empty_folder_is_one(tmp_path):
    found = load_collateral(write(tmp_path, {}))
    assert (found.tcb_infos, found.qe_identity, found.root_crl) == ({}, None, None)


@pytest.mark.parametrize(("kind", "gpus"), [(GCP_TDX, 1), (AZURE_SNP, 0)])
def test_a_gathered_folder_serves_a_verification(tmp_path, kind, gpus):
    vm = SimulatedCloudVm(kind, gpus=gpus)
    assert accepted(vm, collateral=load_collateral(write(tmp_path, vm.files())))


def test_the_index_proves_nothing(tmp_path):
    vm = SimulatedCloudVm(GCP_TDX)
    files = vm.files()
    path = next(path for path in files if path.startswith("intel/tcb_info") and path.endswith("json"))
    edited = files[path].replace(b'"UpToDate"', b'"OutOfDate"')
    assert edited != files[path]
    refused(vm, "T7.8", collateral=load_collateral(write(tmp_path, files | {path: edited})))


@pytest.mark.parametrize(
    "path",
    [
        "../evil.der",
        "/etc/passwd",
        "amd/rome/ask.der",
        "amd/genoa/ark.der",
        "amd/genoa/../milan/ask.der",
        "amd/genoa/ask.der\n",
        f"amd/vcek/{'ab' * 32}-{TCB}.der",
        f"amd/vcek/{CHIP.upper()}-{TCB}.der",
        f"amd/vlek/../x-{TCB}.der",
        "intel/tcb_info-90C06F000000.json",
        "intel/sgx.json",
        "nvidia/rim/..xml/x.xml",
        "nvidia/ocsp/12.der",
        "tpm/root.der",
        "index.json",
        "notes.txt",
        "",
    ],
)
def test_a_path_that_does_not_belong_here(tmp_path, path):
    with pytest.raises(EvidenceError):
        collateral_of({path: b""}, gathered_at=GATHERED)
    rows = index({path: b""})
    with pytest.raises(EvidenceError, match="path"):
        load_collateral(write(tmp_path, {}, rows))


def test_intermediates_are_few():
    many = {f"tpm/{number:064x}.der": b"" for number in range(65)}
    with pytest.raises(EvidenceError, match="more than 64"):
        collateral_of(many, gathered_at=GATHERED)


@pytest.mark.parametrize("half", ["intel/tcb_info-90c06f000000.json", "intel/qe_identity.pem"])
def test_half_of_a_pair(half):
    with pytest.raises(EvidenceError, match="together"):
        collateral_of({half: b"x"}, gathered_at=GATHERED)


def test_a_file_that_nobody_named(tmp_path):
    write(tmp_path, FILES)
    (tmp_path / "amd/genoa/more.der").write_bytes(b"x")
    with pytest.raises(EvidenceError, match=r"more\.der.*not named"):
        load_collateral(tmp_path)


def test_a_file_that_is_not_there(tmp_path):
    write(tmp_path, FILES)
    (tmp_path / "intel/root_crl.der").unlink()
    with pytest.raises(EvidenceError, match=r"root_crl\.der"):
        load_collateral(tmp_path)


def test_a_file_that_was_changed(tmp_path):
    write(tmp_path, FILES)
    (tmp_path / "intel/root_crl.der").write_bytes(b"other")
    with pytest.raises(EvidenceError, match="gather again"):
        load_collateral(tmp_path)


@pytest.mark.parametrize("target", ["amd/genoa/crl.der", "intel"])
def test_a_link_leads_nowhere(tmp_path, target):
    folder = write(tmp_path / "folder", FILES)
    (tmp_path / "elsewhere").mkdir()
    (folder / target).rename(tmp_path / "elsewhere/moved")
    (folder / target).symlink_to(tmp_path / "elsewhere/moved")
    with pytest.raises(EvidenceError, match="link"):
        load_collateral(folder)


def test_a_pipe_is_not_waited_for(tmp_path):
    write(tmp_path, FILES)
    (tmp_path / "intel/root_crl.der").unlink()
    os.mkfifo(tmp_path / "intel/root_crl.der")
    with pytest.raises(EvidenceError, match="no such file"):
        load_collateral(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version"),
        ({"more": 1}, "unknown key"),
        ({"gathered_at": "now"}, "gathered_at"),
        ({"files": {}}, "files"),
        ({"files": [1]}, r"files\[0\]"),
        ({"files": [{"path": "intel/root_crl.der", "sha256": "00", "source": "x"}]}, "sha256"),
        ({"files": [{"path": "intel/root_crl.der", "sha256": "00" * 32}]}, "missing source"),
        ({"files": index(FILES)["files"][::-1]}, "not sorted"),
        ({"files": [index(FILES)["files"][0]] * 2}, "comes twice"),
    ],
)
def test_another_index(tmp_path, change, says):
    with pytest.raises(EvidenceError, match=says):
        load_collateral(write(tmp_path, FILES, index(FILES) | change))


def test_no_folder_at_all(tmp_path):
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(EvidenceError, match=r"index\.json"):
            load_collateral(wrong)


def test_sizes_are_bounded(tmp_path, monkeypatch):
    write(tmp_path, FILES)
    monkeypatch.setattr(module, "MAX_FILE", 4)
    with pytest.raises(EvidenceError, match="over the limit of 4 bytes"):
        load_collateral(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_FOLDER", 20)
    with pytest.raises(EvidenceError, match="over the limit"):
        load_collateral(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_FILES", 3)
    with pytest.raises(EvidenceError, match="files"):
        load_collateral(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300) | st.recursive(st.integers() | st.text(max_size=8), st.lists).map(repr))
def test_any_index_is_read_or_refused(tmp_path, data):
    (tmp_path / "index.json").write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
    with pytest.raises(EvidenceError):
        load_collateral(tmp_path)


def test_the_index_is_canonical_json():
    assert json.loads(canonical_json(index(FILES))) == index(FILES)
