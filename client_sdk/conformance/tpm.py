"""Stages ``tpm-quote`` and ``event-log``: a quote with its key, and a firmware's event log.

Fields, knobs and their defaults are in ``docs/conformance/tpm-quote.md`` and ``event-log.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from client_sdk.conformance.azure import certified as azure_certified
from client_sdk.conformance.gce import certified as google_certified
from client_sdk.conformance.request import Request
from client_sdk.conformance.tpm_request import (
    CERTIFICATE_FIELDS,
    KEY_FIELDS,
    QUOTE_FIELDS,
    attestation_key,
    bank,
    pcr_indexes,
    pcr_values,
    quote_facts,
)
from client_sdk.conformance.tpm_request import quote as read_quote
from client_sdk.errors import EvidenceError
from client_sdk.report import Ledger
from client_sdk.verify.ak import AzureAk, GoogleAk, verify_certified
from client_sdk.verify.eventlog import FirmwareFacts, verify_events, verify_firmware_events
from client_sdk.verify.firmware import FAMILIES
from client_sdk.verify.gce import TECHNOLOGIES, verify_gce_pcr0
from client_sdk.verify.quote import AttestationKey, certified_key
from client_sdk.verify.replay import Replayed, verify_replay

CERTIFIED: Mapping[str, Callable[[Request, Ledger], GoogleAk | AzureAk]] = {
    "google": google_certified,
    "azure": azure_certified,
}
# Linux' IMA extends PCR 10 while the system runs; 16 to 23 are for debugging and for dynamic launches.
ELSEWHERE = frozenset({10, *range(16, 24)})


def quote(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge a quote: by its key, over the expected nonce, and the log behind it where there is one."""
    request.only(*QUOTE_FIELDS, *KEY_FIELDS, *CERTIFICATE_FIELDS, "vendor", "eventlog", "elsewhere", "expected")
    request.part("expected").only("nonce_hex", "selection")
    asked = read_quote(request)
    quoted = asked.verify(_key(request, ledger), ledger)
    facts = quote_facts(quoted)
    if request.has("eventlog"):
        elsewhere = _elsewhere(request)
        log, values, chosen = request.blob("eventlog"), quoted.pcrs, asked.profile.bank
        facts["event_log"] = _replay_facts(verify_replay(log, values, bank=chosen, elsewhere=elsewhere, ledger=ledger))
    return facts


def _key(request: Request, ledger: Ledger) -> AttestationKey:
    """Return the attestation key; where there are a public area and a certificate, they are of one key."""
    key = attestation_key(request, ledger)
    if request.has("ak_cert"):
        vendor = request.word("vendor")
        if vendor not in CERTIFIED:
            raise EvidenceError("$.vendor", f"not one of {', '.join(CERTIFIED)}")
        leaf = CERTIFIED[vendor](request, ledger).leaf
        key = key or certified_key(leaf.public_key, ledger=ledger)
        verify_certified(leaf, key.key, ledger=ledger)
    if key is None:
        raise EvidenceError("$.ak_pub", "missing: give ak_pub, ak_pub_pem or ak_cert")
    return key


def event_log(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge a log: ``replay`` against PCR values of one bank, or ``grammar`` against what a firmware may log."""
    call = request.word("call")
    if call == "replay":
        return _replay(request, ledger)
    if call == "grammar":
        return _grammar(request, ledger)
    raise EvidenceError("$.call", "neither replay nor grammar")


def _replay(request: Request, ledger: Ledger) -> dict[str, Any]:
    request.only("call", "eventlog", "pcr_bank", "elsewhere", "expected")
    expected, chosen = request.part("expected"), bank(request)
    expected.only("pcrs", "technology")
    values = pcr_values(expected.fields.get("pcrs"), "$.expected.pcrs", chosen)
    elsewhere = _elsewhere(request)
    replayed = verify_replay(request.blob("eventlog"), values, bank=chosen, elsewhere=elsewhere, ledger=ledger)
    facts = _replay_facts(replayed)
    if expected.has("technology"):
        facts["gce_firmware"] = _gce(expected.word("technology"), values.get(0, b""), chosen, ledger)
    return facts


def _gce(name: str, pcr0: bytes, chosen: int, ledger: Ledger) -> int:
    if name not in TECHNOLOGIES or chosen != 0x000B:
        raise EvidenceError("$.expected.technology", f"one of {', '.join(TECHNOLOGIES)}, with the SHA-256 bank")
    return verify_gce_pcr0(pcr0, TECHNOLOGIES[name], oldest=1, ledger=ledger)


def _grammar(request: Request, ledger: Ledger) -> dict[str, Any]:
    request.only("call", "eventlog", "firmware", "boot")
    name, boot = request.word("firmware", "edk2"), request.word("boot", "uki")
    if name not in FAMILIES:
        raise EvidenceError("$.firmware", f"not one of {', '.join(sorted(FAMILIES))}")
    judges = {"uki": verify_events, "any": verify_firmware_events}
    if boot not in judges:
        raise EvidenceError("$.boot", "neither uki nor any")
    return _firmware_facts(judges[boot](request.blob("eventlog"), ledger=ledger, family=FAMILIES[name]))


def _elsewhere(request: Request) -> frozenset[int]:
    if not request.has("elsewhere"):
        return ELSEWHERE
    return frozenset(pcr_indexes(request.fields["elsewhere"], "$.elsewhere"))


def _replay_facts(replayed: Replayed) -> dict[str, Any]:
    return {
        "events": len(replayed.events),
        "pcrs": {str(pcr): value.hex() for pcr, value in sorted(replayed.values.items())},
        "secure_boot": replayed.secure_boot,
    }


def _firmware_facts(facts: FirmwareFacts) -> dict[str, Any]:
    return {
        "images": [{"pcr": pcr, "authenticode": digest.hex()} for pcr, digest in facts.images],
        "secure_boot": facts.secure_boot,
        "boot_entries": list(facts.boot_entries),
    }
