"""What a report says about the evidence of a cloud besides its checks: rules that were not run and why, and facts."""

from __future__ import annotations

from typing import Any

from client_sdk.clauses.nvidia import mode_of
from client_sdk.platforms.interface import Case, NotRun, TeeFacts
from client_sdk.verify.ak import AzureAk, GoogleAk
from client_sdk.verify.rim import Appraisal
from client_sdk.verify.snp import SnpFacts
from client_sdk.verify.tdx_collateral import TdxFacts

_CPUS = {
    "snp": (("T6 to T9", "the CPU is AMD's"),),
    "tdx": (("T2 to T5", "the CPU is Intel's"), ("T10", "the CPU measured what booted, or its paravisor did")),
}
_NO_REPORT = (("T1 to T11", "no CPU's report came, and the policy takes a simulated cloud without"),)
_NOT_SIMULATED = (("D1, D2", "the platform is not a simulated one"),)
_NO_GPU = (("G1 to G5", "no GPU came along, and the quote names none; whether one is due, the release states"),)
_GPU = (("G4: confidential-computing mode on, devtools off", "no signed field says so; the measured image looks"),)


def remarks(case: Case, kind: str) -> NotRun:
    """Return what does not apply to a kind of CPU (``snp`` or ``tdx``), to a VM with or without GPUs, and to roots."""
    cpu = _CPUS.get(kind, ()) if case.evidence.tee else _NO_REPORT
    return (*(() if case.roots.simulated else _NOT_SIMULATED), *cpu, *(_GPU if case.evidence.gpu else _NO_GPU))


def hardware_facts(
    cloud: GoogleAk | AzureAk | None, tee: TeeFacts | None, gpus: tuple[Appraisal, ...]
) -> tuple[tuple[str, Any], ...]:
    """Return what is known of cloud, CPU and GPUs, for a report; nothing on a platform without them."""
    facts: list[tuple[str, Any]] = []
    if isinstance(cloud, GoogleAk):
        instance = cloud.instance
        facts += [("project", instance.project_id), ("zone", instance.zone), ("instance", instance.instance_name)]
    if tee is not None:
        facts += [("tee", tee.kind), ("launch_measurement", tee.launch_measurement)]
        facts += _snp(tee.report) if isinstance(tee.report, SnpFacts) else _tdx(tee.report)
    if tee is not None and tee.hcl is not None:
        facts.append(("paravisor", dict(tee.hcl.configuration)))
        facts.append(("vm_id", tee.hcl.configuration.get("vmUniqueId", "not stated")))
    for number, gpu in enumerate(gpus):
        opaque = gpu.device.transcript.opaque
        kind = "nvswitch" if gpu.device.is_switch else "gpu"
        told = (gpu.device.device, opaque.driver_version, opaque.vbios_version, mode_of(gpu.device))
        facts.append((f"{kind}_{number}", told))
    return tuple(facts)


def _snp(facts: SnpFacts) -> list[tuple[str, Any]]:
    return [
        ("product", facts.vek.product.value),
        ("reported_tcb", str(facts.reported_tcb)),
        ("id_key_digest", facts.report.id_key_digest),
        ("amd_crl_number", facts.vek.crl_number),
    ]


def _tdx(facts: TdxFacts) -> list[tuple[str, Any]]:
    return [
        ("tcb_status", facts.tcb.status),
        ("advisories", facts.tcb.advisories),
        ("tcb_date", facts.tcb.tcb_date),
        ("rtmrs", facts.quote.body.rtmrs),
    ]
