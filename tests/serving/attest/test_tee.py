"""The CPU's report through configfs: asked for once, not mixed with another's, and never left out where a TEE is."""

from __future__ import annotations

import struct

import pytest

from serving.attest.interface import Machine
from serving.attest.snp import ASK, VCEK, VLEK, certificates
from serving.attest.tee import DEVICES, ENTRY, make_report
from serving.errors import SealError
from tests.fakes.kernel_reports import StandInKernel

BYTES = bytes(range(64))


class Kernel(StandInKernel):
    """The stand-in, which mostly plays SEV-SNP here."""

    def __init__(self, root, provider="sev_guest", answer=lambda data: b"report over " + data):
        super().__init__(root, provider, answer)


def table(*entries, end=True):
    """Encode a table of certificates."""
    start, head, body = 24 * (len(entries) + 1), b"", b""
    for guid, data in entries:
        head += struct.pack("<16sII", guid.bytes, start + len(body), len(data))
        body += data
    return head + (bytes(24) if end else b"") + body


def test_a_machine_without_tee_has_no_report(tmp_path):
    assert make_report(Machine(tmp_path, b""), BYTES) is None


def test_snp_gives_the_report_over_the_bytes_and_the_hosts_certificates(tmp_path):
    kernel = Kernel(tmp_path)
    (kernel.entry / "auxblob").write_bytes(table((ASK, b"ask"), (VCEK, b"vcek")))
    tee = make_report(Machine(tmp_path, b""), BYTES)
    assert (tee.kind, tee.report, tee.certificates) == ("snp", b"report over " + BYTES, (b"vcek", b"ask"))
    assert (tee.runtime_data, tee.ccel) == (b"", b"")


def test_tdx_gives_the_quote_over_the_bytes_and_the_firmwares_log(tmp_path):
    Kernel(tmp_path, "tdx_guest")
    tee = make_report(Machine(tmp_path, b"log"), BYTES)
    assert (tee.kind, tee.report, tee.certificates, tee.ccel) == ("tdx", b"report over " + BYTES, (), b"log")


def test_tdx_without_a_log_ends_the_boot(tmp_path):
    Kernel(tmp_path, "tdx_guest")
    with pytest.raises(SealError, match="no CCEL log"):
        make_report(Machine(tmp_path, b""), BYTES)


@pytest.mark.parametrize("device", DEVICES)
def test_a_tee_that_the_initrd_made_no_entry_for_ends_the_boot(tmp_path, device):
    (tmp_path / "dev").mkdir()
    (tmp_path / device).touch()
    with pytest.raises(SealError, match=r"no TEE report \(No such file"):
        make_report(Machine(tmp_path, b""), BYTES)


def test_an_entry_without_device_is_no_machine_without_tee(tmp_path):
    (tmp_path / ENTRY).mkdir(parents=True)
    with pytest.raises(SealError, match="no TEE report"):
        make_report(Machine(tmp_path, b""), BYTES)


@pytest.mark.parametrize("provider", ["arm_cca_guest", "", "sev_guest2"])
def test_a_provider_of_which_no_rule_knows_ends_the_boot(tmp_path, provider):
    kernel = Kernel(tmp_path)
    (kernel.entry / "provider").write_text(provider)
    with pytest.raises(SealError, match="which no rule knows"):
        make_report(Machine(tmp_path, b""), BYTES)


@pytest.mark.parametrize("step", [0, 2], ids=["the write was lost", "another wrote too"])
def test_a_report_that_may_be_over_other_bytes_ends_the_boot(tmp_path, step):
    Kernel(tmp_path).step = step
    with pytest.raises(SealError, match="somebody else used the entry"):
        make_report(Machine(tmp_path, b""), BYTES)


@pytest.mark.parametrize(("answer", "why"), [(b"", "it is empty"), (b"x" * 65_537, "longer than 65536")])
def test_an_empty_or_a_huge_report_ends_the_boot(tmp_path, answer, why):
    Kernel(tmp_path, answer=lambda _: answer)
    with pytest.raises(SealError, match=why):
        make_report(Machine(tmp_path, b""), BYTES)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_other_sizes_than_64_bytes_never_reach_the_hardware(tmp_path, size):
    Kernel(tmp_path)
    with pytest.raises(SealError, match=f"{size} bytes in place of 64"):
        make_report(Machine(tmp_path, b""), bytes(size))


def test_a_broken_table_of_the_hosts_does_not_keep_the_report_back(tmp_path):
    kernel = Kernel(tmp_path)
    (kernel.entry / "auxblob").write_bytes(table((VCEK, b"vcek"))[:50])
    tee = make_report(Machine(tmp_path, b""), BYTES)
    assert (tee.report, tee.certificates) == (b"report over " + BYTES, ())


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", ()),
        (bytes(4096), ()),
        (table((VCEK, b"vcek")), (b"vcek",)),
        (table((VLEK, b"vlek"), (ASK, b"asvk")), (b"vlek", b"asvk")),
        (table((ASK, b"ask")), ()),
        (table((VCEK, b"first"), (VCEK, b"second")), (b"first",)),
    ],
    ids=["none", "zeros", "a VCEK", "a VLEK", "no signing key's", "two of a kind"],
)
def test_the_signing_keys_certificate_comes_first_or_there_is_none(data, found):
    assert certificates(data) == found


@pytest.mark.parametrize(
    "data",
    [
        table((VCEK, b"vcek"), end=False)[:24],
        b"\1" * 23,
        table(*[(ASK, b"")] * 17),
        struct.pack("<16sII", VCEK.bytes, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(24),
    ],
    ids=["without end", "cut short", "too many", "out of range"],
)
def test_a_table_that_contradicts_itself_counts_as_none(data):
    assert certificates(data) == ()
