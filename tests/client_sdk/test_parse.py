"""Parsers are total: any bytes give frozen fields or :class:`EvidenceError` with a place (rules F2, F3, Q6)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.evidence import Evidence
from client_sdk.parse.attest import parse_attest, parse_quote_info
from client_sdk.parse.certificate import parse_certificate, spki_digest
from client_sdk.parse.eventlog import parse_event_log
from client_sdk.parse.public import parse_public
from client_sdk.parse.signature import parse_signature
from client_sdk.parse.variable import parse_description, parse_tag, parse_variable
from client_sdk.report import Ledger
from client_sdk.saved import from_json
from client_sdk.verify.eventlog import verify_event_log
from tests.fakes.boot_log import boot_log, load_option, serialise, variable
from tests.fakes.judging import NONCE, OTHERS
from tests.fakes.simulated_vm import SimulatedVm
from tests.totality import only_evidence_errors, with_a_few_changes

VM = SimulatedVm()
EVIDENCE = VM.evidence(NONCE, OTHERS)
ATTEST = EVIDENCE.quote.attest
BODY = parse_attest(ATTEST).body
TAG = struct.pack("<II", 0x8F3B22EC, 4) + b"text"


def _variable(data):
    return parse_variable(data, 0)


def _description(data):
    return parse_description(data, "Boot0000")


def _tag(data):
    return parse_tag(data, 0)


def _certificate(data):
    return parse_certificate(data, "certificate")


def _spki(data):
    return spki_digest(data, "certificate")


def _replay(data):
    return verify_event_log(data, VM.pcrs(), ledger=Ledger())


PARSERS = [
    (parse_attest, ATTEST),
    (parse_quote_info, BODY),
    (parse_signature, EVIDENCE.quote.signature),
    (parse_public, EVIDENCE.ak_public),
    (parse_event_log, EVIDENCE.event_log),
    (_variable, variable("Boot0000", b"value")),
    (_description, load_option("UiApp")),
    (_tag, TAG),
    (_certificate, EVIDENCE.ek_certificates[0]),
    (_spki, EVIDENCE.tls_certificate),
    (Evidence.from_json, EVIDENCE.to_json()),
    (from_json, b'{"version":1}'),
]
IDS = [parser.__qualname__.strip("_") for parser, _ in PARSERS]
bounded = settings(max_examples=60, derandomize=True, deadline=None, database=None)


@pytest.mark.parametrize(("parser", "good"), PARSERS[:-1], ids=IDS[:-1])
def test_control_is_read(parser, good):
    assert parser(good) is not None


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_any_bytes(parser, good):
    @bounded
    @given(st.binary(max_size=300))
    def run(data):
        only_evidence_errors(parser, data)

    run()


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_good_bytes_with_a_few_changes(parser, good):
    with_a_few_changes(lambda data: only_evidence_errors(parser, data), good)


@pytest.mark.parametrize(("parser", "good"), PARSERS[:5], ids=IDS[:5])
def test_every_truncation(parser, good):
    for end in range(len(good)):
        only_evidence_errors(parser, good[:end])


@pytest.mark.parametrize(
    ("parser", "good"), [PARSERS[i] for i in (1, 2, 3, 5, 7, 8)], ids=[IDS[i] for i in (1, 2, 3, 5, 7, 8)]
)
def test_left_over_bytes(parser, good):
    with pytest.raises(EvidenceError):
        parser(good + b"\0")


def attest(**changes):
    fields = {"extra": bytes(32), "clock": (0, 0, 0, 1), "body": BODY} | changes
    head = struct.pack(">IH", 0xFF544347, 0x8018)
    sized = b"".join(struct.pack(">H", len(part)) + part for part in (b"", fields["extra"]))
    return head + sized + struct.pack(">QIIB", *fields["clock"]) + bytes(8) + fields["body"]


@pytest.mark.parametrize(
    ("fault", "data", "where"),
    [
        ("a safe flag that is no flag", attest(clock=(0, 0, 0, 2)), "attest byte 58"),
        ("extra data of 65 bytes", attest(extra=bytes(65)), "attest byte 8"),
        ("a qualified signer of 64 KiB", struct.pack(">IHH", 1, 2, 0xFFFF), "attest byte 6"),
    ],
)
def test_attest_faults_have_a_place(fault, data, where):
    with pytest.raises(EvidenceError) as caught:
        parse_attest(data)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("4 billion selections", b"\xff\xff\xff\xff"),
        ("a bitmap of 2 bytes", struct.pack(">IHB", 1, 11, 2) + bytes(2)),
        ("a bitmap of 255 bytes", struct.pack(">IHB", 1, 11, 255) + bytes(255)),
        ("a digest of 65 bytes", struct.pack(">IH", 0, 65) + bytes(65)),
    ],
)
def test_quote_faults(fault, data):
    with pytest.raises(EvidenceError, match=r"^attest\.quote byte"):
        parse_quote_info(data)


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("an HMAC in a signature's place", struct.pack(">HH", 0x0005, 0x000B) + bytes(32)),
        ("an RSA signature of 4096 bytes", struct.pack(">HHH", 0x0014, 0x000B, 4096) + bytes(4096)),
        ("a number of 67 bytes", struct.pack(">HHH", 0x0018, 0x000B, 67) + bytes(67)),
    ],
)
def test_signature_faults(fault, data):
    with pytest.raises(EvidenceError, match="signature byte"):
        parse_signature(data)


def public(**changes):
    fields = {"kind": 0x23, "name": 0xB, "symmetric": 0x10, "kdf": 0x10} | changes
    head = struct.pack(">HHIH", fields["kind"], fields["name"], 0x50072, 0)
    return head + struct.pack(">HHHHH", fields["symmetric"], 0x18, 0xB, 3, fields["kdf"]) + bytes(4)


@pytest.mark.parametrize(
    "change", [{"kind": 0x8}, {"kind": 0x25}, {"name": 0x4}, {"name": 0xC}, {"symmetric": 0x26}, {"kdf": 0x20}]
)
def test_public_faults(change):
    assert parse_public(public()).attributes == 0x50072
    with pytest.raises(EvidenceError, match="ak_public byte"):
        parse_public(public(**change))


def test_rsa_signatures_and_keys_are_read():
    signature = parse_signature(struct.pack(">HHH", 0x0014, 0x000B, 256) + bytes(256))
    assert (signature.algorithm, len(signature.rsa)) == (0x0014, 256)
    key = (
        struct.pack(">HHIH", 0x1, 0xB, 0x50072, 0) + struct.pack(">HHHHIH", 0x10, 0x14, 0xB, 2048, 0, 256) + bytes(256)
    )
    assert (parse_public(key).size, len(parse_public(key).unique[0])) == (2048, 256)


LOG = EVIDENCE.event_log


def with_u32(offset, value):
    return LOG[:offset] + struct.pack("<I", value) + LOG[offset + 4 :]


FIRST = 32 + struct.unpack_from("<I", LOG, 28)[0]


@pytest.mark.parametrize(
    ("fault", "data", "where"),
    [
        ("nothing", b"", "event_log byte 0"),
        ("a log without a header", LOG[FIRST:], "event_log byte 0"),
        ("a header for another PCR", with_u32(0, 1), "event_log byte 0"),
        ("a header of 4 GiB", with_u32(28, 0xFFFFFFFF), "event_log byte 0"),
        ("a SHA-1 log", LOG.replace(b"Spec ID Event03", b"Spec ID Event02"), "event_log byte 32"),
        ("no digest algorithm", with_u32(56, 0), "event_log byte 56"),
        ("4 billion digest algorithms", with_u32(56, 0xFFFFFFFF), "event_log byte 56"),
        ("SHA-256 of 20 bytes", LOG[:62] + b"\x14\0" + LOG[64:], "event_log byte 60"),
        ("an unknown bank alone", LOG[:60] + b"\x77\0" + LOG[62:], "event_log byte 60"),
        ("SHA-384 alone", LOG[:60] + b"\x0c\x00\x30\x00" + LOG[64:], "event_log byte 60"),
        ("an event for PCR 24", with_u32(FIRST, 24), f"event_log byte {FIRST}"),
        ("an event without digests", with_u32(FIRST + 8, 0), f"event_log byte {FIRST + 8}"),
        ("an event with two digests", with_u32(FIRST + 8, 2), f"event_log byte {FIRST + 8}"),
        ("a digest of another bank", LOG[: FIRST + 12] + b"\4\0" + LOG[FIRST + 14 :], f"event_log byte {FIRST + 12}"),
        ("data of 4 GiB", with_u32(FIRST + 46, 0xFFFFFFFF), f"event_log byte {FIRST + 46}"),
    ],
)
def test_event_log_faults_have_a_place(fault, data, where):
    with pytest.raises(EvidenceError) as caught:
        parse_event_log(data)
    assert caught.value.where == where


def test_padding_is_the_end_only_when_it_is_all_padding():
    assert parse_event_log(LOG + b"\xff" * 40) == parse_event_log(LOG)
    with pytest.raises(EvidenceError, match="PCR 4294967295"):
        parse_event_log(LOG + b"\xff" * 40 + b"\0")


def test_too_many_events():
    with pytest.raises(EvidenceError, match="over the limit"):
        parse_event_log(serialise(boot_log() * 200))


def test_no_event_data_leads_to_another_error():
    @bounded
    @given(st.integers(0, len(LOG) - 1), st.integers(0, 255))
    def run(place, value):
        data = LOG[:place] + bytes([value]) + LOG[place + 1 :]
        try:
            _replay(data)
        except (EvidenceError, VerificationError):
            pass

    run()


@pytest.mark.parametrize(
    ("fault", "parser", "data"),
    [
        ("a name of 4 billion characters", _variable, bytes(16) + struct.pack("<QQ", 1 << 63, 0)),
        ("a name that runs over", _variable, bytes(16) + struct.pack("<QQ", 3, 0) + b"ab"),
        ("a name that is no UTF-16", _variable, bytes(16) + struct.pack("<QQ", 1, 0) + b"\0\xd8"),
        ("a description without end", _description, bytes(6) + b"a\0b\0"),
        ("an option of 5 bytes", _description, bytes(5)),
        ("a tag that runs over", _tag, struct.pack("<II", 1, 9) + b"x"),
    ],
)
def test_firmware_structures_that_do_not_add_up(fault, parser, data):
    with pytest.raises(EvidenceError):
        parser(data)
