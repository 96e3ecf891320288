"""What a verdict means, in plain sentences; what to do when something failed."""

from __future__ import annotations

from collections.abc import Mapping

from client_sdk.accept import OPEN_FIRMWARE, OPEN_LAUNCH, OPEN_TABLES
from client_sdk.errors import AttestationError, EvidenceError, FetchError
from client_sdk.page.links import Finding, State
from client_sdk.report import ACCEPTED, NO_VERDICT, REFUSED, VERIFIED, Report
from client_sdk.rules import broader

TITLES = {ACCEPTED: "Accepted", VERIFIED: "Verified only", REFUSED: "Refused", NO_VERDICT: "No verdict"}
LEADS = {
    ACCEPTED: "The service is what its publisher released. Everything that this platform has was checked, and held.",
    VERIFIED: "The evidence is genuine and fresh, but it was compared with no release. Trust nothing because of it.",
    REFUSED: "Send nothing to this service. It is not shown to be what its publisher released.",
    NO_VERDICT: "Nothing was learned about the service. Send nothing to it before it was verified.",
}
LEAD_SIMULATED = "Everything that this platform has was checked, and held. But its TPM is simulated."
LEAD_OPTED_OUT = "The service is what its publisher released, under a policy that goes without some of the checks."
SIMULATED = (
    "The TPM of this machine is a program: whoever runs it can make it say anything. Use such a machine for "
    "development and tests, and tell it nothing that its host must not know."
)
SAVED = (
    "This judges a file of saved evidence. It says what was true when your own client wrote that file, and nothing "
    "about now; a file that somebody else gave you proves nothing."
)
# Without all of these links a measurement is nothing but a claim.
_BOOT = frozenset({"prediction", "measurements", "logs", "quote", "signature", "key", "tpm-root"})
_LEFT_OPEN = (OPEN_FIRMWARE, OPEN_TABLES, OPEN_LAUNCH)
_NEVER = (
    "that there is no newer release",
    "that the code of the release is free of faults",
    "that the sizes and the timing of messages give nothing away",
    "that the service stays up",
)
_ADVICE = {
    "C1": "Report it: this client made no proper nonce.",
    "C2": "The answer is old, or another machine's. Try once more; if it stays, somebody replays evidence.",
    "C3": "Somebody stands between you and the machine, or the address leads to another one. Use no other connection "
    "to it either.",
    "C6": "Parts came along that this platform has no use for. Ask the operator what they are.",
    "D1": "For a development machine of your own, say so: --simulated with the certificate of its TPM's CA. Anywhere "
    "else, do not use the service.",
    "D2": "Name the CA of this very run. If you did, the machine is another one.",
    "K5": "Update this client: this version does not verify the platform that the service claims to run on.",
    "K": "The TPM is not one that the pinned root made. Check that you pinned the right root; if you did, do not use "
    "the service.",
    "Q": "The TPM's statement is not genuine. Do not use the service, and tell its operator.",
    "L10": "Another image was started. Ask the publisher which release the service should run.",
    "L": "The machine booted something else than the release, or something besides it. During a rollout give both "
    "releases; otherwise do not use the service, and tell its publisher.",
    "P": "The platform is not one that your policy takes. Choose another service rather than another policy.",
    "R1": "Get the publisher's key from the publisher, by a way that you trust, and the release that belongs to it.",
    "R6": "Ask the publisher for a newer release, and check this machine's clock.",
    "R": "Ask the publisher for the release of this service.",
    "T11": "Fetch the maker's current revocation lists and patch levels, and try again. If it stays, the platform is "
    "out of date or revoked.",
    "T7": "The platform is out of date, revoked or not genuine. Ask the operator to update it.",
    "T": "The CPU does not vouch for this machine as your policy wants it. Do not use the service.",
    "G": "The GPU is not shown to be genuine and in the state that your policy wants. Do not use the service.",
}
_OTHERWISE = "Do not use the service, and tell its operator what this page says."


def advice(rule: str) -> str:
    """Return what to do when a rule does not hold."""
    return next((_ADVICE[part] for part in (*broader(rule), rule[:1]) if part in _ADVICE), _OTHERWISE)


def advice_on(error: AttestationError | None) -> str:
    """Return what to do about an error that no rule belongs to."""
    if isinstance(error, FetchError):
        return (
            "See that the address is right and the service is up, and try again; --wait goes on trying while it boots."
        )
    if isinstance(error, EvidenceError):
        return "Something cannot be read. See that the files are the right ones; if they are, update this client."
    return _OTHERWISE


def proves(verdict: str, facts: Mapping[str, object], found: Mapping[str, Finding]) -> tuple[str, ...]:
    """Return what an accepted or verified report shows."""
    if verdict not in {ACCEPTED, VERIFIED}:
        return ()
    holds = {key for key, item in found.items() if item.state is State.HOLDS}
    word = ", as far as its software TPM is honest, which nobody outside can know" if facts.get("simulated") else ""
    said = []
    if holds >= _BOOT:
        said.append(f"The machine booted exactly the image of this release, and no driver ran before it{word}.")
    if holds >= _BOOT | {"freshness", "connection"}:
        said.append("The TLS key of this connection was made in that boot, and the connection ends there.")
    if "publisher" in holds:
        said.append("The release was signed by the publisher's key that you pinned.")
    if {"tee-binding", "tee-values", "tee-signature", "tee-root"} <= holds:
        said.append("A genuine CPU says that it keeps this machine's memory from its host.")
    if {"gpu-binding", "gpu-values", "gpu-signature", "gpu-root"} <= holds:
        said.append("A genuine GPU with the maker's firmware belongs to this machine.")
    return tuple(said) or ("Only what the checks below say, each for itself.",)


def proves_not(report: Report, facts: Mapping[str, object], found: Mapping[str, Finding]) -> tuple[str, ...]:
    """Return what a report does not show, whatever it says."""
    verdict = report.verdict
    if verdict == NO_VERDICT:
        return ("anything at all: the service may be honest or not",)
    if verdict not in {ACCEPTED, VERIFIED}:
        return ("that somebody attacks: a wrong file or an old release is refused as well",)
    missing = []
    if facts.get("simulated"):
        missing.append("anything about the host: who runs it, and whether it reads along")
    elif found["tee-root"].state is not State.HOLDS:
        missing.append("that the host cannot read the machine's memory: no CPU vouched for it")
    missing += [f"anything against this: {why}" for rules, why in report.not_run if rules in _LEFT_OPEN]
    if found["gpu-root"].state is not State.HOLDS:
        missing.append("anything about a GPU: none was attested")
    recorded = {check.id for item in found.values() for _, check in item.checks}
    if not any(rule.startswith("R2") for rule in recorded):
        missing.append("that everybody is shown the same release: no public log was consulted")
    return (*missing, *_NEVER)
