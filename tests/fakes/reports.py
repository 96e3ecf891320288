"""Reports to look at: of the whole path over a simulated VM, and made by hand for platforms that are still to come."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from client_sdk.accept import Accepted
from client_sdk.errors import AttestationError
from client_sdk.policy import Policy
from client_sdk.releases import open_releases
from client_sdk.report import ACCEPTED, Check, Report, refusal
from client_sdk.rounds import Gathered, judge
from tests.fakes.judging import NONCE, OTHERS, simulated, stream
from tests.fakes.simulated_vm import NOW, SimulatedVm, ec_key, publisher, publisher_key, release, signed

ORIGIN = "https://vitrine.example"
HOSTILE = (
    '"><script>alert(1)</script><a href="https://evil.example" onclick=x>\u202eacc\x00epted</a>&amp;]]><!-- \ud800'
)


def gathered(vm: SimulatedVm) -> Gathered:
    """What one attestation of a VM brings, without a network."""
    evidence = vm.evidence(NONCE, OTHERS)
    activation = vm.activation(evidence, stream())
    return Gathered(ORIGIN, evidence.to_json(), NONCE, vm.tls_certificate, activation)


def judged(
    came: Gathered | None = None, *, files: tuple[bytes, ...] = (), policy: Policy | None = None, **publishing
) -> Accepted:
    """The whole path of a client but for the network: releases opened, evidence verified and accepted."""
    opened = open_releases(files or (signed(release()),), publishing.get("publisher") or publisher(), now=NOW)
    return judge(came or gathered(SimulatedVm()), releases=opened, policy=policy or simulated(), now=NOW)


def other_release() -> bytes:
    """A release of another image: two PCRs differ."""
    different = release()
    (measured,) = different.measurements
    pcrs = tuple((index, b"\1" * 32 if index in {4, 9} else value) for index, value in measured.pcrs)
    return signed(replace(different, measurements=(replace(measured, pcrs=pcrs),)))


def refused_error(attack: str) -> AttestationError:
    """Return why the whole path ended, under an attack."""
    vm = SimulatedVm()
    if attack == "sign":
        vm.sign_with = ec_key("impostor")
    came = gathered(vm)
    attacks = {
        "sign": lambda: judged(came),
        "certificate": lambda: judged(replace(came, certificate=b"another")),
        "evidence": lambda: judged(replace(came, evidence=b"{")),
        "release": lambda: judged(files=(other_release(),)),
        "publisher": lambda: judged(publisher=publisher(publisher_key("other"))),
    }
    try:
        attacks[attack]()
    except AttestationError as error:
        return error
    raise AssertionError(attack)


def refused(attack: str) -> Report:
    """Return the report of that refusal."""
    return refusal(refused_error(attack))


# The ids that the verifiers of other platforms record when all goes well, with one row each.
SNP = ("T1.1", "T2.1", "T2.6", "T2.13", "T3.6", "T4.1", "T4.8", "T4.13", "T5.1", "T11.amd.1")
TDX = ("T1.1", "T6.1", "T6.5", "T6.7", "T7.1.1", "T7.2", "T7.21", "T8.5", "T8.10", "T9.1", "T11.4")
GPU = ("G1.1.1", "G1.2.1", "G1.4", "G1.5", "G1.6.1", "G2.1", "G2.2", "G3.2", "G3.7", "G4.1", "G4.6", "G5.1")
CLOUD = ("K3.2", "K3.4", "K5.1")


def confidential(cpu: tuple[str, ...] = SNP, *, failed: str = "", gpu: tuple[str, ...] = GPU) -> Report:
    """A report of a confidential VM with a GPU, as its verifiers will make it; one id may fail."""
    local = judged().report
    kept = [check for check in local.checks if not check.id.startswith(("D", "Q8"))]
    digest = {rule: sha256(rule.encode()).digest() for rule in (*CLOUD, *cpu, *gpu)}
    more = [
        Check(rule, f"what {rule} is about", digest[rule], digest[rule] if rule != failed else b"x", rule != failed)
        for rule in digest
    ]
    made_up = ("ak_certificates", "tee_report", "tee_certificates", "gpu_evidence", "gpu_certificates")
    sources = tuple((name, found) for name, found in local.sources if name not in {"ek_certificates", "activation"})
    facts = {**dict(local.facts), "platform": "gcp", "simulated": False, "policy": "production"}
    return Report(
        "refused" if failed else ACCEPTED,
        tuple(kept + more),
        (("D1, D2", "this is no simulated platform"), ("Q8", "the cloud certified the attestation key"))
        + (() if gpu else (("G1 to G5", "there is no GPU on this platform"),)),
        tuple(facts.items()),
        sources + tuple((name, (sha256(name.encode()).digest(),)) for name in made_up),
    )


def hostile() -> Report:
    """A report whose every text is an attack on whoever shows it."""
    accepted = judged().report
    checks = tuple(Check(HOSTILE, HOSTILE, HOSTILE, HOSTILE, passed=i % 2 == 0) for i in range(4))
    pcr = Check("L1.pcr4", f"PCR 4 {HOSTILE}", HOSTILE, HOSTILE, passed=False)
    facts = {**dict(accepted.facts), HOSTILE: HOSTILE, "service": HOSTILE, "release": HOSTILE, "policy": HOSTILE}
    return Report(
        HOSTILE,
        (*checks, pcr, *accepted.checks),
        ((HOSTILE, HOSTILE),),
        tuple(facts.items()),
        (*accepted.sources, (HOSTILE, (b"\0" * 32,))),
    )
