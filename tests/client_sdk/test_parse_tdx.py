"""Parsers of TDX evidence are total: any bytes give frozen fields or :class:`EvidenceError` with a place."""

from __future__ import annotations

import json
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import AttestationError, EvidenceError
from client_sdk.parse.ccel import MAX_EVENTS, parse_ccel
from client_sdk.parse.intel_collateral import (
    MAX_DOCUMENT,
    QE_IDENTITY,
    TCB_INFO,
    parse_qe_identity,
    parse_statement,
    parse_tcb_info,
)
from client_sdk.parse.issuer_chain import parse_chain
from client_sdk.parse.pck import parse_sgx_extensions
from client_sdk.parse.tdx import MAX_AUTH_DATA, parse_header, parse_quote
from client_sdk.report import Ledger
from client_sdk.verify.tdx_log import verify_log, verify_rtmr0
from tests.fakes.simulated_tdx import (
    Logged,
    SimulatedTdx,
    document,
    element,
    extended,
    integer,
    serialise,
    sgx_pair,
    td_log,
)
from tests.totality import only_evidence_errors, with_a_few_changes

TD, TD_15 = SimulatedTdx(), SimulatedTdx(version=5, body_type=3)
QUOTE, QUOTE_15, EXTENSIONS = TD.quote(), TD_15.quote(), TD.sgx_extensions()
LOG = serialise(td_log())
COLLATERAL = TD.intel.collateral()
END = len(QUOTE) - len(TD.padding)
SIGNATURE_DATA = 48 + 584 + 4


def _sgx(data):
    return parse_sgx_extensions(data, "extensions")


def _chain(data):
    return parse_chain(data, "chain")


def _tcb_info(data):
    return parse_tcb_info(parse_statement(data, TCB_INFO).value)


def _qe_identity(data):
    return parse_qe_identity(parse_statement(data, QE_IDENTITY).value)


def _replay(data):
    try:
        return verify_rtmr0(verify_log(data, extended(td_log()), ledger=Ledger()), ledger=Ledger())
    except EvidenceError:
        raise
    except AttestationError:
        return None


PARSERS = [
    (parse_header, QUOTE),
    (parse_quote, QUOTE),
    (parse_quote, QUOTE_15),
    (_sgx, EXTENSIONS),
    (_chain, TD.pck_chain()),
    (_chain, COLLATERAL.tcb_info_issuer_chain),
    (_tcb_info, COLLATERAL.tcb_info),
    (_qe_identity, COLLATERAL.qe_identity),
    (parse_ccel, LOG),
    (_replay, LOG),
]
IDS = ["header", "quote-4", "quote-5", "extensions", "pem", "url-encoded", "tcb-info", "qe-identity", "ccel", "replay"]
bounded = settings(max_examples=60, derandomize=True, deadline=None, database=None)


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
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


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_truncations(parser, good):
    step = max(1, len(good) // 400)
    for end in range(0, len(good), step):
        only_evidence_errors(parser, good[:end])


@pytest.mark.parametrize(("quote", "end"), [(QUOTE, END), (QUOTE_15, len(QUOTE_15) - len(TD_15.padding))])
def test_a_quote_that_is_cut_short_anywhere_is_refused(quote, end):
    assert parse_quote(quote[:end]) == parse_quote(quote)
    for cut in (*range(0, end, 97), end - 1):
        with pytest.raises(EvidenceError):
            parse_quote(quote[:cut])


def changed(data, offset, layout, value):
    edited = bytearray(data)
    struct.pack_into(layout, edited, offset, value)
    return bytes(edited)


QE_DATA = SIGNATURE_DATA + 128 + 6 + 384 + 64


@pytest.mark.parametrize(
    ("fault", "offset", "layout", "value"),
    [
        ("version 3", 0, "<H", 3),
        ("signature data over the end", SIGNATURE_DATA - 4, "<I", 0xFFFFFFFF),
        ("signature data over the limit", SIGNATURE_DATA - 4, "<I", 64 * 1024 + 1),
        ("signature data one byte shorter", SIGNATURE_DATA - 4, "<I", END - SIGNATURE_DATA - 1),
        ("signature data that eat the padding", SIGNATURE_DATA - 4, "<I", END - SIGNATURE_DATA + 1),
        ("certification data of another type", SIGNATURE_DATA + 128, "<H", 5),
        ("certification data over the end", SIGNATURE_DATA + 130, "<I", 0x7FFFFFFF),
        ("QE data over the limit", QE_DATA, "<H", MAX_AUTH_DATA + 1),
        ("QE data over the end", QE_DATA, "<H", 0xFFFF),
        ("a PEM chain that is longer than it is", QE_DATA + 2 + 32 + 2, "<I", 0xFFFF),
        ("a PEM chain that is shorter than it is", QE_DATA + 2 + 32 + 2, "<I", 1),
    ],
)
def test_sizes_in_a_quote_must_add_up(fault, offset, layout, value):
    with pytest.raises(EvidenceError, match="quote byte"):
        parse_quote(changed(QUOTE, offset, layout, value))


@pytest.mark.parametrize(("kind", "size"), [(1, 384), (2, 648), (3, 584), (4, 648), (3, 0xFFFFFFFF)])
def test_a_body_that_is_not_one_of_a_td(kind, size):
    with pytest.raises(EvidenceError, match="not a TDX one"):
        parse_quote(QUOTE_15[:48] + struct.pack("<HI", kind, size) + QUOTE_15[54:])


def test_what_a_quote_signs():
    parsed = parse_quote(QUOTE_15)
    assert parsed.signed == QUOTE_15[: 54 + 648]
    assert (parsed.body.mr_td, parsed.body.report_data) == (TD_15.mr_td, TD_15.report_data)
    assert (parsed.body.xfam, parsed.body.attributes) == (TD_15.xfam, TD_15.attributes)
    assert parsed.qe_report.mr_signer == TD_15.qe_signer
    assert parse_quote(QUOTE).body.mr_service_td == b""


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("an empty SEQUENCE", element(0x30, b"")),
        ("something behind", EXTENSIONS + b"\0"),
        ("two SEQUENCEs", EXTENSIONS * 2),
        ("a SET", b"\x31" + EXTENSIONS[1:]),
        ("the indefinite length", b"\x30\x80" + EXTENSIONS[4:] + b"\0\0"),
        ("a length in more bytes than it needs", b"\x30\x83\x00" + EXTENSIONS[2:]),
        ("an entry twice", element(0x30, EXTENSIONS[4:] + sgx_pair((4,), element(4, bytes(6))))),
        ("an entry with two values", element(0x30, sgx_pair((4,), element(4, bytes(6)) * 2) + EXTENSIONS[4:])),
        ("an entry without a value", element(0x30, sgx_pair((4,), b"") + EXTENSIONS[4:])),
        ("an FMSPC of five bytes", EXTENSIONS.replace(element(4, TD.fmspc), element(4, bytes(5)) + b"\0", 1)),
        ("an FMSPC that is an integer", EXTENSIONS.replace(element(4, TD.fmspc), element(2, TD.fmspc), 1)),
        ("a PCE-SVN below zero", EXTENSIONS.replace(sgx_pair((2, 17), integer(13)), sgx_pair((2, 17), b"\2\1\x8d"))),
        ("an SGX type that is not known", EXTENSIONS.replace(b"\x0a\1\1", b"\x0a\1\3")),
        ("a BOOLEAN that is neither", EXTENSIONS.replace(b"\1\1\xff", b"\1\1\1")),
        ("more than the limit", element(0x30, bytes(5000))),
    ],
)
def test_extensions_that_are_not_der(fault, value):
    assert value != EXTENSIONS
    with pytest.raises(EvidenceError):
        _sgx(value)


@pytest.mark.parametrize("content", [b"\2\2\0\x0d", b"\2\0", b"\2\3\1\0\0", b"\2\1\xff"])
def test_a_component_that_is_not_an_svn(content):
    first = sgx_pair((2, 1), integer(TD.components[0]))
    rest = EXTENSIONS[EXTENSIONS.index(first) + len(first) :]
    tcb = element(0x30, sgx_pair((2, 1), content) + rest[: 16 * 18 + 100])
    with pytest.raises(EvidenceError):
        _sgx(element(0x30, sgx_pair((2,), tcb)))


def test_entries_that_are_not_known_are_ignored():
    value = element(0x30, EXTENSIONS[4:] + sgx_pair((9,), element(5, b"")) + sgx_pair((9, 9), element(5, b"")))
    assert _sgx(value) == _sgx(EXTENSIONS)


def test_a_platform_of_one_socket():
    """Its certificate has neither an instance nor a configuration."""
    end = EXTENSIONS.index(sgx_pair((6,), element(4, bytes(16))))
    found = _sgx(element(0x30, EXTENSIONS[4:end]))
    assert (found.instance, found.smt, found.sgx_type) == (b"", None, "scalable")
    assert _sgx(EXTENSIONS).smt is True


PEM = TD.pck_chain()


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("nothing", b""),
        ("NUL bytes", b"\0\0"),
        ("text before", b"x" + PEM),
        ("text between", PEM.replace(b"-----BEGIN", b"Bag Attributes\n-----BEGIN")),
        ("text behind", PEM.rstrip(b"\0") + b"x"),
        ("no end", PEM.replace(b"-----END CERTIFICATE-----", b"")),
        ("no content", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
        ("not base64", b"-----BEGIN CERTIFICATE-----\nA*==\n-----END CERTIFICATE-----\n"),
        ("base64 cut short", b"-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----\n"),
        ("nine certificates", PEM.rstrip(b"\0") * 3),
        ("more than the limit", PEM + b"\n" * 65_000),
    ],
)
def test_a_chain_that_is_none(fault, value):
    with pytest.raises(EvidenceError, match="chain"):
        _chain(value)


def test_a_chain_is_the_same_in_either_spelling():
    plain = TD.intel
    plain.url_encoded = False
    text = plain.chain(plain.signer)
    assert len(_chain(text)) == 2
    encoded = text.replace(b"+", b"%2B").replace(b"/", b"%2f").replace(b"\n", b"%0A").replace(b" ", b"%20")
    assert _chain(encoded) == _chain(text) == _chain(text.replace(b"\n", b"\r\n"))


def tcb_info(**changes):
    return document(TCB_INFO, {**SimulatedTdx().intel.tcb_info, **changes}, TD.ak)


def level(**changes):
    first = SimulatedTdx().intel.tcb_info["tcbLevels"][0]
    return tcb_info(tcbLevels=[{**first, "tcb": {**first["tcb"], **changes}}])


COMPONENTS = [{"svn": 0}] * 16
MODULE = TD.intel.tcb_info["tdxModuleIdentities"][0]
GOOD = COLLATERAL.tcb_info


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("a key twice", GOOD.replace(b'"version":3', b'"version":3,"version":3')),
        ("a key twice, deep inside", GOOD.replace(b'"pcesvn":13', b'"pcesvn":0,"pcesvn":13')),
        ("a number with a point", GOOD.replace(b'"pcesvn":13', b'"pcesvn":13.0')),
        ("not a number", GOOD.replace(b'"pcesvn":13', b'"pcesvn":NaN')),
        ("a byte order mark", b"\xef\xbb\xbf" + GOOD),
        ("not UTF-8", GOOD.replace(b"UpToDate", b"UpToDat\xff")),
        ("something behind", GOOD + b"{}"),
        ("one key more", GOOD[:-1] + b',"more":1}'),
        ("no signature", GOOD.partition(b',"signature"')[0] + b"}"),
        ("a signature of 63 bytes", GOOD[:-4] + b'"}'),
        ("the signature first", b'{"signature":"' + b"00" * 64 + b'",' + GOOD[1:].rpartition(b",")[0] + b"}"),
        ("another member", COLLATERAL.qe_identity),
        ("text in its place", b'{"tcbInfo":"text","signature":"' + b"00" * 64 + b'"}'),
        ("nested without end", b"[" * 200_000),
        ("more than the limit", b" " * (MAX_DOCUMENT + 1)),
        ("an integer without end", tcb_info(version=0).replace(b'"version":0', b'"version":' + b"9" * 5000)),
        ("a version that is text", tcb_info(version="3")),
        ("a version that is true", tcb_info(version=True)),
        ("a date that is none", tcb_info(issueDate="2030-02-30T00:00:00Z")),
        ("a date in another spelling", tcb_info(issueDate="2030-02-03T00:00:00+00:00")),
        ("an FMSPC that is too short", tcb_info(fmspc="00")),
        ("an FMSPC that is no hex", tcb_info(fmspc="0x906f000000"[:12])),
        ("a type of TCB that is not known", tcb_info(tcbType=1)),
        ("levels that are no list", tcb_info(tcbLevels={})),
        ("more levels than the limit", tcb_info(tcbLevels=[{}] * 257)),
        ("a level that is no object", tcb_info(tcbLevels=[1])),
        ("a level without SVNs", tcb_info(tcbLevels=[{"tcb": {}}])),
        ("15 components", level(sgxtcbcomponents=COMPONENTS[:15])),
        ("17 components", level(sgxtcbcomponents=[*COMPONENTS, {"svn": 0}])),
        ("an SVN of 256", level(tdxtcbcomponents=[*COMPONENTS[:15], {"svn": 256}])),
        ("an SVN below zero", level(tdxtcbcomponents=[*COMPONENTS[:15], {"svn": -1}])),
        ("an SVN that is true", level(tdxtcbcomponents=[*COMPONENTS[:15], {"svn": True}])),
        ("a PCE-SVN that is too large", level(pcesvn=65536)),
        ("no components of TDX", level(tdxtcbcomponents=None)),
        ("no TDX module", tcb_info(tdxModule=None)),
        ("a TDX module twice", tcb_info(tdxModuleIdentities=[MODULE, {**MODULE, "id": "tdx_01"}])),
        ("advisories that are no list", tcb_info(tdxModuleIdentities=[{**MODULE, "tcbLevels": "none"}])),
    ],
)
def test_tcb_info_that_has_more_than_one_reading_or_none(fault, value):
    assert value != GOOD
    with pytest.raises(EvidenceError):
        _tcb_info(value)


def test_tcb_info_from_before_modules_had_versions_and_with_keys_from_tomorrow():
    info = {**SimulatedTdx().intel.tcb_info, "later": [1]}
    del info["tdxModuleIdentities"]
    assert _tcb_info(document(TCB_INFO, info, TD.ak)).modules == ()


def test_the_signed_text_is_the_received_one():
    spaced = b'{"tcbInfo": ' + json.dumps(TD.intel.tcb_info).encode() + b' ,\n "signature": "' + b"0a" * 64 + b'"}\n'
    statement = parse_statement(spaced, TCB_INFO)
    assert statement.signed == json.dumps(TD.intel.tcb_info).encode()
    assert statement.signature == b"\x0a" * 64
    tricky = tcb_info(later=',"signature":"' + "00" * 64 + '"}')
    assert parse_statement(tricky, TCB_INFO).signature != bytes(64)


EVENT = Logged(1, 0x4, bytes(4))


@pytest.mark.parametrize("padding", [b"", b"\xff", b"\xff" * 70_000, b"\0", bytes(70_000)])
def test_padding_of_a_log(padding):
    parsed = parse_ccel(serialise(td_log(), padding=padding))
    assert len(parsed.events) == len(td_log())
    assert parsed.used == len(serialise(td_log(), padding=b""))


def test_data_that_look_like_padding_belong_to_their_event():
    for data in (b"\xff" * 40, bytes(40)):
        log = [EVENT, Logged(3, 0xD, data)]
        for padding in (b"", b"\xff" * 64, bytes(64)):
            assert parse_ccel(serialise(log, padding=padding)).events[-1].data == data


def test_an_event_without_a_register_is_no_padding():
    log = [EVENT, Logged(0xFFFFFFFF, 0x3, b"StartupLocality", bytes(48)), EVENT]
    assert [event.register for event in parse_ccel(serialise(log)).events] == [1, 0xFFFFFFFF, 1]


@pytest.mark.parametrize(
    ("fault", "log"),
    [
        ("no header", b""),
        ("an event first", serialise(td_log())[65:]),
        ("a header of the old form", serialise(td_log()).replace(b"Event03", b"Event02")),
        ("a log of SHA-256 alone", serialise(td_log(), banks=(0xB,))),
        ("padding of two kinds", serialise(td_log(), padding=b"\xff" * 64 + bytes(64))),
        ("padding and then an event", serialise(td_log()) + serialise([EVENT])[65:]),
        ("a register that does not exist", serialise([Logged(5, 0x4, bytes(4))])),
        ("a register of all ones", serialise([Logged(0xFFFFFFFF, 0x4, bytes(4))])),
        ("too many events", serialise([EVENT] * (MAX_EVENTS + 1))),
    ],
)
def test_a_log_that_is_none(fault, log):
    with pytest.raises(EvidenceError, match="ccel"):
        parse_ccel(log)


def test_a_log_of_two_banks():
    parsed = parse_ccel(serialise(td_log(), banks=(0xB, 0xC)))
    assert [event.digest for event in parsed.events] == [event.measured for event in td_log()]


HUGE = 10_000_000


@pytest.mark.parametrize(
    ("parser", "data"),
    [
        (parse_quote, QUOTE[:-1] + b"\xff" * HUGE),
        (parse_quote, changed(QUOTE, SIGNATURE_DATA - 4, "<I", HUGE) + bytes(HUGE)),
        (_tcb_info, b"[" * HUGE),
        (_chain, PEM + b"\n" * HUGE),
        (_sgx, element(0x30, bytes(HUGE))),
        (parse_ccel, serialise([EVENT], padding=b"\xff" * HUGE + b"\0")),
        (parse_ccel, serialise([EVENT], padding=bytes(HUGE) + b"\1")),
        (parse_ccel, serialise([EVENT], padding=serialise([Logged(2, 3, b"")] * 9000, padding=b"")[65:] * 15)),
    ],
    ids=["padding", "signature-data", "json", "pem", "der", "ff", "zero", "events"],
)
def test_a_large_input_is_dealt_with_quickly(parser, data):
    started = time.process_time()
    only_evidence_errors(parser, data)
    assert time.process_time() - started < 5  # 50 ms are the aim; this says only that nothing hangs
