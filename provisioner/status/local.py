"""What this machine keeps of a deployment: image, published release, last verdict. Asks nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from client_sdk.errors import AttestationError
from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from provisioner.errors import Fault, SpecError
from provisioner.publish import IMAGE, PUBLISHER, RELEASE, RENEW_BEFORE
from provisioner.verdict import Verdict, last_verdict

Window = Literal["not yet valid", "valid", "expires soon", "expired"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The published release, signed by the key beside it. That clients pin that key is not said."""

    number: int
    service: str
    debug: bool
    not_before: datetime
    not_after: datetime

    def window(self, now: datetime) -> Window:
        """Say where in its dates it is; it is time to deploy again from "expires soon" on."""
        if now < self.not_before:
            return "not yet valid"
        if now > self.not_after:
            return "expired"
        return "expires soon" if now > self.not_after - RENEW_BEFORE else "valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What lies in build/<name>. ``faults`` are files that are not what they should be, each with what to do."""

    image: str
    release: Released | None
    verdict: Verdict | None
    faults: tuple[str, ...]


def read_local(root: Path) -> Local:
    """Read a deployment's folder; one that is not there has nothing, which is no fault."""
    faults: list[str] = []

    def tried(read: Callable[[Path], _T]) -> _T | None:
        try:
            return read(root)
        except SpecError as error:
            faults.append(str(error))
            return None

    release, verdict = tried(_release), tried(last_verdict)
    link = root / IMAGE
    name = link.resolve().name if link.is_symlink() else ""
    return Local(image=name, release=release, verdict=verdict, faults=tuple(faults))


def _release(root: Path) -> Released | None:
    path = root / RELEASE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SpecError((Fault(str(path), "a file that this user may read", str(error.strerror)),)) from error
    try:
        release = open_release(data, Publisher(keys=(root / PUBLISHER,)))
    except (OSError, AttestationError) as error:
        wanted = f"a release signed by the key in {root / PUBLISHER}: deploy once more"
        raise SpecError((Fault(str(path), wanted, str(error)),)) from error
    return Released(
        number=release.number,
        service=release.service,
        debug=any(measurement.is_debug for measurement in release.measurements),
        not_before=release.not_before,
        not_after=release.not_after,
    )
