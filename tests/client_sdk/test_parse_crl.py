"""Revocation lists, and the quick ways of other readers: what they take at once is what the general way gives."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256 as OVER_SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.parse import eventlog, pck
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.crl import MAX_SIZE, parse_crl
from client_sdk.parse.eventlog import MAX_EVENTS, SHA1, SHA256, SHA384, parse_event_log
from client_sdk.parse.issuer_chain import parse_chain
from client_sdk.parse.names import signed_list
from client_sdk.report import Ledger
from client_sdk.verify.crl import CrlRules, verify_crl
from tests.fakes.boot_log import boot_log
from tests.fakes.simulated_cloud_tpm import many_banks
from tests.fakes.simulated_nvidia import SimulatedGpu
from tests.fakes.simulated_tdx import NOW, Revocations, SimulatedTdx, integer, sgx_pair

TD = SimulatedTdx()
CRL = TD.intel.pck_crl.der
CA = parse_certificate(TD.intel.platform_ca.der, "CA")
ECDSA_SHA256 = bytes.fromhex("06082a8648ce3d040302")
ECDSA_SHA384 = bytes.fromhex("06082a8648ce3d040303")
NOT_KNOWN = bytes.fromhex("06082a8648ce3d04037f")
RULES = CrlRules("X", "the CA", timedelta(days=400))
bounded = settings(max_examples=150, derandomize=True, deadline=None, database=None)


def verified(der, issuer=CA):
    return verify_crl(der, issuer, (), rules=RULES, now=NOW, ledger=Ledger())


def test_the_signed_bytes_are_those_that_were_signed():
    fields = parse_crl(CRL, "list")
    assert fields.tbs == fields.crl.tbs_certlist_bytes
    assert fields.tbs in CRL
    assert fields.number == verified(CRL) == 1


def test_a_list_of_many_has_a_long_length():
    long = SimulatedTdx().intel
    long.pck_crl.serials = tuple((1 << 158) + number for number in range(2000))
    fields = parse_crl(long.pck_crl.der, "list")
    assert len(fields.tbs) > 0xFFFF
    assert fields.tbs == fields.crl.tbs_certlist_bytes


def test_a_list_with_a_year_that_no_calendar_has():
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(NOW)
        .next_update(datetime(2060, 1, 1, tzinfo=UTC))
    )
    der = builder.sign(key, OVER_SHA256()).public_bytes(Encoding.DER)
    assert parse_crl(der, "list").end == datetime(2060, 1, 1, tzinfo=UTC)
    with pytest.raises(EvidenceError, match="can be read"):
        parse_crl(der.replace(b"\x18\x0f2060", b"\x18\x0f0000"), "list")


def test_a_certificate_with_a_year_that_no_calendar_has():
    der = next(one for one in SimulatedGpu().certificates() if b"\x18\x0f9999" in one)
    with pytest.raises(EvidenceError, match="can be read"):
        parse_certificate(der.replace(b"\x18\x0f9999", b"\x18\x0f0000"), "GPU")


@pytest.mark.parametrize("place", [CRL.index(ECDSA_SHA256), CRL.rindex(ECDSA_SHA256)], ids=["inside", "outside"])
def test_two_signature_algorithms(place):
    twofold = CRL[:place] + ECDSA_SHA384 + CRL[place + len(ECDSA_SHA384) :]
    with pytest.raises(EvidenceError):
        parse_crl(twofold, "list")
    with pytest.raises(EvidenceError, match="two signature algorithms"):
        signed_list(twofold, "list")


@pytest.mark.parametrize("algorithm", [ECDSA_SHA384, NOT_KNOWN], ids=["another", "not known"])
def test_an_algorithm_that_did_not_sign(algorithm):
    with pytest.raises(VerificationError, match=r"X\.1"):
        verified(CRL.replace(ECDSA_SHA256, algorithm))


def test_every_changed_byte_is_noticed():
    for place in range(len(CRL)):
        with pytest.raises((EvidenceError, VerificationError)):
            verified(CRL[:place] + bytes([CRL[place] ^ 1]) + CRL[place + 1 :])


def test_a_signature_that_is_not_whole_bytes():
    lists = (Revocations(TD.intel.platform_ca, number=number).der for number in range(200))
    good = next(der for der in lists if not der[-1] & 1)
    verified(good)
    place = len(good) - len(parse_crl(good, "list").crl.signature) - 1
    assert good[place] == 0
    with pytest.raises(EvidenceError, match="not whole bytes"):
        parse_crl(good[:place] + b"\1" + good[place + 1 :], "list")  # the last bit, which is 0, is not counted


def test_a_list_that_is_too_large():
    with pytest.raises(EvidenceError, match="over the limit"):
        parse_crl(bytes(MAX_SIZE + 1), "list")


# --- PEM


@pytest.mark.parametrize("fault", [b"AAAA===", b"AAA=A", b"=", b"", b"AAA", b"AA-A", b"AAAA\0"])
def test_base64_that_is_not(fault):
    with pytest.raises(EvidenceError):
        parse_chain(b"-----BEGIN CERTIFICATE-----\n" + fault + b"\n-----END CERTIFICATE-----\n", "chain")


# --- the SGX extensions of Intel's certificates


def tcb(numbers, values):
    return b"".join([sgx_pair((2, number), value) for number, value in zip(numbers, values, strict=True)])


def components(data, monkeypatch, *, quick):
    with monkeypatch.context() as patch:
        if not quick:
            patch.setattr(pck, "_USUAL", pck.re.compile(rb"(?!)"))
        try:
            found, rest = pck._tcb(data, "tcb")
            return found, rest.integer(17, 0xFFFF), rest.take(18, 4, 16)
        except EvidenceError:
            return None


@pytest.mark.parametrize("usual", [True, False])
def test_components_are_read_the_same_either_way(usual, monkeypatch):
    svns = st.lists(st.integers(0, 255), min_size=16, max_size=16)
    edits = st.lists(
        st.tuples(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3)), max_size=0 if usual else 3
    )

    @bounded
    @given(svns, edits)
    def run(values, changes):
        data = bytearray(tcb(range(1, 17), [integer(value) for value in values]))
        data += sgx_pair((2, 17), integer(13)) + sgx_pair((2, 18), b"\x04\x10" + bytes(16))
        for place, extra, cut in changes:
            data[place : place + cut] = extra
        found = components(bytes(data), monkeypatch, quick=True)
        assert found == components(bytes(data), monkeypatch, quick=False)
        assert not usual or found == (bytes(values), 13, bytes(16))

    run()


@pytest.mark.parametrize(
    ("fault", "numbers"),
    [("the first", (*range(1, 17), 1)), ("the last", (*range(1, 17), 16)), ("one between", (*range(1, 17), 17, 5))],
)
def test_a_component_that_comes_twice(fault, numbers):
    with pytest.raises(EvidenceError, match="comes twice"):
        pck._tcb(tcb(numbers, [integer(1)] * len(numbers)), "tcb")


@pytest.mark.parametrize("value", [b"\x02\x02\x00\x7f", b"\x02\x01\x80", b"\x02\x02\x01\x00", b"\x04\x01\x01"])
def test_a_component_that_is_no_svn(value):
    data = tcb(range(1, 17), [*[integer(1)] * 15, value]) + tcb((17, 18), (integer(1), b"\x04\x10" + bytes(16)))
    with pytest.raises(EvidenceError):
        pck._tcb(data, "tcb")


# --- event logs of any banks

LOGS = {banks: many_banks(boot_log(), *banks) for banks in ((SHA256,), (SHA1, SHA256, SHA384), (SHA384, SHA256))}


def read(data, bank, monkeypatch, *, quick):
    with monkeypatch.context() as patch:
        if not quick:
            patch.setattr(eventlog, "_quick_events", lambda *_: None)
        try:
            return parse_event_log(data, bank=bank)
        except EvidenceError as error:
            return str(error)


@pytest.mark.parametrize("banks", LOGS, ids=str)
def test_logs_are_read_the_same_either_way(banks, monkeypatch):
    good = LOGS[banks]
    edits = st.lists(st.tuples(st.integers(0, len(good)), st.binary(max_size=4), st.integers(0, 4)), max_size=3)

    @bounded
    @given(edits, st.sampled_from((SHA1, SHA256, SHA384)), st.sampled_from((b"", b"\xff" * 7, b"\xff" * 300)))
    def run(changes, bank, padding):
        data = bytearray(good + padding)
        for place, extra, cut in changes:
            data[place : place + cut] = extra
        assert read(bytes(data), bank, monkeypatch, quick=True) == read(bytes(data), bank, monkeypatch, quick=False)

    run()


@pytest.mark.parametrize("banks", LOGS, ids=str)
def test_the_quick_way_is_taken(banks, monkeypatch):
    monkeypatch.setattr(eventlog, "_events", None)
    assert len(parse_event_log(LOGS[banks]).events) == len(boot_log())


def test_the_quick_way_has_the_same_limit():
    good = LOGS[(SHA256,)]
    event = struct.pack("<IIIH32sI", 0, 4, 1, SHA256, bytes(32), 0)
    head = good[: 32 + struct.unpack_from("<I", good, 28)[0]]
    assert len(parse_event_log(head + event * MAX_EVENTS).events) == MAX_EVENTS
    with pytest.raises(EvidenceError, match="over the limit"):
        parse_event_log(head + event * (MAX_EVENTS + 1))
