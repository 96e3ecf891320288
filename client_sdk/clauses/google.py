"""What a policy says about a VM on Google's cloud whose attestation key ``verify/ak.py`` found genuine.

(K3.3) The project's number, (K3.4) its id, (K3.5) the zone, (K3.6) the instance's id and (K3.7) its name are expected.
(L8.1) PCR 0 is that of firmware on a machine with the technology of the CPU's report.

These are Google's words about who rented the VM. A project's *number* is never given out again; an id can be.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.clauses.expected import Stated
from client_sdk.errors import Failure, VerificationError
from client_sdk.parse.gce import GceInstance
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.gce import SNP, TDX, verify_gce_pcr0

OLDEST_FIRMWARE = 2  # v1 does not know TDX and SNP


@dataclass(frozen=True, slots=True)
class GoogleInstance:
    """Which instances are taken; nothing has a default."""

    project_number: Stated
    project_id: Stated
    zone: Stated
    instance_id: Stated
    instance_name: Stated

    @keeps("K3.3", "K3.4", "K3.5", "K3.6", "K3.7")
    def judge(self, instance: GceInstance, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge what the certificate says of the instance."""
        stated = instance
        return (
            *self.project_number.judge("K3.3", "the project's number is expected", stated.project_number, ledger),
            *self.project_id.judge("K3.4", "the project's id is expected", stated.project_id, ledger),
            *self.zone.judge("K3.5", "the zone is expected", stated.zone, ledger),
            *self.instance_id.judge("K3.6", "the instance's id is expected", stated.instance_id, ledger),
            *self.instance_name.judge("K3.7", "the instance's name is expected", stated.instance_name, ledger),
        )


@dataclass(frozen=True, slots=True)
class GoogleFirmware:
    """PCR 0 fits the CPU's report. ``oldest`` is the lowest version of the firmware that is taken: 2 or more."""

    oldest: int

    @keeps("L8.1")
    def judge(self, pcr0: bytes, tee: str, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge PCR 0; ``tee`` is the kind of the verified report, ``tdx`` or ``snp``."""
        technology = {"tdx": TDX, "snp": SNP}[tee]
        try:
            verify_gce_pcr0(pcr0, technology, oldest=max(self.oldest, OLDEST_FIRMWARE), ledger=ledger)
        except VerificationError as error:
            return (
                Failure(
                    "L8.1: PCR 0 is that of Google's firmware on a machine of the CPU report's technology",
                    error.expected,
                    error.got,
                ),
            )
        return ()
