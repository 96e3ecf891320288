"""A disk on its way into Cloud Storage: what it becomes, and every way in which it can be held up."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile

import pytest

from provisioner.clouds.gcp import archive
from provisioner.clouds.gcp.api import Limits
from provisioner.clouds.gcp.archive import GIB, pack
from provisioner.clouds.gcp.upload import Upload
from provisioner.errors import CloudError
from tests.fakes.cloud_api import Answer, Fault
from tests.provisioner.clouds.conftest import quiet

PIECE = 256 << 10
BODY = {"name": "boot.tar.gz", "contentType": "application/gzip", "metadata": {}}


@pytest.fixture
def sending(lab, disks):
    """A bucket, and an upload of a disk that is packed already."""
    lab.project.buckets["bucket"] = {"name": "bucket"}
    folder = lab.folder / "uploads"
    folder.mkdir()

    def make(body=BODY, **more):
        target = folder / BODY["name"]
        if not target.exists():
            target.write_bytes((disks / "boot.tar.gz").read_bytes())
        return Upload(lab.vendor(**more).session().driver().api, "bucket", body, disks / "boot.raw", folder, PIECE)

    return make


def arrived(lab):
    return lab.project.objects["bucket", BODY["name"]]["bytes"]


def pieces(lab):
    return [call for call in lab.api.calls if call.method == "PUT" and call.body]


def is_piece(call):
    return call.method == "PUT" and call.body


def test_a_disk_is_disk_raw_in_an_old_gnu_tar_of_whole_gibibytes_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "a.raw").write_bytes(b"disk" * 1000)
    said = []
    monkeypatch.setattr("provisioner.clouds.gcp.archive.paced", lambda progress: progress)
    packed = pack(tmp_path / "a.raw", tmp_path / "new" / "a.tar.gz", progress=said.append)
    assert said[-1] == "a.raw: packs 1 of 1 GiB"
    assert packed.size == packed.path.stat().st_size
    with tarfile.open(packed.path) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.size, member.mtime, member.uid) == ("disk.raw", GIB, 0, 0)
        assert tar.extractfile(member).read(4096) == b"disk" * 1000 + bytes(96)
    assert [path.name for path in packed.path.parent.iterdir()] == ["a.tar.gz"]


def test_a_disk_one_byte_longer_takes_one_gibibyte_more(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "GIB", 1 << 20)
    for size, wanted in ((1 << 20, 1 << 20), ((1 << 20) + 1, 2 << 20), (0, 1 << 20)):
        (tmp_path / "a.raw").write_bytes(bytes(size))
        packed = pack(tmp_path / "a.raw", tmp_path / f"{size}.tar.gz", progress=quiet)
        with tarfile.open(packed.path) as tar:
            assert tar.getmembers()[0].size == wanted


def test_the_same_disk_makes_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "GIB", 1 << 20)
    (tmp_path / "a.raw").write_bytes(b"x" * 5000)
    one, other = (pack(tmp_path / "a.raw", tmp_path / name, progress=quiet) for name in ("one", "other"))
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.md5 == other.md5


def test_a_disk_that_is_not_there(tmp_path):
    with pytest.raises(CloudError, match=r"cannot pack .*absent.raw.*bake first"):
        pack(tmp_path / "absent.raw", tmp_path / "a.tar.gz", progress=quiet)
    assert not (tmp_path / "a.tar.gz").exists()


def test_everything_arrives_in_pieces_and_nothing_is_kept(lab, sending, disks, monkeypatch):
    said = []
    monkeypatch.setattr("provisioner.clouds.gcp.upload.paced", lambda progress: progress)
    sending().run(progress=said.append)
    assert arrived(lab) == (disks / "boot.tar.gz").read_bytes()
    assert len(pieces(lab)) == -(-len(arrived(lab)) // PIECE)
    size = len(arrived(lab)) >> 20
    assert said[-1] == f"boot.tar.gz: all {size} MiB are there"
    assert said[:-1] == [
        f"boot.tar.gz: {100 * n * PIECE // len(arrived(lab))} % of {size} MiB are there"
        for n in range(len(pieces(lab)))
    ]
    assert list((lab.folder / "uploads").iterdir()) == []


def interrupted(lab, sending, after=2):
    """Let a process end in the middle: its third piece fails for good."""
    lab.api.faults.append(Fault(is_piece, Answer(403, b"no"), skip=after))
    with pytest.raises(CloudError):
        sending().run(progress=quiet)


def test_a_new_process_goes_on_where_the_old_one_was(lab, sending, disks):
    interrupted(lab, sending)
    sent = sum(len(call.body) for call in pieces(lab)[:2])
    lab.api.calls.clear()
    sending().run(progress=quiet)
    assert sum(len(call.body) for call in pieces(lab)) == len(arrived(lab)) - sent
    assert arrived(lab) == (disks / "boot.tar.gz").read_bytes()


def test_google_forgot_the_upload(lab, sending, disks):
    interrupted(lab, sending)
    lab.project.uploads.clear()
    sending().run(progress=quiet)
    assert arrived(lab) == (disks / "boot.tar.gz").read_bytes()


DAMAGE = {
    "is empty": b"", "is no JSON": b"{", "is a list": b"[]", "names no address": b"{}",
    "is of other bytes": json.dumps({"url": "u", "md5": "x", "body": BODY}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_record_that_is_damaged_only_means_to_begin_again(lab, sending, disks, damage):
    interrupted(lab, sending)
    (lab.folder / "uploads/boot.tar.gz.upload").write_bytes(DAMAGE[damage])
    sending().run(progress=quiet)
    assert arrived(lab) == (disks / "boot.tar.gz").read_bytes()


def test_a_record_that_leads_to_another_machine_is_not_followed(lab, sending):
    """Whoever could write there would be sent the disk, and a token with it."""
    interrupted(lab, sending)
    record = lab.folder / "uploads/boot.tar.gz.upload"
    kept = json.loads(record.read_text())
    assert record.stat().st_mode & 0o777 == 0o600
    record.write_text(json.dumps(kept | {"url": "https://127.0.0.2:1/upload"}))
    sending().run(progress=quiet)
    assert hashlib.md5(arrived(lab), usedforsecurity=False).digest()


def test_a_record_of_another_body_is_not_gone_on_with(lab, sending):
    interrupted(lab, sending)
    sending(BODY | {"metadata": {"vitrine-digest": "another"}}).run(progress=quiet)
    assert lab.project.objects["bucket", "boot.tar.gz"]["metadata"] == {"vitrine-digest": "another"}


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("piece", [0, 1, 3])
def test_a_piece_that_is_lost_is_asked_about_and_sent_again(lab, sending, disks, how, piece):
    lab.api.faults.append(Fault(is_piece, how, skip=piece))
    sending().run(progress=quiet)
    assert arrived(lab) == (disks / "boot.tar.gz").read_bytes()


def test_a_busy_google_gets_the_piece_again(lab, sending, disks):
    lab.api.faults.append(Fault(is_piece, Answer(503, b"", {"Retry-After": "0"}), times=2))
    sending().run(progress=quiet)
    assert arrived(lab) == (disks / "boot.tar.gz").read_bytes()


def test_what_arrives_damaged_is_no_success(lab, sending, monkeypatch):
    real = lab.google._storage._complete
    monkeypatch.setattr(lab.google._storage, "_complete", lambda upload: real(upload) | {"md5Hash": "AAAA"})
    with pytest.raises(CloudError, match="arrived damaged in Cloud Storage"):
        sending().run(progress=quiet)


def test_nothing_is_written_over_something_that_is_there(lab, sending):
    lab.project.objects["bucket", "boot.tar.gz"] = {"name": "boot.tar.gz", "bytes": b"theirs"}
    with pytest.raises(CloudError, match="pre-conditions"):
        sending().run(progress=quiet)
    assert arrived(lab) == b"theirs"


def test_a_file_in_the_folders_place(lab, sending, disks):
    made = sending()
    (lab.folder / "uploads" / "x").write_text("")
    broken = Upload(made.api, "bucket", BODY, disks / "boot.raw", lab.folder / "uploads" / "x", PIECE)
    with pytest.raises(CloudError, match="cannot pack"):
        broken.run(progress=quiet)


HOSTILE = {
    "no progress, for ever": ("PUT", Answer(308), "Google takes no more of it"),
    "more than there is": ("PUT", Answer(308, b"", {"Range": "bytes=0-99999999999"}), "have arrived"),
    "a number without end": ("PUT", Answer(308, b"", {"Range": f"bytes=0-{'9' * 5000}"}), "Google takes no more of it"),
    "a page": ("PUT", Answer(200, b"<html>"), "an answer that is not understood"),
    "a list": ("PUT", Answer(200, b"[]"), "list instead of an object"),
    "no address": ("POST", Answer(200), "no address at Cloud Storage"),
    "an address elsewhere": ("POST", Answer(200, b"", {"Location": "https://127.0.0.1:9/x"}), "no address at Cloud"),
    "an address on the host": ("POST", Answer(200, b"", {"Location": "/x"}), "no address at Cloud Storage"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_storage_ends_in_our_error(lab, sending, name):
    method, answer, said = HOSTILE[name]
    upload = sending()
    matches = lambda call: call.method == method and not call.path.endswith("/token")  # noqa: E731
    lab.api.faults.append(Fault(matches, answer, times=1 << 30))
    with pytest.raises(CloudError, match=said):
        upload.run(progress=quiet)
    assert len([call for call in lab.api.calls if call.method == "PUT"]) < 10


@pytest.mark.parametrize("how", ["before", Answer(500), Answer(400, b"bad /upload?upload_id=upload-1")])
def test_the_address_of_an_upload_is_in_no_message_and_in_no_chain(lab, sending, how):
    upload = sending(limits=Limits(answer=1.0, call=0.1, operation=1.0, settle=0.1, pause=0.01))
    if isinstance(how, Answer):
        how = Answer(how.status, how.body, {"X-GUploader-UploadID": "upload-1"})
    lab.api.faults.append(Fault(lambda call: call.method == "PUT", how, times=1 << 30))
    with pytest.raises(CloudError) as caught:
        upload.run(progress=quiet)
    error = caught.value
    while error is not None:
        assert not re.search(r"upload_id=\w|upload-\d", str(error))
        error = error.__cause__ or error.__context__
