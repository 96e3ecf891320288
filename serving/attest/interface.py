"""One platform's part in a boot: whose keys the TPM holds, and the report of the CPU. All else is boot.py's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from client_sdk.evidence import TeeEvidence
from serving.attest.tpm import Key, Tpm


@dataclass(frozen=True, slots=True)
class Identity:
    """The attestation key and who vouches for it: a cloud's certificate, or an endorsement key's, by activation."""

    ak: Key
    ak_certificates: tuple[bytes, ...] = ()
    ek: Key | None = None
    ek_certificates: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """What a platform may look at besides the TPM: ``root`` is where /dev and /sys lie.

    ``ccel`` is the log of a TDX machine's firmware, which the self-check read (root alone may); empty where there is
    none.
    """

    root: Path
    ccel: bytes


class Platform(Protocol):
    """One platform. Its name is a claim: a client verifies by the claimed platform's rules, and believes no name."""

    @property
    def name(self) -> str:
        """How evidence names it."""

    @property
    def has_event_log(self) -> bool:
        """Tell whether the firmware's log is part of this platform's evidence."""

    def find(self, tpm: Tpm) -> Identity | None:
        """Return the identity that this platform leaves in a TPM; None where the TPM has nothing of it.

        Raises:
            SealError: the TPM has a part of it and not the rest, or parts that contradict each other.
            TpmError: the TPM refuses.
        """

    def report(self, tpm: Tpm, machine: Machine, report_data: bytes) -> TeeEvidence | None:
        """Return the CPU's report over 64 bytes; None where the machine has no TEE.

        Raises:
            SealError: there is a TEE, and its report cannot be had.
            TpmError: the TPM refuses.
        """
