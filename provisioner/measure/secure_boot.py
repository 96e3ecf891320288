"""PCR 7 with and without Secure Boot: the five variables, the separator, and what let the image through.

Source: TCG PC Client Platform Firmware Profile, section 3.3.4.8; EDK2's DxeImageVerificationLib for the authority.
Firmware measures each variable as UEFI_VARIABLE_DATA: one that does not exist has no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from provisioner.errors import MeasureError
from provisioner.measure.event import Event, event_of
from provisioner.measure.signature_list import X509, signatures

GLOBAL = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
IMAGE_SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
OFF, ON = b"\0", b"\1"
_STATES = (b"", OFF, ON)


@dataclass(frozen=True, slots=True)
class SecureBootVariables:
    """The values of the five variables; ``state`` is SecureBoot's, without data where firmware has no such variable.

    They are what the firmware *will* measure, as far as its owner keeps to them: PCR 7 then shows whether it did.

    Raises:
        MeasureError: SecureBoot has no such state, keys are no signature lists, or it is on without keys.
    """

    state: bytes = b""
    pk: bytes = b""
    kek: bytes = b""
    db: bytes = b""
    dbx: bytes = b""

    def __post_init__(self) -> None:
        if self.state not in _STATES:
            raise MeasureError(f"variable SecureBoot: {self.state.hex()} is no state; expected 00, 01 or nothing")
        for name, value in (("PK", self.pk), ("KEK", self.kek), ("db", self.db), ("dbx", self.dbx)):
            signatures(name, value)
        if self.is_on and not (self.pk and self.db):
            raise MeasureError("Secure Boot is on without PK or db: no image would start; enrol keys")

    @property
    def is_on(self) -> bool:
        """Whether firmware refuses images that nobody in db signed."""
        return self.state == ON

    def named(self) -> tuple[tuple[bytes, str, bytes], ...]:
        """Return vendor, name and value of each, in the order in which firmware measures them."""
        return (
            (GLOBAL, "SecureBoot", self.state),
            (GLOBAL, "PK", self.pk),
            (GLOBAL, "KEK", self.kek),
            (IMAGE_SECURITY, "db", self.db),
            (IMAGE_SECURITY, "dbx", self.dbx),
        )


def variable_events(variables: SecureBootVariables) -> tuple[Event, ...]:
    """Return what stands before the separator in PCR 7."""
    return tuple(
        event_of(7, variable_data(vendor, name, value), f"variable {name}, {len(value)} bytes")
        for vendor, name, value in variables.named()
    )


def authority(variables: SecureBootVariables, certificate: bytes) -> tuple[Event, ...]:
    """Return the event that says which entry of db let the image through; none where Secure Boot is off.

    ``certificate`` (DER) is the signer's own: an image signed under a CA of db is not what this predicts.

    Raises:
        MeasureError: db does not hold exactly this certificate once; the firmware would refuse the image.
    """
    if not variables.is_on:
        return ()
    found = [one for one in signatures("db", variables.db) if (one.kind, one.content) == (X509, certificate)]
    if len(found) != 1:
        raise MeasureError(f"db holds the certificate that signs the image {len(found)} times, expected once: enrol it")
    data = variable_data(IMAGE_SECURITY, "db", found[0].data())
    return (event_of(7, data, "authority: the entry of db that let the image through"),)


def variable_data(vendor: bytes, name: str, value: bytes) -> bytes:
    """Return UEFI_VARIABLE_DATA."""
    sizes = len(name).to_bytes(8, "little") + len(value).to_bytes(8, "little")
    return vendor + sizes + name.encode("utf-16-le") + value
