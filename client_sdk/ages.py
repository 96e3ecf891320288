"""How old a statement of a maker's may be, besides the dates that it states itself (rule T11).

A list or an answer may be in date for a year and be withheld for as long by whoever hands it out: these limits are the
client's own.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import timedelta

from client_sdk.errors import FieldError
from client_sdk.given import told


@dataclass(frozen=True, slots=True)
class Ages:
    """The defaults are those of production. AMD makes its lists, and Intel that of its root, about once a year.

    Raises:
        EvidenceError: a limit of another type, or below zero, which would limit by mistake.
    """

    tcb_info: timedelta = timedelta(days=31)
    qe_identity: timedelta = timedelta(days=31)
    pck_crl: timedelta = timedelta(days=31)
    root_crl: timedelta = timedelta(days=400)
    amd_crl: timedelta = timedelta(days=400)
    ocsp: timedelta = timedelta(days=7)

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            limit = getattr(self, name)
            if not isinstance(limit, timedelta) or limit < timedelta(0):
                remedy = f"write {name}=timedelta(days=7)"
                raise FieldError(f"ages.{name}", "a timedelta, not negative", told(limit), remedy)

    def shortest(self, other: Ages) -> Ages:
        """Return the shorter limit of each."""
        return Ages(*map(min, astuple(self), astuple(other)))


PRODUCTION = Ages()
