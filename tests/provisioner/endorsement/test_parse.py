"""An endorsement is read to its last byte or not at all, with the path of the field that is not what it should be."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256, sha384

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import EvidenceError
from provisioner.endorsement.parse import MAX_SIZE, parse_endorsement, parse_golden
from tests.fakes.simulated_endorsement import (
    FAMILY,
    FIRMWARE,
    VCPUS,
    SimulatedEndorsement,
    count,
    digest,
    messages,
    part,
    wrapped,
)
from tests.totality import only_evidence_errors, with_a_few_changes

GOOD = SimulatedEndorsement().data()
TIME, CERT, DIGEST = part(1, count(1, 1_700_000_000)), part(4, b"certificate"), part(5, bytes(48))
TD = part(8, part(2, part(3, bytes(48))))
SOUND = TIME + CERT + DIGEST + TD
bounded = settings(max_examples=200, derandomize=True, deadline=None, database=None)


def test_everything_that_google_states_is_read():
    found = parse_endorsement(GOOD)
    golden, snp, tdx = found.golden, found.golden.sev_snp, found.golden.tdx
    assert found.sha256 == sha256(GOOD).digest()
    assert golden.timestamp == datetime(2026, 5, 21, 12, 0, tzinfo=UTC)
    assert (golden.cl_spec, golden.commit.hex()[:8], golden.digest) == (
        123456789,
        "988881ad",
        sha384(FIRMWARE).digest(),
    )
    assert (snp.svn, snp.policy, snp.family_id, snp.image_id) == (2, 0x70000, FAMILY, bytes(range(16)))
    assert dict(snp.measurements) == {number: digest(f"snp {number}") for number in VCPUS}
    assert (tdx.svn, [(one.ram_gib, one.early_accept, one.mrtd) for one in tdx.measurements]) == (
        2,
        [(0, False, digest("td"))],
    )
    assert golden.unread == ()


def test_the_signed_bytes_are_those_that_came():
    made = SimulatedEndorsement()
    golden = made.golden()
    signature = made.sign(golden)
    found = parse_endorsement(wrapped(golden, signature))
    assert (found.signed, found.signature) == (golden, signature)


@pytest.mark.parametrize("technology", ["sev_snp", "tdx"])
def test_one_technology_is_enough(technology):
    golden = parse_golden(SimulatedEndorsement(changes={technology: None}).golden())
    assert getattr(golden, technology) is None


def test_a_shape_of_2024_is_read_with_every_size_of_ram():
    """Then the size of RAM was measured, with memory accepted early or late: twelve values, and the one for any."""
    tds = [(g, e, digest(f"{g} {e}")) for g in (16, 32, 88, 176, 352, 704) for e in (False, True)]
    tds = [*tds, (0, False, digest("td"))]
    golden = parse_golden(SimulatedEndorsement(tds=tds).golden())
    assert [(one.ram_gib, one.early_accept, one.mrtd) for one in golden.tdx.measurements] == sorted(tds)


def test_fields_of_a_later_schema_are_told():
    """Google added one since it began: it is signed, so it is stepped over, and the operator sees that."""
    later = SimulatedEndorsement(more_snp={"svsm_measurement": bytes(48)}).golden()
    assert parse_golden(later + count(99, 1)).unread == ("golden field 99", "golden.sev_snp field 7")


def entry(key, value):
    return part(2, count(1, key) + part(2, value))


def snp(content):
    return TIME + CERT + DIGEST + part(7, content)


def tdx(content):
    return TIME + CERT + DIGEST + part(8, content)


REFUSED = [
    ("nothing", b"", "golden.timestamp: missing"),
    ("no date", CERT + DIGEST + TD, "golden.timestamp: missing"),
    ("no certificate", TIME + DIGEST + TD, "golden.cert: missing"),
    ("no digest of the firmware", TIME + CERT + TD, "golden.digest: expected 48 bytes, got 0"),
    ("a digest of SHA-256", TIME + CERT + part(5, bytes(32)) + TD, "golden.digest: expected 48 bytes, got 32"),
    ("nothing that is endorsed", TIME + CERT + DIGEST, "it endorses no measurement"),
    ("a date twice", TIME + SOUND, "timestamp stands more than 1 times"),
    ("a certificate twice: which one signed?", SOUND + CERT, "cert stands more than 1 times"),
    ("a digest twice: of which firmware?", SOUND + DIGEST, "digest stands more than 1 times"),
    ("TDX twice: libraries merge both", SOUND + TD, "tdx stands more than 1 times"),
    ("a change list twice", count(2, 1) + SOUND + count(2, 1), "cl_spec stands twice"),
    ("a date before 1970", part(1, count(1, (1 << 64) - 1)) + CERT + DIGEST + TD, "golden.timestamp byte"),
    ("a date after the year 9999", part(1, count(1, 253402300800)) + CERT + DIGEST + TD, "golden.timestamp byte"),
    ("a second of over a second", part(1, count(2, 1_000_000_000)) + CERT + DIGEST + TD, "golden.timestamp byte"),
    ("a date as a number", count(1, 5) + CERT + DIGEST + TD, "wire type 0 in place of 2"),
    ("SEV-SNP's for no CPU", snp(entry(0, bytes(48))), r"measurements\[0\].key: a measurement for no virtual CPU"),
    ("SEV-SNP's without a count", snp(part(2, part(2, bytes(48)))), "for no virtual CPU"),
    (
        "one count twice: libraries take the last",
        snp(entry(8, bytes(48)) + entry(8, b"x" * 48)),
        r"\[1\].key: stands twice",
    ),
    ("SEV-SNP's of SHA-256", snp(entry(8, bytes(32))), r"measurements\[0\].value: expected 48 bytes, got 32"),
    ("SEV-SNP's without a value", snp(part(2, count(1, 8))), "expected 48 bytes, got 0"),
    ("a count of 33 bits", snp(entry(1 << 32, bytes(48))), r"measurements\[0\] byte"),
    ("a family that is no UUID", snp(part(3, bytes(15))), "family_id: expected 0 or 16 bytes, got 15"),
    ("an image that is no UUID", snp(part(4, bytes(17))), "image_id of 17 bytes is over the limit"),
    ("a policy twice", snp(count(5, 1) + count(5, 2)), "policy stands twice"),
    ("an MRTD of SHA-256", tdx(part(2, part(3, bytes(32)))), r"golden.tdx.measurements\[0\].mrtd: expected 48"),
    ("a TD without MRTD", tdx(part(2, count(1, 16))), "expected 48 bytes, got 0"),
    ("early accept of 2", tdx(part(2, count(2, 2) + part(3, bytes(48)))), "early_accept is 2, over the limit"),
    ("one size of RAM twice", tdx(2 * part(2, count(1, 16) + part(3, bytes(48)))), "a second measurement"),
    ("an unknown wire type", SOUND + b"\x4e\x01", "wire type 6"),
    ("a byte too many", SOUND + b"\x08", "golden byte"),
]


@pytest.mark.parametrize(("attack", "data", "message"), REFUSED, ids=[attack for attack, _, _ in REFUSED])
def test_what_is_signed_is_refused_when_it_is_not_the_schemas(attack, data, message):
    assert parse_golden(SOUND)
    with pytest.raises(EvidenceError, match=message):
        parse_golden(data)


OUTER = [
    ("nothing", b"", "serialized_uefi_golden: missing"),
    ("no signature", part(1, SOUND), "signature: missing"),
    ("a signature of no bytes", part(1, SOUND) + part(2, b""), "signature: missing"),
    ("nothing that is signed", part(2, b"s"), "serialized_uefi_golden: missing"),
    ("two that are signed", part(1, SOUND) * 2 + part(2, b"s"), "stands more than 1 times"),
    ("two signatures", part(1, SOUND) + part(2, b"s") * 2, "signature stands more than 1 times"),
    (
        "a field beside them, which nobody signed",
        part(1, SOUND) + part(2, b"s") + count(3, 1),
        "field 3 does not belong",
    ),
    ("a signature of a megabyte", part(1, SOUND) + part(2, bytes(1 << 17)), "signature of 131072 bytes"),
    ("a file that is too large", part(1, bytes(MAX_SIZE)), "over the limit"),
    ("a length of 2**62", b"\x0a" + b"\x80" * 8 + b"\x40", "over the limit"),
    ("text", b"-----BEGIN ENDORSEMENT-----", "endorsement byte"),
]


@pytest.mark.parametrize(("attack", "data", "message"), OUTER, ids=[attack for attack, _, _ in OUTER])
def test_what_is_around_it_is_exact(attack, data, message):
    assert parse_endorsement(part(1, SOUND) + part(2, b"s"))
    with pytest.raises(EvidenceError, match=message):
        parse_endorsement(data)


def test_cut_short_anywhere_it_is_refused():
    for size in range(len(GOOD)):
        with pytest.raises(EvidenceError):
            parse_endorsement(GOOD[:size])


@bounded
@given(st.binary(max_size=512))
def test_any_bytes_are_read_or_refused_with_a_place(data):
    only_evidence_errors(parse_endorsement, data)
    only_evidence_errors(parse_golden, data)
    only_evidence_errors(parse_endorsement, part(1, data) + part(2, b"s"))


def test_good_bytes_with_a_few_changes_are_read_or_refused_with_a_place():
    with_a_few_changes(lambda data: only_evidence_errors(parse_endorsement, data), GOOD, examples=200)
    with_a_few_changes(
        lambda data: only_evidence_errors(parse_golden, data), SimulatedEndorsement().golden(), examples=200
    )


def test_whatever_is_read_googles_library_reads_the_same():
    """Bytes that are taken have no second meaning for a reader of Google's own library."""

    def check(data):
        try:
            ours = parse_golden(data)
        except EvidenceError:
            return
        theirs = messages()["VMGoldenMeasurement"].FromString(data)
        assert (ours.cl_spec, ours.commit, ours.certificate) == (theirs.cl_spec, theirs.commit, theirs.cert)
        assert ours.digest == theirs.digest
        found = ours.sev_snp.measurements if ours.sev_snp else {}
        assert dict(found) == {one.key: one.value for one in theirs.sev_snp.measurements}
        tds = ours.tdx.measurements if ours.tdx else ()
        read = {(one.ram_gib, one.early_accept, one.mrtd) for one in tds}
        assert read == {(one.ram_gib, one.early_accept, one.mrtd) for one in theirs.tdx.measurements}

    small = SimulatedEndorsement(snp={1: digest("1"), 8: digest("8")}, changes={"ca_bundle": None}).golden()
    with_a_few_changes(check, small, examples=400)
