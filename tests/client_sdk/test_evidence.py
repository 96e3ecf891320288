"""Evidence v1 is read field by field, or not at all (rules F1, F2, F3)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from client_sdk.binding import Place
from client_sdk.errors import EvidenceError
from client_sdk.evidence import PCRS, Evidence, GpuEvidence, Quote, RuntimeEvent, TeeEvidence

EVIDENCE = Evidence(
    platform="local-qemu",
    tls_certificate=b"tls",
    ak_public=b"ak",
    ak_certificates=(),
    ek_certificates=(b"ek",),
    quote=Quote(b"attest", b"signature", Place(1, 2, (b"\x01" * 32,))),
    pcrs=tuple((index, bytes([index]) * 32) for index in PCRS),
    event_log=b"log",
    runtime_log=(RuntimeEvent("lockdown", b"data"),),
)
FULL = replace(
    EVIDENCE,
    tee=TeeEvidence("tdx", b"report", (b"pck",), b"", b"ccel"),
    gpu=(GpuEvidence(b"spdm", (b"leaf", b"root")),),
)


@pytest.mark.parametrize("evidence", [EVIDENCE, FULL])
def test_round_trip(evidence):
    data = evidence.to_json()
    assert Evidence.from_json(data) == evidence
    assert Evidence.from_json(data).to_json() == data


def _edited(path, value):
    document = json.loads(FULL.to_json())
    target = document
    for key in path[:-1]:
        target = target[key]
    if value is _DELETE:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return json.dumps(document).encode()


_DELETE = object()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("version",), 2, "reads version 1"),
        (("version",), True, "reads version 1"),
        (("version",), "1", "reads version 1"),
        (("extra",), 1, "unknown key 'extra'"),
        (("platform",), _DELETE, "missing platform"),
        (("platform",), "x" * 33, r"\$\.platform"),
        (("platform",), "a\nb", r"\$\.platform"),
        (("tls_certificate",), "AA", r"\$\.tls_certificate: not base64"),
        (("tls_certificate",), None, r"\$\.tls_certificate"),
        (("ek_certificates",), ["AAAA"] * 17, r"\$\.ek_certificates: not a list of at most 16"),
        (("ek_certificates",), {}, r"\$\.ek_certificates"),
        (("ek_certificates", 0), 5, r"\$\.ek_certificates\[0\]"),
        (("quote",), [], r"\$\.quote: not an object"),
        (("quote", "index"), -1, r"\$\.quote\.index"),
        (("quote", "index"), True, r"\$\.quote\.index"),
        (("quote", "tree_size"), 4097, r"\$\.quote\.tree_size"),
        (("quote", "path"), ["00" * 32] * 13, r"\$\.quote\.path"),
        (("quote", "path", 0), "00" * 31, r"\$\.quote\.path\[0\]: expected 32 bytes"),
        (("quote", "path", 0), "AA" * 32, r"\$\.quote\.path\[0\]: not lower-case"),
        (("pcrs", "sha1"), {}, "unknown key 'sha1'"),
        (("pcrs", "sha256", "10"), "00" * 32, "unknown key '10'"),
        (("pcrs", "sha256", "15"), _DELETE, "missing 15"),
        (("pcrs", "sha256", "0"), "00" * 20, r"\$\.pcrs\.sha256\.0"),
        (("runtime_log", 0, "type"), "é", r"\$\.runtime_log\[0\]\.type"),
        (("runtime_log", 0, "digest"), "", "unknown key 'digest'"),
        (("tee", "kind"), 3, r"\$\.tee\.kind"),
        (("tee", "ccel"), _DELETE, "missing ccel"),
        (("gpu", 0, "certificates"), "AAAA", r"\$\.gpu\[0\]\.certificates"),
        (("gpu",), [{}] * 33, r"\$\.gpu: not a list of at most 32"),
    ],
)
def test_a_wrong_field_is_named(path, value, message):
    with pytest.raises(EvidenceError, match=message):
        Evidence.from_json(_edited(path, value))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b'"x"', b"\x00" * 100])
def test_something_else_is_refused(data):
    with pytest.raises(EvidenceError):
        Evidence.from_json(data)


def test_every_truncation_is_refused():
    data = FULL.to_json()
    for end in range(0, len(data), 7):
        with pytest.raises(EvidenceError):
            Evidence.from_json(data[:end])
