"""Parsers of GPU evidence are total: any bytes give frozen values or :class:`EvidenceError` with a place."""

from __future__ import annotations

import dataclasses
import struct
import time

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import EvidenceError
from client_sdk.parse.canonical_xml import MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_SIZE, canonical, parse_xml
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.dice import parse_firmware_id
from client_sdk.parse.nvidia import parse_transcript
from client_sdk.parse.rim import parse_rim
from tests.fakes.simulated_nvidia import (
    BLACKWELL,
    DSIG,
    HOPPER,
    SimulatedGpu,
    SimulatedRim,
    der,
    fwid,
    issue,
)
from tests.totality import with_a_few_changes

GPU, RIM = SimulatedGpu(), SimulatedRim()
EVIDENCE, FILE = GPU.evidence(), RIM.data()
RECORD = 37 + 8
OPAQUE = RECORD + 64 * 55 + 34
bounded = settings(max_examples=80, derandomize=True, deadline=None, database=None)


def transcript(data):
    return parse_transcript(data, "gpu")


def rim(data):
    return parse_rim(data, "rim")


def firmware_id(value, form=HOPPER):
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(form), value)
    return parse_firmware_id(parse_certificate(issue("leaf", None, {"fwid": (extension, False)}).der, "leaf"), "leaf")


PARSERS = [(transcript, EVIDENCE), (rim, FILE)]
IDS = ["transcript", "rim"]


def only_evidence_errors(parser, data):
    place, found = "read", None
    try:
        found = parser(data)
    except EvidenceError as error:
        place = error.where
    assert place
    assert found is None or type(found).__dataclass_params__.frozen


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_control_is_read(parser, good):
    assert dataclasses.is_dataclass(parser(good))


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_any_bytes(parser, good):
    @bounded
    @given(st.binary(max_size=400))
    def run(data):
        only_evidence_errors(parser, data)

    run()


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_good_bytes_with_a_few_changes(parser, good):
    with_a_few_changes(lambda data: only_evidence_errors(parser, data), good, examples=80)


@pytest.mark.parametrize(("parser", "good"), PARSERS, ids=IDS)
def test_truncations_are_refused(parser, good):
    for end in range(0, len(good), 7):
        with pytest.raises(EvidenceError):
            parser(good[:end])


@pytest.mark.parametrize("parser", [transcript, rim], ids=IDS)
@pytest.mark.parametrize("data", [bytes(10_000_000), EVIDENCE * 2500, b"<a>" * 3_000_000], ids=["zeros", "gpu", "xml"])
def test_ten_megabytes_are_refused_at_once(parser, data):
    start = time.process_time()
    with pytest.raises(EvidenceError):
        parser(data)
    assert time.process_time() - start < 5  # 50 ms are the aim; this says only that nothing hangs


def changed(offset, value):
    return EVIDENCE[:offset] + value + EVIDENCE[offset + len(value) :]


@pytest.mark.parametrize(
    ("fault", "data", "where"),
    [
        ("SPDM 1.2", changed(0, b"\x12"), "gpu byte 0"),
        ("another request", changed(1, b"\xe1"), "gpu byte 0"),
        ("a response of SPDM 1.2", changed(37, b"\x12"), "gpu byte 37"),
        ("an error in the response's place", changed(38, b"\x7f"), "gpu byte 37"),
        ("no measurement", changed(41, b"\0"), f"gpu byte {RECORD}"),
        ("one measurement less", changed(41, b"\x3f"), f"gpu byte {RECORD}"),
        ("one measurement more", changed(41, b"\x41"), f"gpu byte {OPAQUE - 34}"),
        ("a record of 16 MiB", changed(42, b"\xff\xff\xff"), f"gpu byte {RECORD}"),
        ("measurement 0", changed(RECORD, b"\0"), f"gpu byte {RECORD}"),
        ("measurement 1 twice", changed(RECORD + 55, b"\1"), f"gpu byte {RECORD + 55}"),
        ("a measurement by another specification", changed(RECORD + 1, b"\2"), f"gpu byte {RECORD}"),
        ("a value of another size", changed(RECORD + 5, b"\x2f"), f"gpu byte {RECORD}"),
        ("a value of 64 KiB", changed(RECORD + 2, b"\xff\xff"), f"gpu byte {RECORD}"),
        ("opaque data of 64 KiB", changed(OPAQUE - 2, b"\xff\xff"), f"gpu byte {OPAQUE}"),
        ("a signature that is cut short", EVIDENCE[:-1], f"gpu byte {len(EVIDENCE) - 96}"),
        ("two bytes too many", EVIDENCE + b"\0\0", f"gpu byte {len(EVIDENCE)}"),
    ],
)
def test_transcript_faults_have_a_place(fault, data, where):
    with pytest.raises(EvidenceError) as caught:
        transcript(data)
    assert caught.value.where == where, str(caught.value)


def with_opaque(**fields):
    gpu = SimulatedGpu()
    gpu.opaque = {**gpu.opaque, **{int(name[1:]): value for name, value in fields.items()}}
    return gpu.evidence()


@pytest.mark.parametrize(
    "fields",
    [
        {"_3": b"\xff590.12"},
        {"_3": b"590\n12"},
        {"_6": b"96.00.A5.00"},
        {"_6": bytes.fromhex("00a5009601010000")},
        {"_6": b"96.00.a5.00.01"},
        {"_20": bytes(47)},
        {"_20": bytes(32)},
        {"_21": b""},
        {"_22": bytes(9)},
        {"_34": b"\3\0"},
        {"_36": bytes(9)},
    ],
    ids=str,
)
def test_fields_that_are_not_what_they_should_be(fields):
    with pytest.raises(EvidenceError, match="gpu opaque data"):
        transcript(with_opaque(**fields))


@pytest.mark.parametrize(
    ("fault", "opaque"),
    [
        ("an entry twice", struct.pack("<HHBHHB", 21, 1, 0x55, 21, 1, 0xAA)),
        ("an entry that runs over", struct.pack("<HH", 3, 9) + b"x"),
        ("half an entry", b"\3\0\1"),
        ("257 entries", b"".join(struct.pack("<HH", 1000 + i, 0) for i in range(257))),
        ("another profile", b"NVDAOD" + bytes([1, 0, 2, 0, 0, 0])),
        ("version 3", b"NVDAOD" + bytes([0, 0, 3, 0, 0, 0])),
        ("a version that is cut short", b"NVDAOD" + bytes([0, 0, 2, 0, 0])),
        ("a typed entry that is cut short", b"NVDAOD" + bytes([0, 0, 2, 0, 0, 0]) + bytes(5)),
    ],
)
def test_opaque_data_that_does_not_add_up(fault, opaque):
    gpu = SimulatedGpu()
    gpu.opaque_data = lambda: opaque
    with pytest.raises(EvidenceError, match="opaque data"):
        transcript(gpu.evidence())


def test_versions_are_spelled_as_rim_files_spell_them():
    read = transcript(EVIDENCE).opaque
    assert (read.vbios_version, read.chip_sku, read.project) == ("96.00.A5.00.01", "885", "G520")
    assert transcript(SimulatedGpu.switch().evidence()).opaque.vbios_version == "96.10.55.00.01"
    assert transcript(with_opaque(_6=bytes.fromhex("008800970f000000"))).opaque.vbios_version == "97.00.88.00.0F"


DIGEST = bytes(range(48))
KEY = der(0x30, b"\x05\x00")


def test_firmware_ids_are_read():
    assert firmware_id(der(0x30, der(2, b"\1"), KEY, fwid(DIGEST))).digest == DIGEST
    flags = der(0x87, b"\0\xf0\0\0\1")
    found = firmware_id(der(0x30, der(0xA6, fwid(DIGEST), fwid(bytes(48))), flags), BLACKWELL)
    assert (found.digest, found.flags) == (DIGEST, ("notConfigured", "notSecure", "recovery", "debug"))
    assert firmware_id(der(0x30, der(0xA6, fwid(DIGEST))), BLACKWELL).flags is None
    assert parse_firmware_id(parse_certificate(issue("leaf", None, {}).der, "leaf"), "leaf") is None


@pytest.mark.parametrize("form", [HOPPER, BLACKWELL])
@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("nothing", b""),
        ("no sequence", der(4, b"x")),
        ("an empty sequence", der(0x30)),
        ("something after it", der(0x30, der(2, b"\1"), KEY, fwid(DIGEST)) + b"\0"),
        ("a length that runs over", b"\x30\x7f\x02"),
        ("a length without end", b"\x30\x80\x00\x00"),
        ("a length of four bytes", b"\x30\x84\x00\x00\x00\x01\x00"),
        ("a length longer than it need be", b"\x30\x81\x01\x00"),
        ("the digest alone", fwid(DIGEST)),
        (
            "a digest of SHA-256",
            der(0x30, der(2, b"\1"), KEY, der(0x30, bytes.fromhex("0609608648016503040201"), der(4, bytes(32)))),
        ),
        ("a digest of 47 bytes", der(0x30, der(2, b"\1"), KEY, fwid(bytes(47)))),
        ("a digest and more", der(0x30, der(2, b"\1"), KEY, der(0x30, fwid(DIGEST)[2:], b"\x05\x00"))),
        ("no list of digests", der(0x30, der(0x80, b"NVIDIA"))),
        ("an empty list", der(0x30, der(0xA6))),
        ("two lists", der(0x30, der(0xA6, fwid(DIGEST)), der(0xA6, fwid(DIGEST)))),
        ("flags of no byte", der(0x30, der(0xA6, fwid(DIGEST)), der(0x87, b"\0"))),
        ("flags with nine unused bits", der(0x30, der(0xA6, fwid(DIGEST)), der(0x87, b"\x09\0"))),
        ("65 elements", der(0x30, *[der(0x80 + i % 16, b"") for i in range(65)])),
        ("4 KiB", der(0x30, der(0x80, bytes(4096)), der(0xA6, fwid(DIGEST)))),
    ],
)
def test_firmware_id_faults(form, fault, value):
    with pytest.raises(EvidenceError, match="leaf"):
        firmware_id(value, form)


def xml(text):
    return parse_xml(text.encode() if isinstance(text, str) else text, "xml")


@pytest.mark.parametrize(
    ("what", "text", "expected"),
    [
        ("an empty element is a pair", "<a/>", "<a></a>"),
        ("attributes by name", "<a c='1' b='2' A='3'/>", '<a A="3" b="2" c="1"></a>'),
        (
            "attributes by namespace, not by prefix",
            '<a xmlns:x="urn:2" xmlns:y="urn:1" x:b="1" y:c="2" d="3"/>',
            '<a xmlns:x="urn:2" xmlns:y="urn:1" d="3" y:c="2" x:b="1"></a>',
        ),
        (
            "declarations by prefix",
            '<a xmlns:y="u" xmlns="v" xmlns:x="w"/>',
            '<a xmlns="v" xmlns:x="w" xmlns:y="u"></a>',
        ),
        ("a declaration once", '<a xmlns="u"><b xmlns="u"/></a>', '<a xmlns="u"><b></b></a>'),
        ("a declaration that nobody uses", '<a><b xmlns:x="u"/></a>', '<a><b xmlns:x="u"></b></a>'),
        ("a declaration that is taken back", '<a xmlns="u"><b xmlns=""/></a>', '<a xmlns="u"><b xmlns=""></b></a>'),
        ("nothing to take back", '<a xmlns=""><b xmlns=""/></a>', "<a><b></b></a>"),
        (
            "a declaration again after another",
            '<a xmlns:x="1"><b xmlns:x="2"><c xmlns:x="1"/></b></a>',
            '<a xmlns:x="1"><b xmlns:x="2"><c xmlns:x="1"></c></b></a>',
        ),
        ("escapes in text", "<a>&lt;&gt;&amp;\"'&#13;\t</a>", "<a>&lt;&gt;&amp;\"'&#xD;\t</a>"),
        ("escapes in attributes", "<a b='&lt;>&amp;\"&#9;&#10;&#13;'/>", '<a b="&lt;>&amp;&quot;&#x9;&#xA;&#xD;"></a>'),
        ("white space in attributes", "<a b='1\t2\r\n3'/>", '<a b="1 2 3"></a>'),
        ("line ends", "<a>1\r\n2\r3</a>", "<a>1\n2\n3</a>"),
        ("literal text", "<a><![CDATA[<b>&]]></a>", "<a>&lt;b&gt;&amp;</a>"),
        ("comments", "<!-- 1 --><a>1<!-- 2 -->2</a><!-- 3 -->", "<a>12</a>"),
        ("a declaration of XML", "<?xml version='1.0' encoding='utf-8'?>\n<a/>\n", "<a></a>"),
        ("other letters", "<ä b='&#x20AC;'>𝄞</ä>", '<ä b="€">𝄞</ä>'),
        ("white space in tags", "<a  b = '1'\n></a >", '<a b="1"></a>'),
    ],
)
def test_canonical_form(what, text, expected):
    assert canonical(xml(text)).decode() == expected
    assert canonical(xml(expected)).decode() == expected


def test_the_canonical_form_of_a_part_has_the_namespaces_around_it():
    root = xml('<a xmlns="1" xmlns:x="2" xmlns:y="3"><b xmlns:x="4" c="5"><d/></b><e/></a>')
    part, other = root.elements()
    assert canonical(part).decode() == '<b xmlns="1" xmlns:x="4" xmlns:y="3" c="5"><d></d></b>'
    assert canonical(other).decode() == '<e xmlns="1" xmlns:x="2" xmlns:y="3"></e>'
    assert canonical(root, without=part).decode() == '<a xmlns="1" xmlns:x="2" xmlns:y="3"><e></e></a>'


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("nothing", ""),
        ("text alone", "x"),
        ("two elements", "<a/><b/>"),
        ("a document type", "<!DOCTYPE a><a/>"),
        ("a document type from elsewhere", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'),
        ("an entity", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        ("an entity that nobody declared", "<a>&b;</a>"),
        ("an instruction", "<?b c?><a/>"),
        ("an instruction inside", "<a><?b c?></a>"),
        ("an attribute of XML itself", '<a xml:lang="en"/>'),
        ("a prefix that is not bound", "<b:a/>"),
        ("an attribute twice", '<a b="1" b="2"/>'),
        ("an attribute twice by namespace", '<a xmlns:x="u" xmlns:y="u" x:b="1" y:b="2"/>'),
        ("another encoding", "<?xml version='1.0' encoding='latin-1'?><a/>"),
        ("UTF-16", "<a/>".encode("utf-16")),
        ("UTF-16 without a mark", "<a/>".encode("utf-16-le")),
        ("no UTF-8", b"<a>\xff</a>"),
        ("a zero byte", b"<a>\0</a>"),
        ("no end", "<a><b></a>"),
        ("too deep", "<a>" * (MAX_DEPTH + 1)),
        ("too many elements", "<a>" + "<b/>" * MAX_ELEMENTS + "</a>"),
        ("too many namespaces", "<a" + "".join(f' xmlns:n{i}="u"' for i in range(65)) + "/>"),
        ("too many attributes", "<a" + "".join(f' b{i}=""' for i in range(MAX_ATTRIBUTES + 1)) + "/>"),
        ("too large", "<a>" + " " * MAX_SIZE + "</a>"),
    ],
)
def test_xml_that_is_refused(fault, text):
    with pytest.raises(EvidenceError, match=r"^xml byte"):
        xml(text)


def edited(old, new):
    text = FILE.decode()
    assert old in text
    return text.replace(old, new, 1).encode()


SIGNATURE = FILE.decode()[FILE.decode().index("<ds:Signature ") : FILE.decode().index("</SoftwareIdentity>")]
ENTITY = "<ns0:Entity"


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("another document", FILE.replace(b"SoftwareIdentity", b"SoftwareIdentitx")),
        ("another namespace", FILE.replace(b"2015/schema.xsd", b"2016/schema.xsd")),
        ("no signature", edited(SIGNATURE, "")),
        ("two signatures", edited(SIGNATURE, SIGNATURE * 2)),
        ("a signature further inside", edited(SIGNATURE, f"<ns0:Link>{SIGNATURE}</ns0:Link>")),
        ("a second payload", edited(ENTITY, "<ns0:Payload/>" + ENTITY)),
        ("a second meta", edited(ENTITY, "<ns0:Meta/>" + ENTITY)),
        ("an object in the signature", edited("</ds:Signature>", "<ds:Object/></ds:Signature>")),
        ("another order in the signature", edited("<ds:SignedInfo>", "<ds:KeyInfo/><ds:SignedInfo>")),
        ("no certificate", edited("<ds:X509Data>", "<ds:X509Data/><ds:X509Data>")),
        ("a signature value that is not base64", edited("<ds:SignatureValue>", "<ds:SignatureValue>!")),
        ("a signature value in other letters", edited("<ds:SignatureValue>", "<ds:SignatureValue>ä")),
        (
            "a transform with parameters",
            edited(
                f'Algorithm="{DSIG}enveloped-signature"/>', f'Algorithm="{DSIG}enveloped-signature"><a/></ds:Transform>'
            ),
        ),
        ("something in a transform's place", edited("<ds:Transforms>", "<ds:Transforms><ds:Other/>")),
        ("no algorithm", edited("<ds:CanonicalizationMethod Algorithm=", "<ds:CanonicalizationMethod Algorithn=")),
        ("a record of another kind", edited("<ns0:Resource", "<ns0:File")),
        ("a record neither active nor not", edited('active="True"', 'active="true"')),
        ("a record of another type", edited('type="Measurement"', 'type="Opaque"')),
        ("a record with another attribute", edited('active="True"', 'active="True" minSvn="3"')),
        ("a record with a value more", edited('alternatives="2"', 'alternatives="1"')),
        ("a record with a value less", edited('alternatives="2"', 'alternatives="3"')),
        ("a record without values", edited('alternatives="2"', 'alternatives="0"')),
        ("a record with a thousand values", edited('alternatives="2"', 'alternatives="1000"')),
        ("a number with a sign", edited('index="20"', 'index="+20"')),
        ("a number with a zero before", edited('index="20"', 'index="020"')),
        ("a number in other digits", edited('index="20"', 'index="٢٠"')),
        ("record 255", edited('index="20"', 'index="255"')),
        ("a record twice", edited('index="20"', 'index="21"')),
        ("a value of another size", edited('size="48"', 'size="32"')),
        ("a value that is not hex", edited('ns2:Hash0="00', 'ns2:Hash0="0x')),
        ("no version", edited("colloquialVersion=", "colloquialversion=")),
        ("a version with a line end", edited('colloquialVersion="590.12"', 'colloquialVersion="590&#10;12"')),
        ("a version of 300 letters", edited('colloquialVersion="590.12"', f'colloquialVersion="{"1" * 300}"')),
    ],
)
def test_rim_faults(fault, data):
    with pytest.raises(EvidenceError, match=r"^rim"):
        rim(data)


def test_an_inactive_record_may_have_any_form():
    data = edited('active="False"', 'active="False" later="1"')
    assert rim(data).golden == rim(FILE).golden
