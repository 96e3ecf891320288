"""Which cloud a VM is on, and whose it is there.

(P5) The VM is on the cloud that the policy names. On Google Cloud: (K3.3 to K3.7) project, zone and instance, (L8.2)
the version of the firmware. On Azure: (T1.*) what the paravisor states, (T5.6) which paravisor it is.

Azure certifies no subscription: *whose* VM it is, is not proven there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from client_sdk.clauses.azure import AzureVm
from client_sdk.clauses.expected import AnyValue, OneOf, Stated
from client_sdk.clauses.google import GoogleFirmware, GoogleInstance
from client_sdk.errors import EvidenceError, Failure, FieldError
from client_sdk.evidence import AZURE, GCP
from client_sdk.given import require_all, require_number, told
from client_sdk.platforms.interface import TeeFacts
from client_sdk.release import Measurement
from client_sdk.report import Ledger, Phrase
from client_sdk.roots import Roots, production_roots
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence
from client_sdk.verify.ak import GoogleAk
from client_sdk.verify.gce import OLDEST
from client_sdk.verify.snp import SnpFacts

ID_KEY_SIZE = 48
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_ANYTHING = frozenset({"any", "all", "*", ""})
_BY_PROJECT = AnyValue("the project says whose it is")
_BY_IMAGE = AnyValue("the image is what counts: it was measured, and it takes nothing from a console or a disk")
_NOBODYS = AnyValue("Azure certifies no owner")


@dataclass(frozen=True, slots=True)
class GoogleCloud:
    """A VM of these projects, in these zones: one, several, or :class:`AnyValue` with a reason.

    A project is named by its id (text) or its number. A number is never given out again; an id can be.

    Raises:
        EvidenceError: an empty list, one value in place of a list, or a region or "any" in place of a zone: it would
            refuse everything by mistake.
    """

    project: str | int | tuple[str | int, ...] | AnyValue
    zones: tuple[str, ...] | AnyValue
    instance_ids: tuple[int, ...] | AnyValue = _BY_PROJECT
    instance_names: tuple[str, ...] | AnyValue = _BY_PROJECT
    oldest_firmware: int = OLDEST

    def __post_init__(self) -> None:
        for listed, kind in (("zones", str), ("instance_ids", int), ("instance_names", str)):
            _is_listed(getattr(self, listed), kind, f"policy.google.{listed}")
        many = self.project if isinstance(self.project, (tuple, AnyValue)) else (self.project,)
        _is_listed(many, (str, int), "policy.google.project")
        if () in (self.project, self.zones, self.instance_ids, self.instance_names):
            raise EvidenceError("policy.google", "a list of expected values is empty")
        for zone in self.zones if isinstance(self.zones, tuple) else ():
            if wrong := no_zone(zone):
                remedy = f'{wrong}; write zones=("us-central1-a",), or zones=AnyValue("reason") where any will do'
                raise FieldError("policy.google.zones", "zones", told(zone), remedy)
        require_number(self.oldest_firmware, "policy.google.oldest_firmware")

    @property
    def name(self) -> str:
        """What the policy is called."""
        project = self.project
        if isinstance(project, AnyValue):
            return "Google Cloud"
        return f"Google Cloud, project {', '.join(map(str, project if isinstance(project, tuple) else (project,)))}"

    @property
    def roots(self) -> Roots:
        """The makers' own."""
        return production_roots()

    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge what Google certified, and what its firmware claims."""
        _ = measurement
        cloud, tee = evidence.cloud, evidence.tee
        if not isinstance(cloud, GoogleAk) or tee is None:
            return _elsewhere(GCP, evidence, ledger)
        number, name = self._project(cloud)
        instance = GoogleInstance(
            project_number=number,
            project_id=name,
            zone=_stated(self.zones),
            instance_id=_stated(self.instance_ids),
            instance_name=_stated(self.instance_names),
        )
        firmware = GoogleFirmware(self.oldest_firmware)
        return instance.judge(cloud.instance, ledger) + firmware.judge(evidence.pcrs[0], tee.kind, ledger)

    def _project(self, cloud: GoogleAk) -> tuple[Stated, Stated]:
        """Return what is expected of the project's number and of its id."""
        wanted = self.project
        if isinstance(wanted, AnyValue):
            return wanted, wanted
        many = wanted if isinstance(wanted, tuple) else (wanted,)
        numbers = tuple([one for one in many if isinstance(one, int)])
        names = tuple([one for one in many if isinstance(one, str)])
        named = AnyValue("the policy names the project by its number"), AnyValue("the policy names it by its id")
        if names and (cloud.instance.project_number not in numbers or not numbers):
            return named[1], OneOf(names)
        return OneOf(numbers), named[0]


@dataclass(frozen=True, slots=True)
class AzureCloud:
    """A VM on Azure whose paravisor is known: the release names its launch measurement, or the policy its id key.

    ``id_key_digests`` are of keys that sign paravisors (SEV-SNP alone); without one the release has to name the
    measurement. "Any" paravisor is refused: it is in the trusted base (rule T5). The other fields are what the
    paravisor states about the VM; ``vm_ids`` in lower case.

    Raises:
        EvidenceError: something else than digests of 48 bytes, or the one of no key at all.
    """

    id_key_digests: tuple[bytes, ...] = ()
    vm_ids: tuple[str, ...] | AnyValue = _NOBODYS
    console_enabled: Stated = _BY_IMAGE
    secure_boot: Stated = _BY_IMAGE
    tpm_persisted: Stated = _BY_IMAGE
    root_thumbprint: Stated = _BY_IMAGE

    def __post_init__(self) -> None:
        digests = self.id_key_digests
        if not isinstance(digests, tuple) or any(not isinstance(d, bytes) or len(d) != ID_KEY_SIZE for d in digests):
            expected = f"a tuple of digests of {ID_KEY_SIZE} bytes (T5: the paravisor is never just any)"
            raise FieldError(
                "policy.azure.id_key_digests", expected, "something else", "write id_key_digests=(digest,)"
            )
        if bytes(ID_KEY_SIZE) in digests:  # what a report says that names no key
            expected, got = "digests of keys", "zero, the digest of no key (T5: any paravisor has it)"
            remedy = "remove it, or name the digest of the key that signed the paravisor"
            raise FieldError("policy.azure.id_key_digests", expected, got, remedy)
        _is_listed(self.vm_ids, str, "policy.azure.vm_ids")
        for stated in ("console_enabled", "secure_boot", "tpm_persisted", "root_thumbprint"):
            if not isinstance(getattr(self, stated), Stated):
                raise EvidenceError(f"policy.azure.{stated}", 'expected OneOf((value,)) or AnyValue("reason")')

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "Azure"

    @property
    def roots(self) -> Roots:
        """The makers' own."""
        return production_roots()

    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the paravisor, and what it states."""
        tee = evidence.tee
        if evidence.platform != AZURE or tee is None or tee.hcl is None:
            return _elsewhere(AZURE, evidence, ledger)
        machine = AzureVm(
            console_enabled=self.console_enabled,
            secure_boot=self.secure_boot,
            tpm_enabled=OneOf((True,)),
            tpm_persisted=self.tpm_persisted,
            vm_id=_stated(self.vm_ids),
            root_thumbprint=self.root_thumbprint,
        )
        return self._paravisor(tee, measurement, ledger) + machine.judge(tee.hcl, ledger)

    @keeps("T5.6")
    def _paravisor(self, tee: TeeFacts, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        measured = tee.launch_measurement
        key = tee.report.report.id_key_digest if isinstance(tee.report, SnpFacts) else b""
        return ledger.judge(
            "T5.6",
            "the paravisor is a known one: the release names its measurement, or the policy the key that signed it",
            expected=(*measurement.launch_measurements, *self.id_key_digests) or "a measurement in the release",
            got=Phrase(("measurement", measured, "and id key", key or "none")),
            condition=measured in measurement.launch_measurements or key in self.id_key_digests,
        )


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Takes no VM of a cloud: what :class:`Production` says about a cloud when only the other one is named.

    ``taken`` is that other one.
    """

    taken: str

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "not taken"

    @property
    def roots(self) -> Roots:
        """The makers' own."""
        return production_roots()

    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Refuse the VM."""
        _ = measurement
        return _elsewhere(self.taken, evidence, ledger)


@keeps("P5")
def _elsewhere(wanted: str, evidence: VerifiedEvidence, ledger: Ledger) -> tuple[Failure, ...]:
    got = evidence.platform if evidence.tee else f"{evidence.platform}, not confidential"
    what = "the VM is a confidential one on the cloud that the policy names"
    return ledger.judge("P5", what, expected=wanted, got=got, condition=False)


def no_zone(name: str) -> str:
    """Say why a name is not one of Google's zones, where that is known; else nothing."""
    if name.lower() in _ANYTHING:
        return "no zone is called so"
    return f"{name} is a region: name its zones, as {name}-a" if _REGION.fullmatch(name) else ""


def _is_listed(wanted: object, kinds: type | tuple[type, ...], where: str) -> None:
    if isinstance(wanted, AnyValue):
        return
    form = f'{where.rpartition(".")[2]}=(value,), or AnyValue("reason")'
    expected = 'a tuple of values, or AnyValue("reason")'
    require_all(wanted, kinds, where, expected=expected, remedy=f"write {form}")
    if bool in map(type, wanted):  # type: ignore[call-overload]
        raise FieldError(where, expected, "a truth", f"write {form}")


def _stated(wanted: tuple[str, ...] | tuple[int, ...] | AnyValue) -> Stated:
    return wanted if isinstance(wanted, AnyValue) else OneOf(tuple(wanted))
