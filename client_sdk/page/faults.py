"""What a failed rule means, as data: how its link is shown, and what to do.

Three kinds of failure are told apart. FAILED: something is not genuine, not bound, or not what was released. UNWANTED:
it is genuine, but the policy asked for another one. STALE: nothing was shown either way, because a statement that the
maker signs is missing or out of date, or belongs to other hardware.

An advice says what to do next. It does not say who is at fault: that is rarely known.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from client_sdk.report import Check, show
from client_sdk.rules import broader


class State(Enum):
    """What a report says about a link: the word for people, and the sign beside it."""

    HOLDS = "holds"
    FAILED = "does not hold"
    UNWANTED = "not what you asked for"
    STALE = "out of date or not given"
    ABSENT = "not on this platform"
    OPEN = "not checked"


class Fault(NamedTuple):
    """How a link is shown whose rule failed, and what to do. ``{got}`` and ``{expected}`` are the check's."""

    state: State
    advice: str


BROKEN = (State.FAILED, State.UNWANTED, State.STALE)
"""States of a link with a failed check, the worst one first."""
_FAILED, _UNWANTED, _STALE = State.FAILED, State.UNWANTED, State.STALE
_FETCH = "Run `vitrine collateral fetch` again, or give --at inside the dates."
_CLOCK = (
    "A certificate is not inside its dates. Check this machine's clock, or give --at inside the dates; if the clock is "
    "right, ask the operator for a new certificate."
)
_AGAIN = (
    "What was given as the maker's is not signed by the maker. Run `vitrine collateral fetch` again, from this machine."
)
_OTHER_HARDWARE = (
    "The collateral is about other hardware than this machine's. Run `vitrine collateral fetch` for this evidence."
)
_BACK = (
    "The maker's statement is older than the newest that your policy knows. Run `vitrine collateral fetch` again; if "
    "it stays, somebody keeps newer ones from you."
)
_REVOKED = "The maker revoked a certificate. Do not use the service, and tell its operator."
_GOOGLE = (
    "The VM is genuine, but belongs to another project or zone, or is another instance. Check [google] in your policy, "
    "or use another service."
)
_AZURE = (
    "The VM is genuine, but its paravisor states something else than your policy asks for. Check [azure] in your "
    "policy, or use another service."
)
_UNPINNED = (
    "The machine may be what was released, but its release leaves open what your policy wants pinned. Ask the "
    "publisher for a release that pins it, or use another service."
)
_DENIED = "The chip is on your own list of denied ones. Use another service, or check that list in your policy."
_TCB = (
    "The platform is out of date, or has known faults ({got}). Ask the operator to update it, or use another service."
)
_COMMAND = "Correct what this client was called with: the line above says what."
_RELEASED = (
    "The machine booted something else than the release, or something besides it. During a rollout give both releases; "
    "otherwise do not use the service, and tell its publisher."
)

# An id, or what ids begin with → its fault. The longest one decides.
FAULTS: dict[str, Fault] = {
    "C1": Fault(_FAILED, "Report it: this client made no proper nonce."),
    "C2": Fault(
        _FAILED,
        "The answer is old, or another machine's, or made for another nonce. For stored evidence give the nonce that "
        "it was asked for with. Else try once more; if it stays, somebody replays evidence.",
    ),
    "C3": Fault(
        _FAILED,
        "Name the service itself, as https://HOST[:PORT], and no option or proxy that leads elsewhere. A service that "
        "redirects is not taken.",
    ),
    "C3.1": Fault(
        _FAILED,
        "Somebody stands between you and the machine, or the address leads to another one. Use no other connection to "
        "it either.",
    ),
    "C6": Fault(
        _FAILED,
        "Parts came along that nothing on this platform would bind, or parts that it has are missing. Ask the operator "
        "which software the VM runs.",
    ),
    "C7": Fault(_UNWANTED, _COMMAND),
    "C8": Fault(
        _UNWANTED, "It is about the proxy on this machine: where it listens, or who asked it. The message says which."
    ),
    "D1": Fault(
        _FAILED,
        "For a development machine of your own, say so: --simulated with the certificate of its TPM's CA. Anywhere "
        "else, do not use the service.",
    ),
    "D2": Fault(_FAILED, "Name the CA of this very run. If you did, the machine is another one."),
    "D2.1": Fault(_UNWANTED, "Verify with the roots of the very policy that judges."),
    "K": Fault(
        _FAILED,
        "The TPM is not one that the pinned root made. Check that you pinned the right root; if you did, do not use "
        "the service.",
    ),
    "K1.2": Fault(_STALE, _CLOCK),
    "K2": Fault(_FAILED, "The certificate is not one for such a key. Do not use the service, and tell its operator."),
    "K3.2": Fault(_FAILED, "Google does not vouch for this instance as one in production. Do not use the service."),
    **dict.fromkeys(("K3.3", "K3.4", "K3.5", "K3.6", "K3.7"), Fault(_UNWANTED, _GOOGLE)),
    "K4": Fault(_FAILED, "The certificate is not one for such a key. Do not use the service, and tell its operator."),
    "K5": Fault(
        _FAILED, "Update this client: this version does not verify the platform that the service claims to run on."
    ),
    "K5.1": Fault(_FAILED, "The cloud's certificate of the attestation key did not come. Tell the operator."),
    "K5.2": Fault(_FAILED, "The key that signed is not the one that the cloud certified. Do not use the service."),
    "L": Fault(_FAILED, _RELEASED),
    "L8.2": Fault(
        _UNWANTED,
        "Google's firmware is genuine, but older than your policy takes. Ask the operator to restart the VM, or check "
        "`oldest_firmware` in your policy.",
    ),
    "L10": Fault(_FAILED, "Another image was started. Ask the publisher which release the service should run."),
    "P1": Fault(
        _UNWANTED,
        "The machine is no confidential one of the kind that your policy takes. Use another service, or name its CPU "
        "in your policy.",
    ),
    **dict.fromkeys(("P2", "P3", "P4"), Fault(_UNWANTED, _UNPINNED)),
    "P5": Fault(
        _UNWANTED,
        "The VM is genuine, but on another cloud than your policy names. Check [google] and [azure] in your policy, or "
        "use another service.",
    ),
    "P6": Fault(_UNWANTED, "Somebody else vouched than your policy pins. Verify with the roots of this very policy."),
    "P7": Fault(
        _UNWANTED, "None of your policy's alternatives takes this machine: the closest one's failures say why."
    ),
    "P8": Fault(_UNWANTED, "The CPU is genuine, but of another kind than your policy takes: see tee in your policy."),
    "Q": Fault(_FAILED, "The TPM's statement is not genuine. Do not use the service, and tell its operator."),
    "R": Fault(_FAILED, "Ask the publisher for the release of this service."),
    "R1": Fault(
        _FAILED,
        "Get the publisher's key from the publisher, by a way that you trust, and the release that belongs to it.",
    ),
    "R3": Fault(_FAILED, "The releases that you gave are revoked. Ask the publisher for a newer one."),
    "R4": Fault(
        _UNWANTED,
        "Give a release that has measurements for this platform, and a policy with clauses: the line above says what "
        "is missing.",
    ),
    "R6": Fault(_STALE, "Ask the publisher for a newer release, and check this machine's clock, or --at."),
    "T": Fault(_FAILED, "The CPU does not vouch for this machine as it must. Do not use the service."),
    "T1": Fault(
        _FAILED, "The CPU's report belongs to another machine, boot or key than the rest. Do not use the service."
    ),
    **dict.fromkeys(("T1.console", "T1.persisted", "T1.secure-boot", "T1.thumbprint"), Fault(_UNWANTED, _AZURE)),
    "T1.tpm": Fault(_FAILED, "The paravisor states that the VM has no TPM of its own. Do not use the service."),
    "T1.vm": Fault(
        _UNWANTED,
        "The VM is genuine, but another one than your policy names. Check `vm_ids` of [azure] in your policy, or use "
        "another service.",
    ),
    **dict.fromkeys(("T2.2", "T7.1.2", "G1.1.2"), Fault(_STALE, _CLOCK)),
    "T3.6": Fault(
        _STALE,
        "The certificate is for other patch levels than the report's: the platform was updated since. Run `vitrine "
        "collateral fetch` again.",
    ),
    **dict.fromkeys(
        ("T3.7", "T3.8", "T3.9"),
        Fault(_UNWANTED, "The report is genuine, but signed by a key of a kind, or for a provider, that is not taken."),
    ),
    "T4.1": Fault(_FAILED, "Update this client: it does not know this version of the report."),
    **dict.fromkeys(
        ("T4.8", "T4.9", "T8.5", "T8.6", "T8.7"),
        Fault(_FAILED, "The CPU says that the host may look into this machine, or move it. Do not use the service."),
    ),
    **dict.fromkeys(
        ("T4.10", "T4.11", "T4.12", "T4.14", "T4.15"),
        Fault(_UNWANTED, "The machine is genuine, but started with other settings than your policy's [sev_snp] asks."),
    ),
    **dict.fromkeys(("T4.16", "T4.17", "T4.18", "T4.19", "T7.20", "T7.21"), Fault(_FAILED, _TCB)),
    "T5": Fault(_FAILED, _RELEASED),
    **dict.fromkeys(
        ("T5.2", "T5.3", "T5.4", "T8.16", "T8.17", "T8.18", "T8.19"),
        Fault(_UNWANTED, "The machine is genuine, but whoever started it gave it another value than your policy asks."),
    ),
    "T5.6": Fault(
        _UNWANTED,
        "The paravisor is genuine as far as the CPU says, but neither the release nor your policy names it. Ask the "
        "publisher for a release of today's paravisors.",
    ),
    **dict.fromkeys(("T7.3.2", "T7.4.2", "T7.6.2", "T7.9", "T7.12", "T11.2", "T11.3"), Fault(_STALE, _FETCH)),
    **dict.fromkeys(("T7.3.1", "T7.4.1", "T7.6", "T7.7", "T7.8", "T7.11"), Fault(_FAILED, _AGAIN)),
    **dict.fromkeys(("T7.3.3", "T7.4.3", "T11.amd.3"), Fault(_FAILED, _REVOKED)),
    **dict.fromkeys(("T7.13", "T7.14", "T7.15", "T7.16"), Fault(_STALE, _OTHER_HARDWARE)),
    **dict.fromkeys(("T7.22", "T7.23", "T11.4", "T11.5", "T11.amd.5"), Fault(_STALE, _BACK)),
    "T8.10": Fault(
        _FAILED, "The TDX module is not one that was expected. Ask the publisher which the release was made for."
    ),
    **dict.fromkeys(("T8.11", "T8.12", "T8.13", "T8.14", "T8.15", "T9"), Fault(_FAILED, _RELEASED)),
    "T10.1": Fault(
        _UNWANTED,
        "The machine is genuine, but no hardware names its image: only Google's word does. Use a machine with TDX, or "
        "take that word: `cloud_vouched_boot` in your policy, with a reason.",
    ),
    "T11": Fault(_UNWANTED, "Leave out --collateral: a VM with a software TPM has no use for it."),
    "T11.amd.1": Fault(_FAILED, _AGAIN),
    **dict.fromkeys(
        ("T11.1", "T11.amd.4", "T11.amd.8"),
        Fault(
            _STALE,
            "A statement of the hardware's maker was not given. Run `vitrine collateral fetch` for this evidence, and "
            "name its folder by --collateral.",
        ),
    ),
    "T11.amd.2": Fault(_STALE, _FETCH),
    **dict.fromkeys(("T11.6", "T11.amd.6", "T11.amd.7"), Fault(_UNWANTED, _DENIED)),
    "T11.7": Fault(
        _UNWANTED,
        "Verify with the roots of the very policy that judges: its limits of age are shorter than those used.",
    ),
    "G": Fault(_FAILED, "The GPU is not shown to be genuine. Do not use the service, and tell its operator."),
    "G1.6": Fault(_FAILED, _AGAIN),
    **dict.fromkeys(("G1.6.responder.2", "G1.6.4", "G3.9.responder.2", "G3.9.4", "G3.4.2"), Fault(_STALE, _FETCH)),
    **dict.fromkeys(("G1.6.3", "G3.9.3"), Fault(_FAILED, _REVOKED)),
    **dict.fromkeys(
        ("G1.7", "G3.10", "G3.11"),
        Fault(
            _STALE,
            "An OCSP answer or a RIM file of NVIDIA's was not given. Run `vitrine collateral fetch` for this evidence.",
        ),
    ),
    **dict.fromkeys(("G3.1", "G3.2", "G3.3", "G3.4", "G3.5", "G3.9"), Fault(_FAILED, _AGAIN)),
    "G3.6": Fault(_STALE, _OTHER_HARDWARE),
    "G3.7": Fault(
        _FAILED, "The GPU's firmware is not what NVIDIA published. Do not use the service, and tell its operator."
    ),
    "G3.8": Fault(_STALE, "Two RIM files say something about one version. Run `vitrine collateral fetch` again."),
    "G3.12": Fault(_FAILED, "Two of the devices are one and the same. Do not use the service, and tell its operator."),
    "G4.1": Fault(_UNWANTED, "The machine has {got} of NVIDIA's GPUs, your policy or the release wants {expected}."),
    "G4.2": Fault(_UNWANTED, "The machine has {got} of NVIDIA's switches, your policy wants {expected}."),
    "G4.3": Fault(_UNWANTED, "The GPU is genuine, but not one that your policy names. Check `devices` of [nvidia]."),
    "G4.4": Fault(_UNWANTED, "The GPU is genuine, but in mode {got}; your policy takes {expected}."),
    "G4.5": Fault(_FAILED, "What the GPU states about its mode contradicts itself. Do not use the service."),
    "G4.6": Fault(_FAILED, "The GPU runs firmware for debugging or recovery. Do not use the service."),
    "G4.7": Fault(
        _UNWANTED, "GPUs here speak in plain text to switches that came without evidence. Ask the operator for it."
    ),
}
_OTHERWISE = Fault(State.FAILED, "Do not use the service, and tell its operator what this page says.")


def fault(rule: str) -> Fault:
    """Return what the failure of a rule means."""
    return next((FAULTS[part] for part in (*broader(rule), rule[:1]) if part in FAULTS), _OTHERWISE)


def advice(check: Check) -> str:
    """Return what to do about a failed check."""
    found, wanted = fault(check.id).advice, show(check.expected)
    fewest, _, most = wanted.partition(" to ")
    if fewest == most:  # "2 to 2"
        wanted = fewest
    return found.replace("{got}", show(check.got)).replace("{expected}", wanted)


def worst(checks: Iterable[Check]) -> State | None:
    """Return the state that failed checks give their link; None where nothing failed."""
    found = {fault(check.id).state for check in checks if not check.passed}
    return next((state for state in BROKEN if state in found), None)
