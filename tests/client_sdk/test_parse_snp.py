"""Parsers of SEV-SNP are total: any bytes give frozen fields or :class:`EvidenceError` with a place (F2, F3)."""

from __future__ import annotations

import base64
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import EvidenceError
from client_sdk.parse.amd_certificate import parse_vek
from client_sdk.parse.certificate import parse_certificate, spki_digest
from client_sdk.parse.names import certificate_names, common_name
from client_sdk.parse.pem import parse_pem_or_der
from client_sdk.parse.snp import Product, Tcb, parse_report, parse_tcb, product_of
from tests.fakes.simulated_snp import ARC, AmdCa, SimulatedSnp, ia5, integer
from tests.totality import only_evidence_errors, with_a_few_changes

SIM, LOADED, TURIN = SimulatedSnp(), SimulatedSnp(vlek=True), SimulatedSnp(Product.TURIN)
REPORT, VEK, ASK = SIM.report(), SIM.certificate(), SIM.ask.der
PEM = x509.load_der_x509_certificate(ASK).public_bytes(serialization.Encoding.PEM)


def vek(data):
    return parse_vek(data, "vek")


def certificate(data):
    return parse_certificate(data, "certificate")


def pem(data):
    return parse_pem_or_der(data, "pem")


def raw_names(data):
    return certificate_names(data, "certificate")


def raw_common_name(data):
    return common_name(data, "name")


PARSERS = [(parse_report, REPORT), (vek, VEK), (vek, LOADED.certificate()), (certificate, ASK), (pem, PEM)]
PARSERS += [(raw_names, certificate(ASK).tbs), (raw_common_name, certificate(ASK).subject)]
IDS = ["report", "VCEK", "VLEK", "ASK", "PEM", "names", "common name"]
bounded = settings(max_examples=80, derandomize=True, deadline=None, database=None)


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_any_bytes(parser, good):
    assert parser(good)

    @bounded
    @given(st.binary(max_size=1300))
    def run(data):
        only_evidence_errors(parser, data)

    run()


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_good_bytes_with_a_few_changes(parser, good):
    with_a_few_changes(lambda data: only_evidence_errors(parser, data), good, examples=80)


@pytest.mark.parametrize(("parser", "good"), PARSERS[1:4], ids=IDS[1:4])
def test_every_byte_changed(parser, good):
    for place in range(len(good)):
        for bit in (0x01, 0x80):
            only_evidence_errors(parser, good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :])


@pytest.mark.parametrize(("parser", "good"), PARSERS[:4], ids=IDS[:4])
def test_every_truncation_and_left_over_bytes(parser, good):
    for end in (*range(len(good)), None):
        data = good + b"\0" if end is None else good[:end]
        with pytest.raises(EvidenceError):
            parser(data)


TEXT = [b"\0", b"\xff", b"-----BEGIN CERTIFICATE-----", b"-----BEGIN ", PEM]
NONSENSE = [(parser, unit) for parser in (parse_report, vek, certificate) for unit in (*TEXT, b"0\x82\xff\xff", VEK)]


@pytest.mark.parametrize(("parser", "unit"), [*NONSENSE, *[(pem, unit) for unit in TEXT]])
def test_ten_megabytes_of_nonsense_are_refused_at_once(parser, unit):
    data = unit * (10_000_000 // len(unit))
    started = time.process_time()
    with pytest.raises(EvidenceError):
        parser(data)
    assert time.process_time() - started < 5  # 50 ms are the aim; this says only that nothing hangs


def test_a_report_is_read_field_by_field():
    sim = SimulatedSnp()
    sim.version, sim.vmpl, sim.policy, sim.flags = 5, 3, 0x30000 | 0x0137, 0b01011
    sim.current_version, sim.committed_version, sim.mitigations = (1, 2, 3), (4, 5, 6), (7, 8)
    report = parse_report(sim.report())
    assert (report.version, report.vmpl, report.policy_abi, report.signing_key) == (5, 3, (1, 0x37), 2)
    assert (report.current_version, report.committed_version) == ((3, 2, 1), (6, 5, 4))
    assert (report.launch_mitigations, report.current_mitigations) == (7, 8)
    assert (report.measurement, report.host_data) == (sim.measurement, sim.host_data)
    assert (report.id_key_digest, report.author_key_digest) == (sim.id_key_digest, sim.author_key_digest)
    assert (report.report_data, report.chip_id, report.cpuid) == (sim.report_data, sim.chip_id, sim.cpuid)
    assert (report.report_id, report.report_id_ma) == (b"\x44" * 32, b"\xff" * 32)
    assert report.reserved_set == ()
    assert report.signed == sim.body()


def test_r_and_s_are_little_endian_numbers_of_72_bytes():
    numbers = bytearray(REPORT)
    numbers[0x2A0:0x330] = b"\x02" + bytes(71) + b"\x03" + bytes(70) + b"\x01"
    report = parse_report(bytes(numbers))
    assert (report.r, report.s) == (2, 3 + (1 << 71 * 8))


@pytest.mark.parametrize("size", [0, 1183, 1185, 4096])
def test_a_report_of_another_size(size):
    with pytest.raises(EvidenceError, match=r"report byte \d+: a report has 1184 bytes"):
        parse_report(bytes(size))


def test_both_orders_of_a_tcb():
    raw = bytes([1, 2, 3, 4, 5, 6, 7, 8])
    assert parse_tcb(raw, Product.MILAN) == parse_tcb(raw, Product.GENOA) == Tcb(0, 1, 2, 7, 8, bytes([3, 4, 5, 6]))
    assert parse_tcb(raw, Product.TURIN) == Tcb(1, 2, 3, 4, 8, bytes([5, 6, 7]))
    with pytest.raises(EvidenceError, match="7 bytes instead of 8"):
        parse_tcb(raw[1:], Product.TURIN)


@pytest.mark.parametrize(
    ("cpuid", "product"),
    [
        ((0x19, 0x01, 1), Product.MILAN),
        ((0x19, 0x11, 1), Product.GENOA),
        ((0x19, 0xA0, 2), Product.GENOA),
        ((0x1A, 0x02, 1), Product.TURIN),
        ((0x1A, 0x11, 0), Product.TURIN),
        ((0x1A, 0x50, 0), None),
        ((0x19, 0x00, 0), None),
        ((0x17, 0x31, 0), None),
        ((0, 0, 0), None),
    ],
)
def test_the_product_of_a_processor(cpuid, product):
    assert product_of(cpuid) is product


def test_the_extensions_of_each_kind_are_read():
    chip, loaded, turin = vek(VEK), vek(LOADED.certificate()), vek(TURIN.certificate())
    assert (chip.hwid, chip.csp_id, chip.is_vlek, chip.product) == (SIM.hwid, "", False, Product.MILAN)
    assert (loaded.hwid, loaded.csp_id, loaded.is_vlek) == (b"", "CN=cc-test.example", True)
    assert (turin.hwid, turin.struct_version, turin.levels[9]) == (TURIN.hwid, 1, 1)
    assert (chip.struct_version, chip.levels[3], chip.levels[8]) == (0, 24, 219)
    assert common_name(chip.fields.subject, "vek") == "SEV-VCEK"


MILAN_B0 = {"1": integer(0), "2": ia5(b"Milan-B0")}


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("no struct version", {"1": None}),
        ("no product", {"2": None}),
        ("neither chip nor provider", {"4": None}),
        ("chip and provider", {"5": ia5(b"CN=x")}),
        ("a level that nobody knows", {"3.10": integer(1)}),
        ("a level below a level", {"3.1.1": integer(1)}),
        ("a level that is a text", {"3.3": ia5(b"1")}),
        ("a level over 255", {"3.3": b"\x02\x02\x01\x00"}),
        ("a negative level", {"3.3": b"\x02\x01\x80"}),
        ("a level with a zero too many", {"3.3": b"\x02\x02\x00\x7f"}),
        ("a level with a long length", {"3.3": b"\x02\x81\x01\x05"}),
        ("an empty level", {"3.3": b""}),
        ("a level with a byte left over", {"3.3": b"\x02\x01\x05\x00"}),
        ("a product that is UTF-8", {"2": b"\x0c\x05Milan"}),
        ("a product of another length", {"2": b"\x16\x06Milan"}),
        ("an empty product", {"2": b"\x16\x00"}),
        ("a product that cannot be printed", {"2": ia5(b"Milan\n")}),
        ("a product that is not ASCII", {"2": ia5(b"Milan\xe9")}),
        ("a product that is too long", {"2": bytes([0x16, 128]) + b"M" * 128}),
        ("a chip id of 63 bytes", {"4": bytes(63)}),
        ("a chip id of 65 bytes", {"4": bytes(65)}),
        ("a wrapped chip id with another length", {"4": b"\x04\x3f" + bytes(64)}),
        ("a chip id wrapped as something else", {"4": b"\x03\x40" + bytes(64)}),
        ("an empty chip id", {"4": b""}),
    ],
)
def test_a_certificate_with_malformed_extensions(fault, changes):
    sim = SimulatedSnp()
    sim.extensions |= {name: value for name, value in changes.items() if not name.startswith("3.")}
    sim.extensions = {name: value for name, value in sim.extensions.items() if value is not None}
    for name, value in changes.items():
        if name.startswith("3."):
            sim.levels.pop(int(name[2:]) if name[2:].isdigit() else 0, None)
            sim.vek_extra.append((x509.UnrecognizedExtension(x509.ObjectIdentifier(ARC + name), value), False))
    with pytest.raises(EvidenceError, match=r"^vek"):
        vek(sim.certificate())


@pytest.mark.parametrize("size", [64, 8])
def test_a_wrapped_chip_id(size):
    sim = SimulatedSnp()
    sim.extensions["4"] = bytes([4, size]) + b"\x66" * size
    assert vek(sim.certificate()).hwid == b"\x66" * size


def test_another_extension_of_amd_says_nothing():
    sim = SimulatedSnp()
    sim.vek_extra.append((x509.UnrecognizedExtension(x509.ObjectIdentifier(ARC + "6"), b"\x05\x00"), False))
    assert vek(sim.certificate()).product is Product.MILAN


def serial(data: bytes, content: bytes) -> bytes:
    """Return a certificate with another serial number of one byte; its signature does not matter here."""
    return data.replace(b"\xa0\x03\x02\x01\x02\x02\x01\x00", b"\xa0\x03\x02\x01\x02\x02\x01" + content)


def test_a_serial_number_of_zero_is_read_without_a_warning_in_any_thread():
    assert b"\xa0\x03\x02\x01\x02\x02\x01\x00" in VEK
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(certificate, [VEK] * 64))
    start = VEK.index(b"\x30", 1)
    assert {fields.serial for fields in found} == {0}
    assert {VEK[start : start + len(fields.tbs)] == fields.tbs for fields in found} == {True}
    assert b"\x02\x01\x00" in found[0].tbs[:20]
    assert len(spki_digest(VEK, "certificate")) == 32


def test_the_fields_of_a_certificate_with_an_ordinary_serial_number():
    fields = certificate(ASK)
    assert (fields.serial, fields.tbs) == (SIM.ask.serial, fields.certificate.tbs_certificate_bytes)


def test_a_negative_serial_number_is_refused():
    with pytest.raises(EvidenceError, match="negative"):
        certificate(serial(VEK, b"\xff"))


PSS = bytes.fromhex("06092a864886f70d01010a")


@pytest.mark.parametrize("place", ["salt length", "trailing bits"])
def test_bytes_of_a_certificate_that_nobody_signs(place):
    """Without the check a certificate on a deny-list would have other fingerprints that verify as well."""
    changed = bytearray(VEK)
    outer = VEK.rindex(PSS)
    assert VEK.index(PSS) < outer
    if place == "salt length":
        changed[outer + 0x40] = 0x31
    else:
        changed[-257], changed[-1] = 1, VEK[-1] & 0xFE
    assert x509.load_der_x509_certificate(bytes(changed).replace(b"\x02\x01\x00\x30\x41", b"\x02\x01\x01\x30\x41"))
    with pytest.raises(EvidenceError, match="two signature algorithms, or its signature is not whole bytes"):
        certificate(bytes(changed))


def odd_name() -> x509.Name:
    """Return a name about which ``cryptography`` warns when it reads it: a country of three letters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        country = x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "USA", _validate=False)
        return x509.Name([country, x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])


class OddCa(AmdCa):
    """A CA with that name."""

    @property
    def subject(self):
        return odd_name()


def test_an_odd_name_is_read_without_a_warning():
    with pytest.warns(UserWarning, match="length must be"):
        x509.load_der_x509_certificate(OddCa("odd").der).subject.rfc4514_string()
    fields = certificate(OddCa("odd").der)
    assert fields.issuer == fields.subject
    assert common_name(fields.subject, "name") == "odd"


def test_an_odd_name_inside_an_extension_makes_the_certificate_unreadable_where_warnings_are_errors():
    san = x509.SubjectAlternativeName([x509.DirectoryName(odd_name())])
    der = AmdCa("san", extensions=[(san, False)]).der
    with pytest.raises(EvidenceError, match=r"not an X\.509 certificate"):
        certificate(der)


def name(*attributes: bytes) -> bytes:
    inner = b"".join(attributes)
    return bytes([0x30, len(inner)]) + inner


def attribute(oid: bytes, tag: int, text: bytes) -> bytes:
    value = bytes([6, len(oid)]) + oid + bytes([tag, len(text)]) + text
    return bytes([0x31, len(value) + 2, 0x30, len(value)]) + value


CN, ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0a"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (name(attribute(CN, 0x0C, b"ARK-Milan")), "ARK-Milan"),
        (name(attribute(ORGANISATION, 0x0C, b"\x06\x03\x55\x04\x03"), attribute(CN, 0x13, b"SEV")), "SEV"),
        (name(attribute(CN, 0x0C, b"one"), attribute(CN, 0x0C, b"two")), ""),
        (name(attribute(ORGANISATION, 0x0C, b"AMD")), ""),
        (name(attribute(CN, 0x1E, b"\0A")), ""),
        (name(), ""),
        (b"", ""),
    ],
)
def test_a_common_name(content, found):
    assert common_name(content, "name") == found


@pytest.mark.parametrize("content", [name(attribute(CN, 0x0C, b"\xff")), b"\x30\x05abc", b"\x30\x80\0\0", b"\x30"])
def test_a_name_that_is_none(content):
    with pytest.raises(EvidenceError, match=r"^name"):
        common_name(content, "name")


@pytest.mark.parametrize("version", [b"\x03", b"\x7f", b"\xff"])
def test_a_version_of_certificates_that_does_not_exist(version):
    changed = VEK.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01" + version, 1)
    with pytest.raises(EvidenceError, match=r"not an X\.509 certificate"):
        certificate(changed)


def test_pem_bundles():
    two = b"subject=/CN=x\n" + PEM + b"\r\nmore text\n" + PEM.replace(b"\n", b"\r\n")
    assert pem(two) == (ASK, ASK)
    assert pem(PEM + b"\0") == (ASK,)
    assert pem(VEK) == (VEK,)


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("nothing", b""),
        ("text", b"0 certificates"),
        ("no end", PEM[:-20]),
        ("another label", PEM.replace(b"CERTIFICATE", b"PRIVATE KEY")),
        ("another end", PEM.replace(b"END CERTIFICATE", b"END X509 CRL")),
        ("a block within a block", PEM.replace(b"\n", b"\n-----BEGIN CERTIFICATE-----\n", 1)),
        ("no base64", PEM.replace(b"MII", b"M.I", 1)),
        ("base64 that is not canonical", b"-----BEGIN CERTIFICATE-----\nMIF=\n-----END CERTIFICATE-----"),
        ("more blocks than any chain has", PEM * 17),
    ],
)
def test_pem_that_is_none(fault, data):
    with pytest.raises(EvidenceError, match=r"^pem"):
        pem(data)


def test_a_revocation_list_in_pem():
    text = b"-----BEGIN X509 CRL-----\n" + base64.b64encode(SIM.ark.crl()) + b"\n-----END X509 CRL-----\n"
    (found,) = parse_pem_or_der(text, "crl", label="X509 CRL")
    assert found.startswith(b"\x30\x82")
