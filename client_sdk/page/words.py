"""What a verdict means, in plain sentences; what to do when something failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from client_sdk.accept import OPEN_FIRMWARE, OPEN_LAUNCH, OPEN_TABLES
from client_sdk.errors import AttestationError, EvidenceError, FetchError
from client_sdk.evidence import AZURE
from client_sdk.page.faults import State, worst
from client_sdk.page.links import Finding
from client_sdk.report import ACCEPTED, NO_VERDICT, REFUSED, VERIFIED, Check, Report

TITLES = {ACCEPTED: "Accepted", VERIFIED: "Verified only", REFUSED: "Refused", NO_VERDICT: "No verdict"}
LEADS = {
    ACCEPTED: "The service is what its publisher released. Everything that this platform has was checked, and held.",
    VERIFIED: "The evidence is genuine and fresh, but it was compared with no release. Trust nothing because of it.",
    REFUSED: "Send nothing to this service. It is not shown to be what its publisher released.",
    NO_VERDICT: "Nothing was learned about the service. Send nothing to it before it was verified.",
}
LEADS_REFUSED = {
    State.UNWANTED: "Send nothing to this service. What was checked of it is genuine, but not what you asked for.",
    State.STALE: "Send nothing to this service yet. A statement that it is judged by is out of date or was not given.",
}
LEAD_CLOUDS_WORD = (
    "Everything that this platform has was checked, and held. But which image the machine booted is the cloud's word."
)
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
STORED = (
    "This judges evidence that somebody stored, as at the instant above. It says what a machine answered to this "
    "nonce; when that was, only whoever drew the nonce knows. No connection was seen, so it says nothing about who "
    "uses the attested TLS key."
)
# Without all of these links a measurement is nothing but a claim.
_BOOT = frozenset({"prediction", "measurements", "logs", "quote", "signature", "key", "tpm-root"})
_GPU = frozenset({"gpu-binding", "gpu-values", "gpu-signature", "gpu-root"})
_LEFT_OPEN = (OPEN_FIRMWARE, OPEN_TABLES, OPEN_LAUNCH)
_NEVER = (
    "that there is no newer release",
    "that the code of the release is free of faults",
    "that the sizes and the timing of messages give nothing away",
    "that the service stays up",
)


def advice_on(error: AttestationError | None) -> str:
    """Return what to do about an error that no rule belongs to."""
    if isinstance(error, FetchError):
        return (
            "See that the address is right and the service is up, and try again; --wait goes on trying while it boots."
        )
    if isinstance(error, EvidenceError):
        return "Something cannot be read. See that the files are the right ones; if they are, update this client."
    return "Do not use the service, and tell its operator what this page says."


def lead(report: Report, *, simulated: bool) -> str:
    """Return the verdict in one or two sentences; empty for a verdict that is none."""
    if report.verdict == ACCEPTED and simulated:
        return LEAD_SIMULATED
    if report.verdict == ACCEPTED and _is_clouds_word(report.checks):
        return LEAD_CLOUDS_WORD
    if report.verdict == ACCEPTED and dict(report.facts).get("opted_out"):
        return LEAD_OPTED_OUT
    told = LEADS.get(report.verdict, "")
    state, signed = worst(report.checks), any(check.id == "Q6.2" and check.passed for check in report.checks)
    if report.verdict != REFUSED or state is None or (state is State.UNWANTED and not signed):
        return told
    return LEADS_REFUSED.get(state, told)


def proves(report: Report, facts: Mapping[str, object], found: Mapping[str, Finding]) -> tuple[str, ...]:
    """Return what an accepted or verified report shows."""
    if report.verdict not in {ACCEPTED, VERIFIED}:
        return ()
    holds = {key for key, item in found.items() if item.state is State.HOLDS}
    word = ", as far as its software TPM is honest, which nobody outside can know" if facts.get("simulated") else ""
    said, clouds = [], _is_clouds_word(report.checks)
    if holds >= _BOOT and clouds:
        said.append(
            "Google's virtual TPM says that the machine booted exactly the image of this release. No hardware says so."
        )
    elif holds >= _BOOT:
        said.append(f"The machine booted exactly the image of this release, and no driver ran before it{word}.")
    if holds >= _BOOT | {"freshness", "connection"}:
        when = "in the machine that the CPU reports, by code that Google alone names," if clouds else "in that boot,"
        said.append(f"The TLS key of this connection was made {when} and the connection ends there.")
    if "publisher" in holds:
        said.append("The release was signed by the publisher's key that you pinned.")
    if {"tee-binding", "tee-values", "tee-signature", "tee-root"} <= holds:
        said.append("A genuine CPU says that it keeps this machine's memory from its host.")
    if holds >= _GPU:
        said.append(
            "A genuine GPU with firmware that NVIDIA published answered, at this boot, for this machine's keys."
        )
    return tuple(said) or ("Only what the checks below say, each for itself.",)


def proves_not(report: Report, facts: Mapping[str, object], found: Mapping[str, Finding]) -> tuple[str, ...]:
    """Return what a report does not show, whatever it says."""
    if report.verdict == NO_VERDICT:
        return ("anything at all: the service may be honest or not",)
    if report.verdict not in {ACCEPTED, VERIFIED}:
        return ("that somebody attacks: a wrong file or an old release is refused as well",)
    missing = [*_of_the_boot(report, facts, found)]
    if found["gpu-root"].state is not State.HOLDS:
        missing.append("anything about a GPU: none was attested")
    else:
        missing.append(
            "that the GPU sits in this machine: no hardware binds the two yet, so a host that puts a genuine GPU of "
            "its own in its place cannot be excluded"
        )
    missing += [f"that a service uses the attested TLS key: {why}" for rules, why in report.not_run if rules == "C3"]
    recorded = {check.id for item in found.values() for _, check in item.checks}
    if not any(rule.startswith("R2") for rule in recorded):
        missing.append("that everybody is shown the same release: no public log was consulted")
    return (*missing, *_NEVER)


def _of_the_boot(report: Report, facts: Mapping[str, object], found: Mapping[str, Finding]) -> Iterator[str]:
    """Yield what is not shown of host and image."""
    if facts.get("simulated"):
        yield "anything about the host: who runs it, and whether it reads along"
    elif found["tee-root"].state is not State.HOLDS:
        yield "that the host cannot read the machine's memory: no CPU vouched for it"
    if _is_clouds_word(report.checks):
        yield (
            "that this image owns the TLS key: that is Google's word. On SEV-SNP the CPU measured Google's firmware "
            "alone, and whoever commands Google's virtual TPM could have booted other code"
        )
    if facts.get("platform") == AZURE:
        yield "that Azure's paravisor is honest: its code is closed, and it holds the TPM that names the image"
    for rules, why in report.not_run:
        if rules in _LEFT_OPEN:
            yield f"anything against this: {why}"


def _is_clouds_word(checks: Iterable[Check]) -> bool:
    """Tell whether the policy took a cloud's word for the image (T10.1 is judged where no hardware names it)."""
    return any(check.id == "T10.1" for check in checks)
