"""Stages ``nvidia-gpu`` and ``nvidia-rim`` (docs/conformance): one device or a list of them, and one RIM file.

Revocation answers, RIM files and a number of devices are demanded as far as a request says so: a stage judges one step.
The clauses of a production policy demand all of them (``client_sdk/clauses/nvidia.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from client_sdk.clauses.nvidia import MODES, AnyDevice, Count, NvidiaDevices, mode_of
from client_sdk.conformance.request import Request
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.fields import items, text
from client_sdk.parse.certificate import CertificateFields
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.nvidia import Revocation, VerifiedDevice, verify_device, verify_distinct
from client_sdk.verify.rim import DRIVER, FIRMWARE, Appraisal, verify_measurements, verify_rim

MAX_DEVICES = 32
DAYS = 7
_MODES = frozenset(MODES.values())
_DEVICE = ("evidence", "certificates", "ocsp", "rims")
_KNOBS = ("min_distinct_devices", "max_devices", "modes", "require_rims", "require_ocsp", "max_ocsp_age_days")


@dataclass(frozen=True, slots=True)
class _Step:
    """What all devices of a request are judged by."""

    roots: tuple[CertificateFields, ...]
    rim_roots: tuple[CertificateFields, ...]
    nonce: bytes
    ocsp_age: timedelta
    now: datetime


@keeps("G4.1")
def gpu(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge one device (``evidence``, ``certificates``, …), or ``devices``: a list of such."""
    many = request.has("devices")
    request.only(*(("devices",) if many else _DEVICE), "roots", "rim_roots", "expected", "policy", "now")
    parts = request.parts("devices") if many else (Request({k: request.fields.get(k) for k in _DEVICE}),)
    if not 1 <= len(parts) <= MAX_DEVICES:
        raise EvidenceError("$.devices", f"expected 1 to {MAX_DEVICES} devices, got {len(parts)}")
    knobs, expected = request.part("policy"), request.part("expected")
    expected.only("nonce")
    policy, due = (
        _policy(knobs),
        Count(knobs.number("min_distinct_devices", 1), knobs.number("max_devices", MAX_DEVICES)),
    )
    step = _Step(
        roots=request.anchors("nvidia", "device"),
        rim_roots=request.anchors("nvidia", "rim", name="rim_roots"),
        nonce=expected.hexadecimal("nonce"),
        ocsp_age=knobs.days("max_ocsp_age_days", DAYS),
        now=request.now(),
    )
    devices = tuple([_device(part, step, index, ledger) for index, part in enumerate(parts)])
    verify_distinct(devices, ledger=ledger)
    appraisals = tuple([_appraise(*pair, step, ledger) for pair in zip(parts, devices, strict=True)])
    failures = ledger.judge(
        "G4.1",
        "there are as many distinct devices as are due",
        expected=f"{due.fewest} to {due.most}",
        got=len(devices),
        condition=due.fewest <= len(devices) <= due.most,
    )
    if failures := failures + policy.judge(appraisals, ledger):
        raise PolicyError(failures)
    return {"devices": [_facts(one) for one in appraisals]}


@keeps("G3.11")
def rim(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge one RIM file."""
    request.only("rim", "roots", "ocsp", "policy", "now")
    policy = request.part("policy")
    policy.only("require_ocsp", "max_ocsp_age_days")
    revocation = Revocation(request.blobs("ocsp"), policy.days("max_ocsp_age_days", DAYS))
    anchors = request.anchors("nvidia", "rim")
    verified = verify_rim(request.blob("rim"), anchors, revocation=revocation, now=request.now(), ledger=ledger)
    demanded = policy.flag("require_ocsp", default=False)
    failures = ledger.judge(
        "G3.11",
        "OCSP answered for the signers of the RIM file",
        expected="an answer for each certificate" if demanded else "not demanded",
        got=verified.without_ocsp or "answered",
        condition=not (demanded and verified.without_ocsp),
    )
    if failures:
        raise PolicyError(failures)
    found = verified.rim
    return {
        "product": found.product,
        "edition": found.edition,
        "version": found.version,
        "active": [record.index for record in found.golden],
        "signer": verified.signer,
        "not_after": verified.not_after.isoformat(),
    }


def _policy(knobs: Request) -> NvidiaDevices:
    """Make a policy that demands what the request says, and nothing else."""
    knobs.only(*_KNOBS)
    return NvidiaDevices(
        gpus=Count(0, MAX_DEVICES),
        switches=Count(0, MAX_DEVICES),
        devices=AnyDevice(),
        modes=_words(knobs, "modes", _MODES, _MODES),
        rims=_words(knobs, "require_rims", frozenset({DRIVER, FIRMWARE}), frozenset()),
        ocsp=knobs.flag("require_ocsp", default=False),
        flags=frozenset(),
        linked_switches=False,
    )


def _device(part: Request, step: _Step, index: int, ledger: Ledger) -> VerifiedDevice:
    part.only(*_DEVICE)
    return verify_device(
        part.blob("evidence"),
        part.certificates("certificates"),
        step.roots,
        nonce=step.nonce,
        revocation=Revocation(part.blobs("ocsp"), step.ocsp_age),
        now=step.now,
        ledger=ledger,
        where=f"gpu[{index}]",
    )


def _appraise(part: Request, device: VerifiedDevice, step: _Step, ledger: Ledger) -> Appraisal:
    rims = []
    for item in part.parts("rims") if part.has("rims") else ():
        item.only("rim", "ocsp")
        revocation = Revocation(item.blobs("ocsp"), step.ocsp_age)
        rims.append(verify_rim(item.blob("rim"), step.rim_roots, revocation=revocation, now=step.now, ledger=ledger))
    return verify_measurements(device, tuple(rims), ledger=ledger)


def _facts(appraisal: Appraisal) -> dict[str, Any]:
    device, opaque = appraisal.device, appraisal.device.transcript.opaque
    return {
        "device": device.device,
        "serial": device.serial,
        "kind": "nvswitch" if device.is_switch else "gpu",
        "driver_version": opaque.driver_version,
        "vbios_version": opaque.vbios_version,
        "chip_sku": opaque.chip_sku,
        "project": opaque.project,
        "project_sku": opaque.project_sku,
        "fwid": opaque.fwid.hex(),
        "mode": mode_of(device),
        "measurement_blocks": len(device.transcript.measurements),
        "trailing": len(device.transcript.trailing),
        "rims": appraisal.components,
        "ocsp": "answered" if not device.without_ocsp else "not checked for every certificate",
    }


def _words(request: Request, name: str, known: frozenset[str], default: frozenset[str]) -> frozenset[str]:
    if not request.has(name):
        return default
    where = request.place(name)
    found = frozenset([text(one, where) for one in items(request.fields[name], where, limit=8)])
    if unknown := sorted(found - known):
        raise EvidenceError(where, f"{unknown[0][:64]!r} is not one of {', '.join(sorted(known))}")
    return found
