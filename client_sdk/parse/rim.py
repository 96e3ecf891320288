"""RIM files: the golden measurements of one driver or firmware, as NVIDIA signs them.

A SWID tag (ISO/IEC 19770-2:2015) with an enveloped XML signature (W3C XMLDSig, section 4), as the TCG RIM information
model has it. ``Resource`` number *i* is about measurement block *i* + 1; ``Hash0``, ``Hash1``, … are alternatives.

Nothing here is believed: ``verify/rim.py`` checks the signature over the same tree that the values are read from.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from client_sdk.errors import EvidenceError
from client_sdk.parse.canonical_xml import Element, Name, canonical, parse_xml

SWID = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
SHA384 = "http://www.w3.org/2001/04/xmlenc#sha384"
MAX_INDEX, MAX_ALTERNATIVES, MAX_CERTIFICATES, MAX_VALUE = 254, 64, 8, 64
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,3}")
_STATES = {"True": True, "False": False}
_RECORD = frozenset({("", name) for name in ("type", "index", "active", "alternatives", "name", "size")})


@dataclass(frozen=True, slots=True)
class Golden:
    """The values that measurement block ``index`` + 1 may have."""

    index: int
    name: str
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a signature says it is over, and how."""

    uri: str | None
    transforms: tuple[str, ...]
    digest_method: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class XmlSignature:
    """The signature's statement: ``signed`` are the canonical bytes of its SignedInfo."""

    canonicalization: str
    method: str
    references: tuple[Reference, ...]
    value: bytes
    certificates: tuple[bytes, ...]
    signed: bytes


@dataclass(frozen=True, slots=True)
class Rim:
    """A RIM file, its active records alone; ``content`` are the document's canonical bytes without its signature."""

    product: str
    edition: str
    version: str
    tag_id: str
    golden: tuple[Golden, ...]
    signature: XmlSignature
    content: bytes


def parse_rim(data: bytes, where: str) -> Rim:
    """Read a RIM file.

    Raises:
        EvidenceError: it is not one, or has a record that this version does not understand.
    """
    root = parse_xml(data, where)
    if root.name != (SWID, "SoftwareIdentity"):
        raise EvidenceError(where, f"the document is a {root.name[1][:64]!r}, not a SoftwareIdentity")
    meta, payload = _one(root, (SWID, "Meta"), where), _one(root, (SWID, "Payload"), where)
    signature = _one(root, (DSIG, "Signature"), where)
    golden = [_golden(record, where) for record in payload.elements()]
    active = tuple([record for record in golden if record is not None])
    if len({record.index for record in active}) != len(active):
        raise EvidenceError(where, "two records are about one measurement")
    return Rim(
        product=_attribute(meta, "product", where),
        edition=_attribute(meta, "edition", where),
        version=_attribute(meta, "colloquialVersion", where),
        tag_id=_attribute(root, "tagId", where),
        golden=active,
        signature=_signature(signature, where),
        content=canonical(root, without=signature),
    )


def _one(element: Element, name: Name, where: str) -> Element:
    found = element.children(name)
    if len(found) != 1:
        raise EvidenceError(where, f"{element.name[1][:64]} has {len(found)} times {name[1]}, not once")
    return found[0]


def _attribute(element: Element, name: str, where: str) -> str:
    value = element.attributes.get(("", name))
    if value is None or len(value) > 256 or not value.isprintable():
        raise EvidenceError(where, f"{element.name[1]} has no {name}, or one that is not printable")
    return value


def _number(element: Element, name: str, where: str, limit: int) -> int:
    text = _attribute(element, name, where)
    if not _DIGITS.fullmatch(text) or int(text) > limit:
        raise EvidenceError(where, f"{name} is not a number up to {limit}")
    return int(text)


def _golden(record: Element, where: str) -> Golden | None:
    """Read one record; None for one that is not active."""
    if record.name != (SWID, "Resource"):
        raise EvidenceError(where, f"the payload has a {record.name[1][:64]!r}, which this version does not read")
    if (active := _STATES.get(_attribute(record, "active", where))) is None:
        raise EvidenceError(where, "a record is neither active nor not")
    if not active:
        return None
    count, size = _number(record, "alternatives", where, MAX_ALTERNATIVES), _number(record, "size", where, MAX_VALUE)
    index, name = _number(record, "index", where, MAX_INDEX), _attribute(record, "name", where)
    hashes = {(SHA384, f"Hash{i}") for i in range(count)}
    if not count or record.attributes.keys() != _RECORD | hashes or record.attributes["", "type"] != "Measurement":
        raise EvidenceError(where, f"record {index} has a form that this version does not read")
    texts = [record.attributes[SHA384, f"Hash{i}"] for i in range(count)]
    if not all(len(text) == 2 * size and _HEX.fullmatch(text) for text in texts):
        raise EvidenceError(where, f"record {index} has a value that is not {size} bytes of hex")
    return Golden(index, name, tuple([bytes.fromhex(text) for text in texts]))


def _signature(element: Element, where: str) -> XmlSignature:
    names = [(DSIG, name) for name in ("SignedInfo", "SignatureValue", "KeyInfo")]
    if [part.name for part in element.elements()] != names:
        raise EvidenceError(where, "the signature is not a SignedInfo, a SignatureValue and a KeyInfo")
    info, value, key = element.elements()
    data = _one(key, (DSIG, "X509Data"), where)
    certificates = data.children((DSIG, "X509Certificate"))
    if not 1 <= len(certificates) <= MAX_CERTIFICATES:
        raise EvidenceError(where, f"the signature has {len(certificates)} certificates, not 1 to {MAX_CERTIFICATES}")
    return XmlSignature(
        canonicalization=_algorithm(_one(info, (DSIG, "CanonicalizationMethod"), where), where),
        method=_algorithm(_one(info, (DSIG, "SignatureMethod"), where), where),
        references=tuple([_reference(part, where) for part in info.children((DSIG, "Reference"))]),
        value=_base64(value, where),
        certificates=tuple([_base64(part, where) for part in certificates]),
        signed=canonical(info),
    )


def _reference(element: Element, where: str) -> Reference:
    transforms = _one(element, (DSIG, "Transforms"), where).elements()
    if any(part.name != (DSIG, "Transform") or part.elements() for part in transforms):
        raise EvidenceError(where, "a reference has a transform with parameters, or something else in its place")
    return Reference(
        uri=element.attributes.get(("", "URI")),
        transforms=tuple([_algorithm(part, where) for part in transforms]),
        digest_method=_algorithm(_one(element, (DSIG, "DigestMethod"), where), where),
        digest=_base64(_one(element, (DSIG, "DigestValue"), where), where),
    )


def _algorithm(element: Element, where: str) -> str:
    return _attribute(element, "Algorithm", where)


def _base64(element: Element, where: str) -> bytes:
    """Decode base64 with line breaks, which XML signatures are written with."""
    try:
        return base64.b64decode("".join(element.text().split()).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise EvidenceError(where, f"{element.name[1]} is not base64") from error
