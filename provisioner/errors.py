"""Every error of the provisioner.

::

    ProvisionError
     ├ SpecError      the inventory is wrong; lists every fault
     ├ PlanError      this cloud cannot do that spec
     ├ BakeError      the image could not be made, or may not be used
     │  └ NotInImageError  an image has no such file, unit or package
     ├ CloudError     the hypervisor or cloud API said no; carries the request id where there is one
     ├ BusyError      another run holds what this one needs; again after it
     ├ ReleaseError   a release may not be signed or published as it is; lists every fault, says what to do next
     └ MeasureError   predicted ≠ observed; do not publish
"""

from __future__ import annotations

from dataclasses import dataclass


def _printable(text: str) -> str:
    """Spell what is not printable as escapes; the client's errors do the same, and measuring may not import them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class ProvisionError(Exception):
    """Base of everything that the provisioner raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input: where, what was expected, what was found."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {self.got}"


class SpecError(ProvisionError):
    """The inventory is wrong; every fault is listed at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(str(fault) for fault in faults) or "unknown fault")


class PlanError(ProvisionError):
    """The chosen cloud cannot do what the spec asks for."""


class BakeError(ProvisionError):
    """The image could not be made, or it breaks a rule and may not be used."""


class NotInImageError(BakeError):
    """An image that can be read has no such file, unit or package."""


class BusyError(ProvisionError):
    """Another run holds what this one needs."""


class CloudError(ProvisionError):
    """The hypervisor or the cloud's API refused or failed. What it said is made printable: a terminal obeys it."""

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        self.request_id = request_id
        super().__init__(_printable(message if request_id is None else f"{message} (request {request_id})"))


class ReleaseError(ProvisionError):
    """A release, or a rotation of keys, may not be signed or published as it is; ``remedy`` is what to do next."""

    def __init__(self, faults: tuple[Fault, ...], remedy: str) -> None:
        self.faults, self.remedy = faults, _printable(remedy)
        super().__init__(_printable(f"{'; '.join(map(str, faults)) or 'unknown fault'}; {remedy}"))


class MeasureError(ProvisionError):
    """What was predicted and what was observed differ: nothing may be published."""


def sentences(error: ProvisionError) -> str:
    """Return what follows a colon when an error is told: several faults of an inventory each on a line of its own."""
    if isinstance(error, SpecError) and len(error.faults) > 1:
        return "".join(f"\n  {fault}" for fault in error.faults)
    if isinstance(error, ReleaseError):
        return "".join(f"\n  {_printable(str(fault))}" for fault in error.faults) + f"\n  next: {error.remedy}"
    return f" {error}"
