"""What a report is about: the parts that were received, by name, each with the SHA-256 of its bytes.

A digest says *which* bytes were judged, so that whoever kept them (``vitrine verify --save``) finds them again. It
proves nothing about them. Parts are only remembered while verifying; they are hashed, and the checks told apart, when
somebody asks for a report.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TypeAlias

from client_sdk.evidence import Evidence
from client_sdk.rules import broader

Parts: TypeAlias = tuple[tuple[str, tuple[bytes, ...]], ...]
"""Names and bytes; several where a part is a list, in the order received."""
Sources: TypeAlias = tuple[tuple[str, tuple[bytes, ...]], ...]
"""The same with digests."""

WHAT = {
    "evidence": "the whole answer to the request for evidence",
    "connection_certificate": "the certificate that the connection showed",
    "nonce": "the random bytes that this client sent",
    "activation": "the answer to the credential challenge",
    "releases": "the signed releases, as given",
    "tls_certificate": "the certificate in the evidence",
    "ak_public": "the public area of the attestation key",
    "ak_certificates": "the certificates of the attestation key",
    "ek_certificates": "the certificates of the endorsement key",
    "quote": "what the TPM signed",
    "quote_signature": "its signature over the quote",
    "event_log": "the firmware's event log",
    "runtime_log": "the events that the VM logged, one by one",
    "tee_report": "the report of the CPU's TEE",
    "tee_certificates": "the certificates that came with it",
    "tee_runtime_data": "the runtime data that the report names",
    "tee_ccel": "the TEE's own event log",
    "gpu_evidence": "the measurements that each GPU signed",
    "gpu_certificates": "the certificates of the GPUs",
}
# Rule → the sources that it is about: the first that was received counts. The longest part of an id that is here wins.
_ABOUT = {
    "C1": ("nonce",),
    "C2": ("quote",),
    "C3": ("connection_certificate", "tls_certificate"),
    "C5": ("quote",),
    "C6": ("evidence",),
    "D1": ("evidence",),
    "D2": ("ek_certificates",),
    "F1": ("evidence",),
    "F2": ("evidence",),
    "F3": ("evidence",),
    "G1": ("gpu_certificates",),
    "G1.3": ("gpu_evidence",),
    "G1.4": ("gpu_evidence",),
    "G1.5": ("gpu_evidence",),
    "G2": ("gpu_evidence",),
    "G3": ("gpu_evidence",),
    "G4": ("gpu_evidence",),
    "G5": ("gpu_evidence",),
    "K1": ("ak_certificates", "ek_certificates"),
    "K2": ("ak_certificates", "ek_certificates"),
    "K3": ("ak_certificates",),
    "K4": ("ak_certificates",),
    "K5": ("ak_certificates", "ak_public"),
    "L1": ("event_log",),
    "L1.15": ("runtime_log",),
    "L1.pcr": ("quote",),
    "L1.phases": ("quote",),
    "L2": ("event_log",),
    "L3": ("event_log",),
    "L4": ("event_log",),
    "L5": ("event_log",),
    "L6": ("quote",),
    "L7": ("event_log",),
    "L7.pcr": ("quote",),
    "L8": ("quote",),
    "L9": ("event_log",),
    "L9.pcr": ("quote",),
    "L10": ("event_log",),
    "L11": ("runtime_log",),
    "P1": ("tee_report", "evidence"),
    "P2": ("releases",),
    "P3": ("releases",),
    "P4": ("releases",),
    "P5": ("ak_certificates", "evidence"),
    "P6": ("evidence",),
    "P7": ("evidence",),
    "P8": ("tee_report", "evidence"),
    "P9": ("releases",),
    "Q1": ("quote",),
    "Q2": ("quote",),
    "Q3": ("quote",),
    "Q4": ("quote",),
    "Q5": ("quote",),
    "Q6": ("quote_signature",),
    "Q7": ("ak_public",),
    "Q8": ("activation", "ek_certificates"),
    "Q8.1": ("ek_certificates",),
    "R1": ("releases",),
    "R2": ("releases",),
    "R3": ("releases",),
    "R4": ("releases",),
    "R5": ("releases",),
    "R6": ("releases",),
    "T1": ("tee_report",),
    "T2": ("tee_certificates", "tee_report"),
    "T2.11": ("tee_report",),
    "T2.12": ("tee_report",),
    "T2.13": ("tee_report",),
    "T3": ("tee_certificates", "tee_report"),
    "T4": ("tee_report",),
    "T5": ("tee_report",),
    "T6": ("tee_report",),
    "T7": ("tee_certificates", "tee_report"),
    "T8": ("tee_report",),
    "T9": ("tee_report",),
    "T10": ("tee_report",),
    "T11": ("tee_certificates", "tee_report"),
}


def parts(evidence: Evidence) -> Parts:
    """Return the parts that evidence has, as received; lists keep their order, and what is not there has no name."""
    quote, tee = evidence.quote, evidence.tee
    found: list[tuple[str, tuple[bytes, ...]]] = [
        ("tls_certificate", (evidence.tls_certificate,)),
        ("ak_public", (evidence.ak_public,)),
        ("ak_certificates", evidence.ak_certificates),
        ("ek_certificates", evidence.ek_certificates),
        ("quote", (quote.attest,)),
        ("quote_signature", (quote.signature,)),
        ("event_log", (evidence.event_log,)),
        ("runtime_log", tuple(event.data for event in evidence.runtime_log)),
        ("gpu_evidence", tuple(gpu.evidence for gpu in evidence.gpu)),
        ("gpu_certificates", tuple(der for gpu in evidence.gpu for der in gpu.certificates)),
    ]
    if tee is not None:
        found += [
            ("tee_report", (tee.report,)),
            ("tee_certificates", tee.certificates),
            ("tee_runtime_data", (tee.runtime_data,)),
            ("tee_ccel", (tee.ccel,)),
        ]
    return tuple((name, values) for name, values in found if any(values))


def digests(received: Parts) -> Sources:
    """Hash every part."""
    return tuple((name, tuple(sha256(value).digest() for value in values)) for name, values in received)


def source_of(rule: str, names: frozenset[str]) -> str:
    """Return which of the received parts a rule is about; empty where none of them is."""
    about = next((_ABOUT[part] for part in broader(rule) if part in _ABOUT), ())
    return next((name for name in about if name in names), "")
