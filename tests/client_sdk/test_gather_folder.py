"""The folder and the cache: whole or not at all, refreshed where due, the same when nothing was."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from client_sdk.encoding import canonical_json
from client_sdk.errors import EvidenceError
from client_sdk.gather import folder as folders
from client_sdk.gather.collect import Supplier
from client_sdk.gather.folder import read_index, write
from client_sdk.gather.inventory import inventory
from client_sdk.gather.kept import Cache
from tests.fakes.gathering import NOW, TDX_NOW, evidence, files, gather, google_ak, snp, tdx
from tests.fakes.simulated_nvidia import SimulatedGpu
from tests.fakes.simulated_snp import SimulatedSnp
from tests.fakes.simulated_tdx import FMSPC, SimulatedTdx
from tests.fakes.simulated_vm import NOW as TODAY
from tests.fakes.vendors import KDS, OCSP, POOL, RIM, Reply

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CRL, CHAIN = "/vcek/v1/Milan/crl", "/vcek/v1/Milan/cert_chain"
CA_URL = f"http://{POOL}/03fac923d36887044de8/ca.crt"


@pytest.fixture
def chip(vendors):
    made = SimulatedSnp()
    vendors.chips.append(made)
    made.data = evidence(tee=snp(made))
    return made


def suppliers(run):
    return {found.wanted.path.rpartition("/")[2][:3]: found.supplier for found in run.collected.found}


def test_the_folder_is_as_its_readers_expect(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out")
    got = files(tmp_path / "out")
    index = json.loads(got.pop("index.json"))
    assert index["version"] == 1
    assert index["gathered_at"] == "2026-06-01T12:00:00Z"
    assert [row["path"] for row in index["files"]] == sorted(got)
    assert {row["path"]: row["sha256"] for row in index["files"]} == {
        path: sha256(data).hexdigest() for path, data in got.items()
    }
    assert all(row["source"].startswith(f"https://{KDS}/vcek/v1/Milan/") for row in index["files"])
    assert canonical_json(index) == (tmp_path / "out" / "index.json").read_bytes()
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_a_second_run_asks_nobody_and_changes_nothing(vendors, chip, tmp_path):
    first = gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    before, inode = files(tmp_path / "out"), (tmp_path / "out").stat().st_ino
    vendors.requests.clear()
    second = gather(chip.data, tmp_path / "out", cache=tmp_path / "cache", now=NOW + HOUR)
    assert (first.changed, second.changed) == (True, False)
    assert vendors.requests == []
    assert (files(tmp_path / "out"), (tmp_path / "out").stat().st_ino) == (before, inode)


def test_without_a_cache_the_folder_itself_is_used_again(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out")
    vendors.requests.clear()
    second = gather(chip.data, tmp_path / "out", now=NOW + HOUR)
    assert (second.changed, vendors.requests) == (False, [])
    assert set(suppliers(second).values()) == {Supplier.FOLDER}


def test_only_what_is_due_is_fetched_again(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    vendors.requests.clear()
    run = gather(chip.data, tmp_path / "out", cache=tmp_path / "cache", now=NOW + DAY)
    assert vendors.asked(KDS) == [CRL]
    assert run.changed
    assert suppliers(run) == {chip.hwid.hex()[:3]: Supplier.CACHE, "ask": Supplier.CACHE, "crl": Supplier.VENDOR}
    assert read_index(tmp_path / "out").gathered_at == NOW  # the oldest answer's


def test_what_is_past_its_own_dates_is_fetched_again(vendors, chip, tmp_path):
    short = chip.ark.crl(dates=(NOW - DAY, NOW + HOUR))
    vendors.replies[KDS, CRL] = [Reply(short, "application/pkix-crl")]
    gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    vendors.replies.clear()
    vendors.requests.clear()
    assert gather(chip.data, tmp_path / "out", cache=tmp_path / "cache", now=NOW + 2 * HOUR).changed
    assert vendors.asked(KDS) == [CRL]


def test_ocsp_is_due_twice_a_day_and_rims_are_not(vendors, tmp_path):
    gpu = SimulatedGpu()
    vendors.add_gpu(gpu)
    data = evidence(gpus=(gpu,))
    gather(data, tmp_path / "out", cache=tmp_path / "cache")
    vendors.requests.clear()
    gather(data, tmp_path / "out", cache=tmp_path / "cache", now=NOW + 13 * HOUR)
    assert (len(vendors.asked(OCSP)), vendors.asked(RIM)) == (6, [])


def test_a_vendor_that_is_away_is_bridged_by_what_is_kept(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    before = files(tmp_path / "out")
    vendors.replies[KDS, CRL] = [Reply(status=503)]
    run = gather(chip.data, tmp_path / "out", cache=tmp_path / "cache", now=NOW + 2 * DAY)
    assert (run.collected.failures, run.changed) == ((), False)
    assert suppliers(run)["crl"] is Supplier.OLD
    assert any("kept from 2026-06-01T12:00:00Z, because: " in line for line in run.said)
    assert files(tmp_path / "out") == before


def test_what_is_kept_bridges_nothing_past_its_own_dates(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    vendors.replies[KDS, CRL] = [Reply(status=503)]
    run = gather(chip.data, tmp_path / "out", cache=tmp_path / "cache", now=NOW + 320 * DAY)
    assert "HTTP 503" in run.collected.failures[0]


def test_a_vendor_that_says_that_it_knows_nothing_is_believed(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    vendors.replies[KDS, CRL] = [Reply(status=404)]
    run = gather(chip.data, tmp_path / "out", cache=tmp_path / "cache", now=NOW + 2 * DAY)
    assert "HTTP 404" in run.collected.failures[0]


def test_offline(vendors, chip, tmp_path):
    run = gather(chip.data, tmp_path / "first", cache=tmp_path / "cache", offline=True)
    assert "was not asked (offline)" in run.collected.failures[0]
    gather(chip.data, tmp_path / "second", cache=tmp_path / "cache")
    vendors.requests.clear()
    run = gather(chip.data, tmp_path / "third", cache=tmp_path / "cache", offline=True, now=NOW + 5 * DAY)
    assert (run.changed, vendors.requests) == (True, [])
    assert files(tmp_path / "second") == files(tmp_path / "third")


def test_a_folder_that_was_copied_elsewhere_needs_no_cache(vendors, tmp_path):
    """Files with issuers beside them, and CAs whose names are their hashes, are found in a folder too."""
    vendors.platforms.append(FMSPC.hex())
    data = evidence(tee=tdx(SimulatedTdx(vendors.intel)))
    tpm = google_ak(CA_URL)
    vendors.publish(CA_URL, tpm.ca.der)
    ak = evidence(ak=(tpm.certificate(),))
    gather(data, tmp_path / "intel", now=TDX_NOW)
    gather(ak, tmp_path / "google", now=TODAY)
    vendors.requests.clear()
    assert not gather(data, tmp_path / "intel", now=TDX_NOW + HOUR, offline=True).changed
    assert not gather(ak, tmp_path / "google", now=TODAY + HOUR, offline=True).changed


def test_a_clock_that_went_back_trusts_no_date(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    vendors.requests.clear()
    gather(chip.data, tmp_path / "out", cache=tmp_path / "cache", now=NOW - HOUR)
    assert len(vendors.requests) == 3


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


CACHED = {
    "cut": spoil,
    "empty": lambda path: path.write_bytes(b""),
    "no JSON": lambda path: path.write_bytes(b"\xff"),
    "another version": lambda path: path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2')),
    "another address": lambda path: path.write_bytes(path.read_bytes().replace(b"kdsintf", b"evilker")),
    "another file": lambda path: path.write_bytes(path.read_bytes().replace(b'"amd/', b'"abc/')),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("act", CACHED.values(), ids=CACHED)
def test_an_entry_of_the_cache_that_cannot_be_used_is_none(vendors, chip, tmp_path, act):
    gather(chip.data, tmp_path / "first", cache=tmp_path / "cache")
    entries = sorted((tmp_path / "cache").iterdir())
    assert len(entries) == 3
    for path in entries:
        act(path)
    vendors.requests.clear()
    assert gather(chip.data, tmp_path / "second", cache=tmp_path / "cache").changed
    assert len(vendors.requests) == 3


def test_the_cache_is_for_its_owner(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "cache").iterdir()} == {0o600}


def test_a_cache_that_cannot_be_written_does_not_matter(vendors, chip, tmp_path):
    (tmp_path / "cache").write_text("a file")
    run = gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    assert run.changed
    assert any("not kept in the cache" in line for line in run.said)


def test_a_failure_leaves_the_old_folder_alone(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out")
    before = files(tmp_path / "out")
    vendors.replies[KDS, CRL] = [Reply(status=404)]
    assert gather(chip.data, tmp_path / "out", now=NOW + 2 * DAY).collected.failures
    assert files(tmp_path / "out") == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "system-roots.pem"}


def test_the_folder_holds_what_is_wanted_now_and_nothing_else(vendors, chip, tmp_path):
    vendors.add_gpu(gpu := SimulatedGpu())
    gather(evidence(tee=snp(chip), gpus=(gpu,)), tmp_path / "out")
    gather(evidence(gpus=(gpu,)), tmp_path / "out")
    assert {path.split("/")[0] for path in files(tmp_path / "out")} == {"index.json", "nvidia"}


@pytest.mark.parametrize("name", ["notes.txt", "amd/notes.txt", "amd/milan/ark.der", ".hidden"])
def test_a_folder_with_something_else_in_it_is_never_replaced(vendors, chip, tmp_path, name):
    gather(chip.data, tmp_path / "out")
    (tmp_path / "out" / name).write_text("mine")
    before = files(tmp_path / "out")
    with pytest.raises(FileExistsError, match=f"holds {name}, which is no collateral"):
        gather(chip.data, tmp_path / "out", now=NOW + 2 * DAY)
    assert files(tmp_path / "out") == before


def test_nor_one_with_a_link_in_it(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.json").symlink_to(tmp_path)
    with pytest.raises(FileExistsError):
        write(tmp_path / "out", _index({}), {})


def test_a_changed_file_is_replaced(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out")
    before = files(tmp_path / "out")
    spoil(tmp_path / "out" / "amd/milan/ask.der")
    vendors.requests.clear()
    assert gather(chip.data, tmp_path / "out").changed
    assert len(vendors.requests) == 3  # a folder that is not what its index says is not used at all
    assert set(files(tmp_path / "out")) == set(before)


class Killed(BaseException):
    """The process ended here."""


def steps(folder):
    """Name every moment at which a write can be interrupted, as a function to break."""
    return [(Path, "rename"), (Path, "mkdir"), (Path, "chmod"), (os, "fsync"), (Path, "open")]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), Killed()])
@pytest.mark.parametrize("existing", [True, False])
def test_an_interrupted_write_leaves_the_old_folder_or_the_new(tmp_path, monkeypatch, existing, error):
    """Break each call of each step once: what is there is one of the two, whole, and nothing lies beside it."""
    out = tmp_path / "out"
    old, new = tuple(
        ({path: path.encode()}, _index({path: path.encode()})) for path in ("amd/milan/ask.der", "amd/milan/crl.der")
    )
    for owner, name in steps(out):
        for number in range(6):
            if existing:
                write(out, old[1], old[0])
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, _failing(getattr(owner, name), number, error))
                try:
                    write(out, new[1], new[0])
                except type(error):
                    pass
            allowed = [{**new[0], "index.json": new[1]}, {**old[0], "index.json": old[1]} if existing else {}]
            assert files(out) in allowed, (name, number)
            assert [path.name for path in tmp_path.iterdir() if path.name != "out"] == []
            write(out, new[1], new[0])
            assert files(out) == allowed[0]
            subprocess.run(["rm", "-rf", out], check=True)


def _failing(real, number, error):
    count = iter(range(100))

    def act(*args, **words):
        if next(count) == number:
            raise error
        return real(*args, **words)

    return act


def _index(content):
    rows = [{"path": p, "sha256": sha256(data).hexdigest(), "source": "https://x"} for p, data in content.items()]
    return canonical_json({"version": 1, "gathered_at": "2026-06-01T12:00:00Z", "files": rows})


def test_a_process_that_died_between_two_renames_is_made_good(tmp_path):
    out, path = tmp_path / "out", "amd/milan/ask.der"
    write(out, _index({path: b"1"}), {path: b"1"})
    out.rename(tmp_path / ".out.old")
    folders.recover(out)
    assert files(out)[path] == b"1"
    (tmp_path / ".out.old").mkdir()
    write(out, _index({path: b"2"}), {path: b"2"})
    assert files(out)[path] == b"2"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk(vendors, chip, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], check=False).returncode:
        pytest.skip("this container cannot mount")
    try:
        gather(chip.data, disk / "out")
        before = files(disk / "out")
        vendors.add_gpu(gpu := SimulatedGpu())
        with pytest.raises(OSError, match="No space left"):
            gather(evidence(tee=snp(chip), gpus=(gpu,)), disk / "out")
        assert files(disk / "out") == before
        assert [path.name for path in disk.iterdir()] == ["out"]
    finally:
        subprocess.run(["umount", disk], check=True)


INDEXES = {
    "not JSON": b"{",
    "another version": b'{"files":[],"gathered_at":"2026-06-01T12:00:00Z","version":2}',
    "more": b'{"files":[],"gathered_at":"2026-06-01T12:00:00Z","more":1,"version":1}',
    "no date": b'{"files":[],"gathered_at":"today","version":1}',
    "a path upwards": _index({"../x": b""}),
    "a path from the root": _index({"/etc/passwd": b""}),
    "a path of dots": _index({"amd/..": b""}),
    "a hidden path": _index({"amd/.x/../..": b""}),
    "the same twice": _index({"amd/x": b""}).replace(
        b'"files":[', b'"files":[' + _index({"amd/x": b""})[10:-54] + b","
    ),
    "out of order": _index({"b/x": b"", "a/x": b""}),
    "an old hash": _index({"amd/x": b""}).replace(sha256(b"").hexdigest().encode(), b"00"),
}


@pytest.mark.parametrize("data", INDEXES.values(), ids=INDEXES)
def test_an_index_that_is_none(tmp_path, data):
    (tmp_path / "index.json").write_bytes(data)
    with pytest.raises(EvidenceError):
        read_index(tmp_path)


def test_an_inventory_says_what_is_wrong(vendors, chip, tmp_path):
    out = tmp_path / "out"
    gather(chip.data, out)
    found = inventory(out)
    assert found.problems(NOW) == ()
    assert [item.contents.what for item in found.items] == [
        "certificate of SEV-Milan",
        "revocation list of ARK-Milan, 0 revoked",
        f"Milan-B0, key of chip {chip.hwid.hex()[:16]}",
    ]
    assert found.until == NOW.replace(hour=0) + 300 * DAY
    assert [line.rpartition(": ")[2] for line in found.problems(NOW + 301 * DAY)] == ["expired"]
    assert [line.rpartition(": ")[2] for line in found.problems(NOW - 20 * DAY)] == ["not yet good"]
    (out / "amd/milan/ask.der").unlink()
    spoil(out / "amd/milan/crl.der")
    (out / "more").write_text("")
    assert found.problems(NOW) == ()  # it was read before
    assert inventory(out).problems(NOW) == (
        "amd/milan/ask.der: cannot be read: No such file or directory",
        "amd/milan/crl.der: the file is not the one that the index names",
        "more: not in the index",
    )


def test_an_entry_is_for_one_address(tmp_path, vendors, chip):
    run = gather(chip.data, tmp_path / "out", cache=tmp_path / "cache")
    found = run.collected.found[0]
    assert Cache(tmp_path / "cache").get(found.wanted, found.kept.url).files == found.kept.files
    assert Cache(tmp_path / "cache").get(found.wanted, "https://kdsintf.amd.com/vcek/v1/Milan/other") is None
