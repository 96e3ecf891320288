"""A disk's bytes into Azure: only what is not zero, from where it was, and never half of it taken for the whole."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest

from provisioner.clouds.azure import plan
from provisioner.clouds.azure.api import Wire
from provisioner.clouds.azure.upload import CHUNK, Upload, upload
from provisioner.clouds.azure.vhd import FOOTER_SIZE, footer, geometry
from provisioner.clouds.resources import Key
from provisioner.errors import CloudError
from tests.fakes.cloud_api import Answer, Fault
from tests.provisioner.clouds.conftest import quiet

MIB = 1 << 20
GIB = 1 << 30


def pages(azure):
    return [call for call in azure.api.calls if call.query.get("comp") == "page"]


def test_the_footer_is_a_fixed_vhds():
    told = footer(GIB, name="disk toy")
    assert len(told) == FOOTER_SIZE
    head = struct.unpack(">8sIIQI4sI4sQQHBBI", told[:64])
    assert head[:5] == (b"conectix", 2, 0x00010000, 0xFFFFFFFFFFFFFFFF, 0)
    assert head[8:10] == (GIB, GIB)
    assert head[13] == 2  # fixed
    (checksum,) = struct.unpack(">I", told[64:68])
    assert checksum == ~(sum(told) - sum(told[64:68])) & 0xFFFFFFFF
    assert told[84:] == bytes(428)  # no saved state, and nothing behind it


def test_the_footer_depends_on_size_and_name_alone():
    assert footer(GIB, name="a") == footer(GIB, name="a")
    assert footer(GIB, name="a")[68:84] != footer(GIB, name="b")[68:84]


@pytest.mark.parametrize("size", [0, -MIB, MIB - 1, MIB + 512])
def test_a_size_that_is_no_whole_number_of_mib_has_no_footer(size):
    with pytest.raises(ValueError, match=r"a whole number of MiB"):
        footer(size, name="x")


@pytest.mark.parametrize(
    ("sectors", "expected"),
    [
        (40960, (602, 4, 17)),  # 20 MiB
        (2097152, (2080, 16, 63)),  # 1 GiB
        (8388608, (8322, 16, 63)),  # 4 GiB
        (65535 * 16 * 63, (16191, 16, 255)),
        (1 << 40, (65535, 16, 255)),
    ],
)
def test_the_geometry_is_the_specifications(sectors, expected):
    assert geometry(sectors) == expected


def test_what_is_zero_is_not_sent_and_the_footer_comes_last(azure):
    azure.apply(azure.spec(image=1))
    sent = pages(azure)
    assert sum(len(call.body) for call in sent) < 40 * MIB
    assert all(len(call.body) <= CHUNK and any(call.body) for call in sent)
    for disk in azure.cloud.blobs.values():
        assert max(disk.pages) == GIB
    assert azure.has(azure.spec(image=1))


def test_a_chunk_that_is_zero_between_two_that_are_not_is_left_out(azure):
    azure.apply()
    boot = next(blob for name, blob in azure.cloud.blobs.items() if name.endswith("-boot"))
    assert sorted(boot.pages) == [0, 2 * CHUNK, GIB]


def test_an_upload_that_was_interrupted_goes_on_where_it_was(azure):
    azure.api.faults.append(Fault(lambda call: call.query.get("comp") == "page", "before", skip=1))
    with pytest.raises(
        CloudError, match=r"disk toy-a+-boot: the connection ended .*run it again, it goes on where it was"
    ):
        azure.apply()
    first = [call.headers["x-ms-range"] for call in pages(azure)]
    azure.api.calls.clear()
    azure.apply()
    again = [call.headers["x-ms-range"] for call in pages(azure)]
    assert first[0] not in again[:2]
    assert azure.has(azure.spec())


def test_an_upload_whose_ranges_cannot_be_asked_begins_again(azure):
    azure.api.faults.append(Fault(lambda call: call.query.get("comp") == "page", "before", skip=1))
    with pytest.raises(CloudError):
        azure.apply()
    azure.api.faults[:] = [Fault(lambda call: call.query.get("comp") == "pagelist", Answer(403), times=9)]
    azure.apply()
    assert azure.has(azure.spec())


def test_a_disk_that_is_written_in_part_is_not_taken_for_a_disk(azure):
    """Its tags say what it shall be, not what it is."""
    azure.api.faults.append(Fault(lambda call: call.query.get("comp") == "page", "after", skip=1))
    with pytest.raises(CloudError):
        azure.apply()
    disk = next(one for one in plan(azure.spec()).resources if one.source)
    found = azure.session().driver().read(disk.key)
    assert disk.source is not None
    assert found.mark.deployment == "toy"
    assert found.mark.digest != disk.digest


def test_another_images_half_written_disk_is_deleted(azure):
    azure.api.faults.append(Fault(lambda call: call.query.get("comp") == "page", "before", skip=1))
    with pytest.raises(CloudError):
        azure.apply()
    azure.apply(azure.spec(image=1))
    assert azure.has(azure.spec(image=1))


def test_a_half_written_disk_is_destroyed_although_it_is_open(azure):
    azure.api.faults.append(Fault(lambda call: call.query.get("comp") == "page", "before", skip=1))
    with pytest.raises(CloudError):
        azure.apply()
    azure.destroy()
    assert azure.cloud.things == {}


def test_nobody_can_write_to_a_disk_that_is_complete(azure):
    azure.apply()
    (address, *_) = {f"{azure.api.url}{call.path}?sig={call.query['sig']}" for call in pages(azure)}
    wanted = Upload(source=azure.image().boot_disk, size=GIB, address=address, name="disk")
    with pytest.raises(CloudError, match=r"disk: the permission to write has ended; run it again"):
        upload(wanted, Wire(ca_file=str(azure.api.ca_file), retries=0), progress=quiet)


def test_an_address_that_expired_is_asked_for_again_by_the_next_run(azure):
    refused = Answer(403, b"", {"x-ms-error-code": "AuthenticationFailed", "x-ms-request-id": "late"})
    azure.api.faults.append(Fault(lambda call: call.query.get("comp") == "page", refused, skip=1))
    with pytest.raises(
        CloudError, match=r"the permission to write has ended; run it again, it goes on where it was \(request late\)"
    ):
        azure.apply()
    azure.apply()
    assert azure.has(azure.spec())


def test_the_address_is_in_no_message(azure):
    """Whoever has it can write the disk."""
    said = []
    azure.api.faults.append(Fault(lambda call: call.query.get("comp") == "page", "before", skip=1))
    with pytest.raises(CloudError) as raised:
        azure.apply(progress=said.append)
    assert "sig" not in str(raised.value)
    assert not [line for line in said if "sig=" in line or "blob/" in line]


def test_a_page_that_is_changed_on_its_way_is_refused(azure, monkeypatch):
    wrong = SimpleNamespace(md5=lambda *_, **__: SimpleNamespace(digest=lambda: bytes(16)))
    monkeypatch.setattr("provisioner.clouds.azure.upload.hashlib", wrong)
    with pytest.raises(CloudError, match=r"disk toy-a+-boot: .*correct what it names"):
        azure.apply()


@pytest.mark.parametrize("retries", [0, 3])
def test_a_busy_store_is_waited_for(azure, retries):
    azure.retries = retries
    busy = Answer(503, b"", {"Retry-After": "0", "x-ms-error-code": "ServerBusy"})
    azure.api.faults.append(Fault(lambda call: call.query.get("comp") == "page", busy, times=2))
    if retries:
        azure.apply()
    else:
        with pytest.raises(CloudError, match=r"Azure itself failed; run it again"):
            azure.apply()


def test_a_disk_that_is_gone_is_said(azure, tmp_path):
    wanted = Upload(source=tmp_path / "none.raw", size=GIB, address="https://127.0.0.1:1/x?sig=1", name="disk")
    with pytest.raises(CloudError, match=r"none\.raw: No such file or directory; bake the image again"):
        upload(wanted, Wire(), progress=quiet)


def test_a_disk_that_is_too_large_is_said(azure):
    source = azure.image().boot_disk
    wanted = Upload(source=source, size=8 * MIB, address="https://127.0.0.1:1/x?sig=1", name="disk")
    with pytest.raises(CloudError, match=r"larger than the disk; raise boot_disk_gib or model_disk_gib"):
        upload(wanted, Wire(), progress=quiet)


def test_progress_is_shown(azure):
    said = []
    azure.apply(progress=said.append)
    assert [line for line in said if line.startswith("disk ") and "all there" in line]
    assert Key("virtualMachine", "toy") in [
        Key(*line.split(":")[0].split(" ")) for line in said if "creates it" in line
    ]
