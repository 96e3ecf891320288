"""What a caller finds acceptable: which roots, and clauses over verified evidence. It judges, it does not verify.

Production refuses every platform that is not confidential. A simulated platform is taken only by a policy that says
so in its name, made in code with the CA of that very run (rules D1, D2): no environment variable and no fallback
leads to it, and it cannot be mixed with production clauses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography import x509

from client_sdk.errors import EvidenceError, Failure
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Roots
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence

MAX_CERTIFICATE_FILE = 65_536


class Policy(Protocol):
    """One clause or a set of them. ``name`` is printed in every report."""

    @property
    def name(self) -> str:
        """What the policy is called."""

    @property
    def roots(self) -> Roots:
        """The trust anchors that evidence is verified against."""

    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Return every clause that does not hold, after recording each in the ledger."""


@dataclass(frozen=True, slots=True)
class Production:
    """The default: confidential platforms only. This version verifies none yet, so it refuses everything."""

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "production"

    @property
    def roots(self) -> Roots:
        """No anchor: the makers' roots come with the platforms that this version does not verify yet."""
        return Roots(tpm=(), simulated=False)

    @keeps("P1", "P2", "P3")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Refuse what is simulated, and what does not keep its memory from its host."""
        platform = evidence.platform
        return (
            ledger.judge("P1", "the platform is confidential", expected="a CPU TEE", got=platform, condition=False)
            + ledger.judge(
                "P2",
                "the firmware is a known one",
                expected="an allow-list in the release",
                got=f"{len(measurement.pcr0_allowed)} values",
                condition=measurement.pcr0_allowed,
            )
            + ledger.judge(
                "P3",
                "the ACPI tables are known ones",
                expected="an allow-list in the release",
                got=f"{len(measurement.acpi_allowed)} values",
                condition=measurement.acpi_allowed,
            )
        )


@dataclass(frozen=True, slots=True)
class SimulatedPlatform:
    """Takes VMs on QEMU with a software TPM that *this* CA certified: for development and tests.

    ``tpm_ca`` is a path, PEM or DER bytes, or a certificate. Evidence accepted under it proves nothing about the host:
    whoever holds the CA's key, which lies beside the VM, makes any TPM say anything.

    Raises:
        EvidenceError: the file is not a certificate.
    """

    tpm_ca: Path | str | bytes | x509.Certificate
    roots: Roots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", Roots(tpm=(_read(self.tpm_ca),), simulated=True))

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "simulated platform, proves nothing about the host"

    @keeps("D1", "D2")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Take simulated evidence under this CA and nothing else; PCR 0 may be unpinned."""
        _ = measurement
        (anchor,) = self.roots.anchors
        return ledger.judge(
            "D1",
            "the evidence was verified as simulated",
            expected=True,
            got=evidence.simulated,
            condition=evidence.simulated,
        ) + ledger.judge(
            "D2",
            "the TPM was certified by the CA of this run",
            expected=anchor.fingerprint,
            got=evidence.tpm_ca,
            condition=anchor.fingerprint == evidence.tpm_ca,
        )


def _read(source: Path | str | bytes | x509.Certificate) -> x509.Certificate:
    if isinstance(source, x509.Certificate):
        return source
    data = source if isinstance(source, bytes) else _read_file(Path(source))
    try:
        if data.startswith(b"-----BEGIN"):
            (certificate,) = x509.load_pem_x509_certificates(data)
        else:
            certificate = x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise EvidenceError("policy.tpm_ca", "not exactly one certificate in PEM or DER form") from error
    return certificate


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CERTIFICATE_FILE)
    except OSError as error:
        raise EvidenceError("policy.tpm_ca", f"cannot read {path}: {error.strerror}") from error
