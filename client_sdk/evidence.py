"""Evidence v1: raw bytes from a peer, nothing pre-parsed (protocol.md, "Attestation").

Decoding proves nothing: an :class:`Evidence` is a claim of whoever sent it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from client_sdk.binding import MAX_TREE, Place
from client_sdk.encoding import MAX_JSON, canonical_json, from_base64, from_hex, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, integer, items, text, version

VERSION = 1
PCRS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15)
"""The PCRs of the sha256 bank that every quote of evidence v1 selects (protocol.md, "PCRs")."""
LOCAL_QEMU, GCP, AZURE = "local-qemu", "gcp", "azure"
PLATFORMS = (LOCAL_QEMU, GCP, AZURE)
MAX_CERTIFICATES = 16
MAX_GPUS = 32
MAX_RUNTIME_EVENTS = 64

_KEYS = frozenset(
    {"version", "platform", "tls_certificate", "ak_public", "ak_certificates", "ek_certificates"}
    | {"quote", "pcrs", "event_log", "runtime_log", "tee", "gpu"}
)
_QUOTE_KEYS = frozenset({"attest", "signature", "index", "tree_size", "path"})
_TEE_KEYS = frozenset({"kind", "report", "certificates", "runtime_data", "ccel"})


@dataclass(frozen=True, slots=True)
class Quote:
    """TPMS_ATTEST and TPMT_SIGNATURE bytes, and where the caller's nonce sits under its ``extraData``."""

    attest: bytes
    signature: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """One event that the VM itself extended into PCR 15."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TeeEvidence:
    """A CPU TEE's report and what came with it (protocol.md has a table by ``kind``).

    ``report`` is an SNP report (``snp``), a TD quote (``tdx``, ``azure-tdx``) or the paravisor's report with an SNP
    report inside (``azure-snp``). On ``azure-tdx`` the paravisor's report is ``runtime_data``.
    """

    kind: str
    report: bytes
    certificates: tuple[bytes, ...]
    runtime_data: bytes
    ccel: bytes


@dataclass(frozen=True, slots=True)
class GpuEvidence:
    """One GPU's SPDM measurement exchange and its certificate chain."""

    evidence: bytes
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a peer says about itself. Certificates are DER; ``ak_public`` is a TPMT_PUBLIC; PCRs are raw."""

    platform: str
    tls_certificate: bytes
    ak_public: bytes
    ak_certificates: tuple[bytes, ...]
    ek_certificates: tuple[bytes, ...]
    quote: Quote
    pcrs: tuple[tuple[int, bytes], ...]
    event_log: bytes
    runtime_log: tuple[RuntimeEvent, ...]
    tee: TeeEvidence | None = None
    gpu: tuple[GpuEvidence, ...] = ()

    def to_json(self) -> bytes:
        """Serialise as canonical JSON."""
        return canonical_json(
            {
                "version": VERSION,
                "platform": self.platform,
                "tls_certificate": to_base64(self.tls_certificate),
                "ak_public": to_base64(self.ak_public),
                "ak_certificates": [to_base64(item) for item in self.ak_certificates],
                "ek_certificates": [to_base64(item) for item in self.ek_certificates],
                "quote": _quote_to_dict(self.quote),
                "pcrs": {"sha256": {str(index): value.hex() for index, value in self.pcrs}},
                "event_log": to_base64(self.event_log),
                "runtime_log": [{"type": e.kind, "data": to_base64(e.data)} for e in self.runtime_log],
                "tee": None if self.tee is None else _tee_to_dict(self.tee),
                "gpu": [_gpu_to_dict(item) for item in self.gpu],
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Evidence:
        """Decode evidence.

        Raises:
            EvidenceError: on anything that is not evidence v1, with the field's path.
        """
        top = exact_keys(strict_json(data, limit=MAX_JSON), _KEYS, "$")
        version(top["version"], "$.version", VERSION)
        return cls(
            platform=text(top["platform"], "$.platform", limit=32),
            tls_certificate=from_base64(top["tls_certificate"], "$.tls_certificate", limit=16_384),
            ak_public=from_base64(top["ak_public"], "$.ak_public", limit=4096),
            ak_certificates=_certificates(top["ak_certificates"], "$.ak_certificates"),
            ek_certificates=_certificates(top["ek_certificates"], "$.ek_certificates"),
            quote=_quote_from(top["quote"], "$.quote"),
            pcrs=_pcrs_from(top["pcrs"], "$.pcrs"),
            event_log=from_base64(top["event_log"], "$.event_log"),
            runtime_log=_runtime_from(top["runtime_log"], "$.runtime_log"),
            tee=_tee_from(top["tee"], "$.tee"),
            gpu=_gpus_from(top["gpu"], "$.gpu"),
        )


def _quote_to_dict(quote: Quote) -> dict[str, Any]:
    return {
        "attest": to_base64(quote.attest),
        "signature": to_base64(quote.signature),
        "index": quote.place.index,
        "tree_size": quote.place.tree_size,
        "path": [item.hex() for item in quote.place.path],
    }


def _quote_from(value: Any, where: str) -> Quote:
    fields = exact_keys(value, _QUOTE_KEYS, where)
    path = items(fields["path"], f"{where}.path", limit=12)
    place = Place(
        index=integer(fields["index"], f"{where}.index", high=MAX_TREE - 1),
        tree_size=integer(fields["tree_size"], f"{where}.tree_size", low=1, high=MAX_TREE),
        path=tuple(from_hex(item, f"{where}.path[{i}]", size=32) for i, item in enumerate(path)),
    )
    attest = from_base64(fields["attest"], f"{where}.attest", limit=4096)
    return Quote(attest, from_base64(fields["signature"], f"{where}.signature", limit=4096), place)


def _certificates(value: Any, where: str) -> tuple[bytes, ...]:
    found = items(value, where, limit=MAX_CERTIFICATES)
    return tuple(from_base64(item, f"{where}[{i}]", limit=65_536) for i, item in enumerate(found))


def _pcrs_from(value: Any, where: str) -> tuple[tuple[int, bytes], ...]:
    bank = exact_keys(value, frozenset({"sha256"}), where)["sha256"]
    found = exact_keys(bank, frozenset(str(index) for index in PCRS), f"{where}.sha256")
    return tuple((index, from_hex(found[str(index)], f"{where}.sha256.{index}", size=32)) for index in PCRS)


def _runtime_from(value: Any, where: str) -> tuple[RuntimeEvent, ...]:
    events = []
    for i, item in enumerate(items(value, where, limit=MAX_RUNTIME_EVENTS)):
        fields = exact_keys(item, frozenset({"type", "data"}), f"{where}[{i}]")
        kind = text(fields["type"], f"{where}[{i}].type", limit=64)
        if not kind.isascii():
            raise EvidenceError(f"{where}[{i}].type", "not ASCII")
        events.append(RuntimeEvent(kind, from_base64(fields["data"], f"{where}[{i}].data", limit=65_536)))
    return tuple(events)


def _tee_to_dict(tee: TeeEvidence) -> dict[str, Any]:
    return {
        "kind": tee.kind,
        "report": to_base64(tee.report),
        "certificates": [to_base64(item) for item in tee.certificates],
        "runtime_data": to_base64(tee.runtime_data),
        "ccel": to_base64(tee.ccel),
    }


def _tee_from(value: Any, where: str) -> TeeEvidence | None:
    if value is None:
        return None
    fields = exact_keys(value, _TEE_KEYS, where)
    return TeeEvidence(
        kind=text(fields["kind"], f"{where}.kind", limit=32),
        report=from_base64(fields["report"], f"{where}.report", limit=65_536),
        certificates=_certificates(fields["certificates"], f"{where}.certificates"),
        runtime_data=from_base64(fields["runtime_data"], f"{where}.runtime_data", limit=65_536),
        ccel=from_base64(fields["ccel"], f"{where}.ccel"),
    )


def _gpu_to_dict(gpu: GpuEvidence) -> dict[str, Any]:
    return {
        "evidence": to_base64(gpu.evidence),
        "certificates": [to_base64(item) for item in gpu.certificates],
    }


def _gpus_from(value: Any, where: str) -> tuple[GpuEvidence, ...]:
    found = []
    for i, item in enumerate(items(value, where, limit=MAX_GPUS)):
        fields = exact_keys(item, frozenset({"evidence", "certificates"}), f"{where}[{i}]")
        evidence = from_base64(fields["evidence"], f"{where}[{i}].evidence", limit=65_536)
        found.append(GpuEvidence(evidence, _certificates(fields["certificates"], f"{where}[{i}].certificates")))
    return tuple(found)
