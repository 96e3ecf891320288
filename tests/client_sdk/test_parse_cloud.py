"""Parsers of clouds' structures are total: any bytes give frozen fields or :class:`EvidenceError` with a place."""

from __future__ import annotations

import json
import struct
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import EvidenceError
from client_sdk.parse.azure import parse_hcl_report, parse_runtime_claims
from client_sdk.parse.der import DerReader, trim_certificate
from client_sdk.parse.eventlog import MAX_EVENTS, parse_event_log
from client_sdk.parse.gce import parse_instance
from tests.fakes.boot_log import NO_ACTION, Logged, boot_log
from tests.fakes.instance_info import der, der_integer, instance_info, security_properties
from tests.fakes.simulated_cloud_tpm import AzureTpm, GoogleTpm, base64url, many_banks
from tests.totality import only_evidence_errors, with_a_few_changes

SHA1, SHA256, SHA384 = 0x4, 0xB, 0xC
INFO = instance_info()
REPORT = AzureTpm().hcl_report()
TD_REPORT = AzureTpm(report_type=4).hcl_report()
RUNTIME = AzureTpm().runtime_data()
LEAF = GoogleTpm().certificate()
LOG = many_banks(boot_log(), SHA1, SHA256, SHA384)
OLD_LOG = many_banks(boot_log(), legacy=True)


def _old_log(data):
    return parse_event_log(data, bank=SHA1, padding=b"\xff\0")


def _banks(data):
    return parse_event_log(data, bank=SHA384)


def _trim(data):
    return trim_certificate(data, "image")


PARSERS = [
    (parse_instance, INFO),
    (parse_hcl_report, REPORT),
    (parse_runtime_claims, RUNTIME),
    (_trim, LEAF + bytes(64)),
    (_banks, LOG),
    (_old_log, OLD_LOG),
]
IDS = [parser.__qualname__.strip("_") for parser, _ in PARSERS]
bounded = settings(max_examples=60, derandomize=True, deadline=None, database=None)


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_control_is_read(parser, good):
    assert parser(good) is not None


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_any_bytes(parser, good):
    @bounded
    @given(st.binary(max_size=3000))
    def run(data):
        only_evidence_errors(parser, data)
        only_evidence_errors(parser, good[:40] + data)

    run()


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_good_bytes_with_a_few_changes(parser, good):
    with_a_few_changes(lambda data: only_evidence_errors(parser, data), good)


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_every_truncation(parser, good):
    for end in range(0, len(good), 3):
        only_evidence_errors(parser, good[:end])


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_ten_megabytes_are_refused_at_once(parser, good):
    for filler in (b"\0", b"\xff", b"{", good[:64]):
        data = good + filler * (10_000_000 // len(filler)) + b"\1"
        start = time.process_time()
        with pytest.raises(EvidenceError):
            parser(data)
        assert time.process_time() - start < 5  # 50 ms are the aim; this says only that nothing hangs


# --- DER


def elements(data):
    reader = DerReader(data, "der")
    reader.inner(0x30).integer()
    reader.finish()


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("nothing", b""),
        ("another tag", b"\x31\x03\x02\x01\x05"),
        ("an indefinite length", b"\x30\x80\x02\x01\x05\0\0"),
        ("a length of many bytes", b"\x30\x85\0\0\0\0\x03\x02\x01\x05"),
        ("a length with a leading zero", b"\x30\x82\0\x03\x02\x01\x05"),
        ("a long form where the short one would do", b"\x30\x81\x03\x02\x01\x05"),
        ("a length that is cut short", b"\x30\x82\x01"),
        ("a tag alone", b"\x30"),
        ("an element that runs over", b"\x30\x04\x02\x01\x05"),
        ("an inner element that runs over", b"\x30\x03\x02\x02\x05"),
        ("an empty integer", b"\x30\x02\x02\x00"),
        ("an integer with a leading zero", b"\x30\x04\x02\x02\0\x05"),
        ("a negative integer with leading ones", b"\x30\x04\x02\x02\xff\x85"),
        ("an integer of 65 bytes", der(0x30, der(2, b"\x01" * 65))),
        ("bytes left over", b"\x30\x03\x02\x01\x05\0"),
    ],
)
def test_der_that_is_not_strict(fault, data):
    elements(b"\x30\x03\x02\x01\x05")
    with pytest.raises(EvidenceError, match="der byte"):
        elements(data)


def test_places_are_counted_from_the_outer_start():
    inner = DerReader(b"\x30\x05\xa0\x03\x04\x01\x05", "der").inner(0x30).inner(0xA0)
    with pytest.raises(EvidenceError, match=r"^der byte 4: expected DER tag 0x02, got 0x04"):
        inner.integer()


# --- Google's instance information


@pytest.mark.parametrize(
    ("written", "meant"),
    [(2**64 - 1, 2**64 - 1), (2**63, 2**63), (-1, 2**64 - 1), (-(2**63), 2**63), (0, 0), (1, 1)],
)
def test_an_instance_id_is_unsigned_however_it_is_written(written, meant):
    assert parse_instance(instance_info(instance_id=der_integer(written))).instance_id == meant


def test_further_fields_are_stepped_over():
    assert parse_instance(instance_info(further=der(0xA1, b"\x05\0") + der(0xBE, b"\x05\0"))).is_production
    plain = parse_instance(instance_info(properties=b""))
    assert (plain.is_production, plain.security_version) == (None, None)
    assert parse_instance(INFO).security_version == 0


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("an instance id of 65 bits", instance_info(instance_id=der_integer(2**64))),
        ("a negative number of 65 bits", instance_info(instance_id=der_integer(-(2**63) - 1))),
        ("a zone that is a number", instance_info(zone=der_integer(1))),
        ("a zone that is no UTF-8", instance_info(zone=der(0x0C, b"\xff\xfe"))),
        ("a name with a line break", instance_info(instance_name=der(0x0C, b"a\nb"))),
        ("a name of 257 bytes", instance_info(instance_name=der(0x0C, b"a" * 257))),
        ("no zone", instance_info(zone=b"")),
        ("a boolean of another spelling", instance_info(properties=der(0xA0, der(0x30, der(0xA1, b"\x01\x01\x01"))))),
        ("a boolean of two bytes", instance_info(properties=der(0xA0, der(0x30, der(0xA1, b"\x01\x02\xff\xff"))))),
        ("production told twice", instance_info(properties=der(0xA0, der(0x30, *security_properties()[1:2] * 2)))),
        (
            "production after what follows it",
            instance_info(properties=der(0xA0, der(0x30, der(0xA2, b"\x05\0"), security_properties()[1]))),
        ),
        ("properties twice", instance_info(further=der(0xA0, der(0x30)))),
        ("a field without a number", instance_info(further=der(0x04, b"x"))),
        ("a field of many numbers", instance_info(further=b"\xbf\x22\x00")),
        ("something behind the properties", instance_info(properties=der(0xA0, der(0x30) + b"\x05\0"))),
        ("something behind production", instance_info(properties=der(0xA0, der(0x30, der(0xA1, b"\1\1\xff\5\0"))))),
        ("something behind it all", INFO + b"\0"),
        ("too long", instance_info(further=der(0xA1, bytes(5000)))),
    ],
)
def test_instance_information_that_is_not_strict(fault, data):
    with pytest.raises(EvidenceError, match="instance information byte"):
        parse_instance(data)


# --- Azure's report


def patched(offset, data, report=REPORT):
    return report[:offset] + data + report[offset + len(data) :]


def u32(value):
    return struct.pack("<I", value)


SIZE = len(RUNTIME)


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("nothing", b""),
        ("a header alone", REPORT[:1235]),
        ("over the limit", REPORT + bytes(65_536)),
        ("another signature", patched(0, b"HCLB")),
        ("a version of the future", patched(4, u32(3))),
        ("a report that failed", patched(16, u32(1))),
        ("reserved bytes that are set", patched(31, b"\1")),
        ("another report size", patched(8, u32(1236 + SIZE - 1))),
        ("a report size to the image's end", patched(8, u32(2600))),
        ("another data size", patched(1216, u32(SIZE))),
        ("data of the future", patched(1220, u32(2))),
        ("a VBS report", patched(1224, u32(1))),
        ("a hash that is none", patched(1228, u32(0))),
        ("runtime data of 2 GiB", patched(1232, u32(0x7FFFFFFF))),
        ("runtime data to one byte over the end", patched(1232, u32(len(REPORT) - 1236 + 1))),
        ("runtime data without its last byte", patched(1232, u32(SIZE - 1))),
        ("runtime data with a byte of padding", patched(1232, u32(SIZE + 1))),
        ("something in the padding", patched(len(REPORT) - 1, b"\1")),
        ("an SNP report told as TDX", patched(1224, u32(4))),
        ("a TDREPORT told as SNP", patched(1224, u32(2), TD_REPORT)),
        ("something behind the TDREPORT", patched(32 + 1024, b"\1", TD_REPORT)),
    ],
)
def test_reports_that_do_not_add_up(fault, data):
    with pytest.raises(EvidenceError, match="hcl_report"):
        parse_hcl_report(data)


def test_runtime_data_are_the_bytes_as_received():
    found = parse_hcl_report(REPORT)
    assert (found.runtime_data, len(found.hardware_report), found.kind) == (RUNTIME, 1184, 2)
    assert len(parse_hcl_report(TD_REPORT).hardware_report) == 1024
    assert parse_hcl_report(REPORT[: 1236 + SIZE]).runtime_data == RUNTIME  # without any padding


def claims(**changes):
    found = dict(AzureTpm().claims)
    key = dict(found["keys"][0]) | changes.pop("key", {})
    found["keys"] = [key, *found["keys"][1:]]
    found |= changes
    return json.dumps({name: value for name, value in found.items() if value is not None}).encode()


N = AzureTpm().claims["keys"][0]["n"]


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("no JSON", b"{"),
        ("a list", b"[]"),
        ("nothing", b""),
        ("a byte-order mark", b"\xef\xbb\xbf" + RUNTIME),
        ("something behind it", RUNTIME + b"\0"),
        ("a key that comes twice", RUNTIME.replace(b'"keys"', b'"keys":[],"keys"')),
        ("a number with a fraction", claims(version=1.5)),
        ("no keys", claims(keys=None)),
        ("keys that are no list", claims(keys={})),
        ("an empty list", claims(keys=[])),
        ("17 keys", claims(keys=[{"kid": str(i)} for i in range(17)])),
        ("a key that is none", claims(keys=[1])),
        ("a key without a name", claims(key={"kid": None})),
        ("two keys of one name", claims(key={"kid": "HCLEkPub"})),
        ("an elliptic key", claims(key={"kty": "EC"})),
        ("no modulus", claims(key={"n": None})),
        ("a modulus that is a number", claims(key={"n": 5})),
        ("padding", claims(key={"n": N + "="})),
        ("standard base64", claims(key={"n": N[:-4] + "+/AA"})),
        ("an impossible length", claims(key={"n": N[:-1]})),
        ("a leading zero byte", claims(key={"n": "AA" + N[:-2]})),
        ("an even exponent", claims(key={"e": base64url(65536)})),
        ("an exponent of 1", claims(key={"e": base64url(1)})),
        ("an exponent of 33 bits", claims(key={"e": base64url(2**32 + 1)})),
        ("a modulus of 1024 bits", claims(key={"n": base64url(2**1023 + 1)})),
        ("a modulus of 2049 bits", claims(key={"n": base64url(2**2048 + 1)})),
        ("a configuration that is none", claims(**{"vm-configuration": []})),
        ("user data in lower case", claims(**{"user-data": "ab" * 64})),
        ("user data of 63 bytes", claims(**{"user-data": "00" * 63})),
        ("user data that are a number", claims(**{"user-data": 0})),
        ("user data with a line break", claims(**{"user-data": "00" * 64 + "\n"})),
        ("over the limit", claims(more="x" * 20_000)),
    ],
)
def test_runtime_claims_that_are_not_strict(fault, data):
    assert parse_runtime_claims(claims()).user_data == bytes(range(64))
    with pytest.raises(EvidenceError, match=r"^runtime_data"):
        parse_runtime_claims(data)


def test_claims_of_old_and_of_the_future_are_read():
    old = parse_runtime_claims(claims(**{"user-data": None, "vm-configuration": None}))
    assert (old.user_data, old.configuration) == (None, {})
    assert parse_runtime_claims(claims(later={"a": [1]})).keys["HCLAkPub"].key_size == 2048
    large = rsa.generate_private_key(65537, 3072).public_key().public_numbers().n
    assert parse_runtime_claims(claims(key={"n": base64url(large)})).keys["HCLAkPub"].key_size == 3072


# --- a certificate in a padded image


@pytest.mark.parametrize("image", [b"", LEAF[:-1], b"\0" + LEAF, LEAF + b"\0\1", b"-----BEGIN", bytes(4096)])
def test_images_without_one_whole_certificate(image):
    assert trim_certificate(LEAF.ljust(4096, b"\0"), "image") == LEAF
    with pytest.raises(EvidenceError, match="image byte"):
        trim_certificate(image, "image")


# --- logs: forms and banks


def test_every_bank_of_a_log_can_be_asked_for():
    sizes = {bank: {len(event.digest) for event in parse_event_log(LOG, bank=bank).events} for bank in (4, 0xB, 0xC)}
    assert sizes == {4: {20}, 0xB: {32}, 0xC: {48}}
    with pytest.raises(EvidenceError, match="one SHA-512 bank"):
        parse_event_log(LOG, bank=0xD)


def test_an_event_without_the_wanted_digest_makes_the_log_unreadable():
    head = LOG.index(struct.pack("<IIIH", 0, 8, 3, 4))
    short = many_banks(boot_log()[:1], SHA1, SHA256, SHA384)[head:]
    without = struct.pack("<III", 0, 8, 2) + short[12:34] + short[12 + 22 + 34 :]
    data = LOG[:head] + without
    assert parse_event_log(data, bank=SHA1).events
    with pytest.raises(EvidenceError, match=f"byte {head + 12}: the event has no SHA-256 digest"):
        parse_event_log(data)


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("nothing", b""),
        ("padding alone", b"\xff" * 64),
        ("a head alone", OLD_LOG[:31]),
        ("an event that runs over", OLD_LOG[:28] + u32(len(OLD_LOG)) + OLD_LOG[32:]),
        ("a PCR that does not exist", u32(24) + OLD_LOG[4:]),
        ("cut short", OLD_LOG[:-1]),
    ],
)
def test_logs_in_the_form_of_old(fault, data):
    assert len(parse_event_log(OLD_LOG, bank=SHA1).events) == len(boot_log())
    with pytest.raises(EvidenceError, match="event_log byte"):
        parse_event_log(data, bank=SHA1)


def test_an_index_that_no_pcr_has_is_for_events_that_extend_nothing():
    events = [Logged(0xFFFFFFFF, NO_ACTION, b"vendor"), *boot_log()]
    assert parse_event_log(many_banks(events, legacy=True), bank=SHA1).events[0].pcr == 0xFFFFFFFF
    events[0] = Logged(0xFFFFFFFF, 4, bytes(4))
    with pytest.raises(EvidenceError, match="PCR 4294967295"):
        parse_event_log(many_banks(events, legacy=True), bank=SHA1)


def test_a_log_of_one_event():
    log = many_banks([Logged(0, NO_ACTION, b"StartupLocality\0\3")], legacy=True)
    assert len(log) == 49
    assert parse_event_log(log, bank=SHA1).events[0].data == b"StartupLocality\0\3"


@pytest.mark.parametrize("form", [{"legacy": True}, {}])
def test_too_many_events(form):
    events = [Logged(0, 8, b"")] * (MAX_EVENTS + 1)
    banks = () if form else (SHA1, SHA256)
    assert parse_event_log(many_banks(events[:-1], *banks, **form), bank=SHA1).events
    with pytest.raises(EvidenceError, match="over the limit"):
        parse_event_log(many_banks(events, *banks, **form), bank=SHA1)


def test_padding_is_only_what_the_reader_takes_for_it():
    assert parse_event_log(LOG + bytes(40), padding=b"\xff\0") == parse_event_log(LOG)
    with pytest.raises(EvidenceError):
        parse_event_log(LOG + bytes(40))
