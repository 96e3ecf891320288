"""A second reader of the formats, written from docs/protocol.md alone: it imports nothing of the project.

It judges a VM with a software TPM (`local-qemu`) and releases. What it leaves to the first one: the chain of the
endorsement key's certificate beyond one CA, policies, and everything about CPUs, GPUs and clouds.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PCRS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15)
LETTERS = {0x4: "S", 0x8: "V", 0x11: "N", 0xA: "D", 0x6: "T", 0xD: "L", 0x80000001: "C", 0x80000002: "B"}
LETTERS |= {0x8000000C: "B", 0x80000003: "I", 0x80000006: "G", 0x80000007: "A", 0x800000E0: "K"}
LETTERS |= {0x80000008: "F", 0x8000000A: "F", 0x80000009: "H", 0x8000000B: "H"}
GRAMMAR = {0: "VF*S", 1: "[DHB]*S", 2: "S", 3: "S", 4: "A*S[AI]*", 5: "SG*A*", 6: "S", 7: "CCCCCSK?"}
GRAMMAR |= {9: "T{0,2}", 11: "(LL)*", 12: "", 13: "", 14: ""}
NO_ACTION = 0x3
EVIDENCE = {"version", "platform", "tls_certificate", "ak_public", "ak_certificates", "ek_certificates", "quote"}
EVIDENCE |= {"pcrs", "event_log", "runtime_log", "tee", "gpu"}
RUNTIME = ["lockdown", "tls-spki", "gpu", "sealed"]


class Refused(Exception):  # noqa: N818 - it is the verdict
    """Something on the page does not hold."""


def require(condition, what):
    if not condition:
        raise Refused(what)


def read_json(data):
    def unique(pairs):
        require(len(dict(pairs)) == len(pairs), "a key twice")
        return dict(pairs)

    def number(text):
        raise Refused(f"the number {text}")

    try:
        return json.loads(data, object_pairs_hook=unique, parse_float=number, parse_constant=number)
    except ValueError as error:
        raise Refused("no JSON") from error


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    require(base64.b64encode(data).decode() == text, "base64 is not canonical")
    return data


def lp(data):
    return len(data).to_bytes(4, "big") + data


class Bytes:
    """Read big-endian (TPM) or little-endian (log) fields to the last byte."""

    def __init__(self, data, order="big"):
        self.data, self.order = data, order

    def take(self, size):
        require(len(self.data) >= size, "too short")
        found, self.data = self.data[:size], self.data[size:]
        return found

    def number(self, size):
        return int.from_bytes(self.take(size), self.order)

    def sized(self, width=2):
        return self.take(self.number(width))

    def end(self):
        require(not self.data, "something is left over")


def read_release(data, keys, threshold, now):
    """Envelope and release: signed by enough of the keys, in force."""
    envelope = read_json(data)
    require(set(envelope) == {"payload", "payloadType", "signatures"}, "the envelope's fields")
    require(envelope["payloadType"] == "application/vnd.in-toto+json", "the payload's type")
    payload = unbase64(envelope["payload"])
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload)
    signatures = [unbase64(one["sig"]) for one in envelope["signatures"]]
    require(sum(any(_verifies(key, sig, signed) for sig in signatures) for key in keys) >= threshold, "signatures")
    statement = read_json(payload)
    require(statement["_type"] == "https://in-toto.io/Statement/v1", "the statement's type")
    require(statement["predicateType"] == "urn:vitrine:release/v1", "the predicate's type")
    release = statement["predicate"]
    subject = {"name": release["service"], "digest": {"sha256": release["manifest_sha256"]}}
    require(statement["subject"] == [subject] and release["version"] == 1, "subject or version")
    begin, end = (datetime.fromisoformat(release[name]) for name in ("not_before", "not_after"))
    require(begin <= now.astimezone(UTC) < end, "the release is not in force")
    return release


def _verifies(key, signature, message):
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def make_credential(ek, ak_name, secret, seed):
    """Build the second round's request: credential blob and encrypted secret."""

    def kdfa(label, context, bits):
        message = b"\0\0\0\1" + label + b"\0" + context + bits.to_bytes(4, "big")
        return hmac.digest(seed, message, "sha256")[: bits // 8]

    require(isinstance(ek, rsa.RSAPublicKey) and ek.key_size == 2048, "the EK's kind")
    encrypted = ek.encrypt(seed, padding.OAEP(padding.MGF1(SHA256()), SHA256(), b"IDENTITY\0"))
    cipher = Cipher(algorithms.AES(kdfa(b"STORAGE", ak_name, 128)), CFB(bytes(16))).encryptor()
    identity = cipher.update(len(secret).to_bytes(2, "big") + secret) + cipher.finalize()
    integrity = hmac.digest(kdfa(b"INTEGRITY", b"", 256), identity + ak_name, "sha256")
    return b"\0\x20" + integrity + identity, encrypted


def read_evidence(data, nonce, shown, ca):
    """Evidence of a software TPM; returns it with its keys. The second round is the caller's to run."""
    evidence = read_json(data)
    require(set(evidence) == EVIDENCE and evidence["version"] == 1, "the evidence's fields")
    require(evidence["platform"] == "local-qemu", "the platform")
    require(evidence["tee"] is None and evidence["gpu"] == [] == evidence["ak_certificates"], "parts that nobody binds")
    certificate = unbase64(evidence["tls_certificate"])
    require(certificate == shown, "another certificate")
    spki = _spki(certificate)
    ek = x509.load_der_x509_certificate(unbase64(evidence["ek_certificates"][0]))
    ek.verify_directly_issued_by(ca)
    public = unbase64(evidence["ak_public"])
    pcrs = {int(index): bytes.fromhex(value) for index, value in evidence["pcrs"]["sha256"].items()}
    require(tuple(sorted(pcrs)) == PCRS, "the PCRs")
    _quote(evidence["quote"], ak_key(public), pcrs, _extra_data(evidence["quote"], nonce, spki))
    _runtime_log(evidence["runtime_log"], spki, pcrs[15])
    images, sections = _event_log(unbase64(evidence["event_log"]), pcrs)
    return {
        "pcrs": pcrs,
        "images": images,
        "pcr11": sections,
        "ek": ek.public_key(),
        "log": evidence["runtime_log"],
    } | {"ak_name": b"\0\x0b" + sha256(public).digest()}


def _spki(certificate):
    key = x509.load_der_x509_certificate(certificate).public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def ak_key(public):
    """Check that the key signs only what its TPM made, and return it."""
    found = Bytes(public)
    kind, name, attributes, _policy = found.number(2), found.number(2), found.number(4), found.sized()
    wanted = (
        1 << 16 | 1 << 18 | 1 << 1 | 1 << 4 | 1 << 5
    )  # restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin
    require(attributes & (wanted | 1 << 17) == wanted and name == 0xB, "the AK's attributes")
    require(found.number(2) == 0x10, "the AK has a symmetric part")
    scheme, hashed = found.number(2), found.number(2)
    require(hashed == 0xB, "the AK's hash")
    if kind == 0x23:
        require((scheme, found.number(2), found.number(2)) == (0x18, 3, 0x10), "the AK's kind")
        x, y = (int.from_bytes(found.sized(), "big") for _ in "xy")
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    else:
        require((kind, scheme, found.number(2)) == (0x1, 0x14, 2048), "the AK's kind")
        exponent = found.number(4) or 65537
        key = rsa.RSAPublicNumbers(exponent, int.from_bytes(found.sized(), "big")).public_key()
    found.end()
    return key


def _extra_data(quote, nonce, spki):
    """Climb from the nonce's leaf to the root (RFC 9162, section 2.1.3.2), and hash what the quote must name."""
    fn, sn, root = quote["index"], quote["tree_size"] - 1, sha256(b"\0" + nonce).digest()
    require(0 <= fn <= sn < 4096, "the place in the tree")
    for sibling in map(bytes.fromhex, quote["path"]):
        require(sn > 0, "the path is too long")
        if fn & 1 or fn == sn:
            root = sha256(b"\1" + sibling + root).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = sha256(b"\1" + root + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    require(sn == 0, "the path is too short")
    size = quote["tree_size"].to_bytes(4, "big")
    return sha256(b"vitrine/quote/v1" + lp(root) + size + lp(spki) + lp(b"")).digest()


def _quote(quote, key, pcrs, extra_data):
    attest, signature = unbase64(quote["attest"]), Bytes(unbase64(quote["signature"]))
    scheme, hashed = signature.number(2), signature.number(2)
    is_ec = isinstance(key, ec.EllipticCurvePublicKey)
    require((scheme, hashed) == (0x18 if is_ec else 0x14, 0xB), "the signature is of another kind than the key")
    try:
        if is_ec:
            r, s = (int.from_bytes(signature.sized(), "big") for _ in "rs")
            key.verify(encode_dss_signature(r, s), attest, ec.ECDSA(SHA256()))
        else:
            key.verify(signature.sized(), attest, padding.PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise Refused("the quote's signature") from error
    signature.end()
    found = Bytes(attest)
    require((found.number(4), found.number(2)) == (0xFF544347, 0x8018), "it is no quote")
    found.sized()  # who signed, by name: the key says it
    require(hmac.compare_digest(found.sized(), extra_data), "the quote answers another nonce, or names another key")
    found.take(17 + 8)  # clock and counters, firmware version
    require((found.number(4), found.number(2)) == (1, 0xB), "the quote's bank")
    bits = int.from_bytes(found.sized(1), "little")
    require(tuple(i for i in range(64) if bits >> i & 1) == PCRS, "the quote's PCRs")
    require(found.sized() == sha256(b"".join(pcrs[index] for index in PCRS)).digest(), "the PCRs' digest")
    found.end()
    require(any(any(pcrs[index]) for index in range(8)), "the bank was not used")


def _runtime_log(log, spki, quoted):
    require([event["type"] for event in log] == RUNTIME, "the run-time events")
    value = bytes(32)
    for event in log:
        data = unbase64(event["data"])
        value = sha256(value + sha256(event["type"].encode() + b"\0" + data).digest()).digest()
    require(value == quoted, "PCR 15")
    require(unbase64(log[1]["data"]) == spki, "the measured TLS key")


def _event_log(data, pcrs):
    """Replay, and hold types to the grammar; return images and PCR 11 before the phases."""
    found = Bytes(data, "little")
    require((found.number(4), found.number(4)) == (0, NO_ACTION), "the log's header")
    found.take(20)
    header = Bytes(found.sized(4), "little")
    require(header.take(16) == b"Spec ID Event03\0", "the log's format")
    header.take(8)
    sizes = {header.number(2): header.number(2) for _ in range(header.number(4))}
    values, words, images = {index: bytes(32) for index in GRAMMAR}, dict.fromkeys(GRAMMAR, ""), []
    while found.data:
        pcr, kind = found.number(4), found.number(4)
        digests = {}
        for _ in range(found.number(4)):
            algorithm = found.number(2)
            digests[algorithm] = found.take(sizes[algorithm])
        text = found.sized(4)
        if kind == NO_ACTION:
            if text.startswith(b"StartupLocality\0") and pcr == 0:
                values[0] = bytes(31) + text[16:]
            continue
        require(pcr in GRAMMAR, f"an event for PCR {pcr}")
        letter = LETTERS.get(kind, "?")
        require(letter not in "SCGAK" or sha256(text).digest() == digests[0xB], "a digest of other data")
        require(letter != "S" or text == bytes(4), "a separator with an error")
        values[pcr] = sha256(values[pcr] + digests[0xB]).digest()
        words[pcr] += letter
        images += [(pcr, digests[0xB])] if letter == "I" else []
    for pcr, pattern in GRAMMAR.items():
        require(re.fullmatch(pattern, words[pcr]), f"PCR {pcr} has {words[pcr]}")
        require(pcr == 11 or values[pcr] == pcrs[pcr], f"PCR {pcr}")
    return images, values[11]


def judge(found, release):
    """Compare evidence with the measurements that a release has for its platform; one of them has to fit."""
    for one in release["measurements"]:
        if one["platform"] == "local-qemu" and _fits(found, one):
            return one
    raise Refused("no measurement fits")


def _fits(found, one):
    value = found["pcr11"]
    for phase in one["phases"]:
        value = sha256(value + sha256(phase.encode()).digest()).digest()
    template = [(e["type"], e["data"]) for e in one["pcr15_template"]]
    said = [(e["type"], e["data"]) for e in found["log"]]
    image = (one["image"]["pcr"], bytes.fromhex(one["image"]["authenticode"]))
    return (
        all(found["pcrs"][int(index)].hex() == value for index, value in one["pcrs"].items())
        and value == found["pcrs"][11]
        and found["images"].count(image) == 1
        and [digest for _, digest in found["images"]].count(image[1]) == 1
        and all(a == b or (b[1] is None and a[0] == b[0]) for a, b in zip(said, template, strict=True))
    )
