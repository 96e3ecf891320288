"""Release v1: what a published image must measure, signed by the publisher (protocol.md, "Manifest and release").

A :class:`Release` that came out of :func:`verify_release` was signed by keys that the caller pinned. That proves who
published it, not that what it names is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from client_sdk.binding import LOCKDOWN, RUNTIME_TYPES
from client_sdk.dsse import Envelope, key_id, signers
from client_sdk.encoding import canonical_json, from_base64, from_hex, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.evidence import AZURE
from client_sdk.fields import exact_keys, format_instant, instant, integer, items, mapping, text, version
from client_sdk.given import require_bytes, require_instant
from client_sdk.publisher import Publisher, require_publisher
from client_sdk.report import Ledger
from client_sdk.rules import keeps

VERSION = 1
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:vitrine:release/v1"
UNPINNED = "unpinned"
EXACT_PCRS = (2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14)
"""PCRs that a measurement states exactly; 0 has a list, 1 a grammar, 15 a template."""
WITHOUT_LOG = (1, *[index for index in EXACT_PCRS if index != 6])
"""The same where there is no event log (Azure): no grammar is judged there, so PCR 1 has a golden value too. PCR 6 has
each VM's own id in it there, which is no matter of a release (rule L6.pcr6)."""
_ACPI_SIZES = (32, 48)
_TUPLES = ("pcrs", "rtmrs", "pcr0_allowed", "acpi_allowed", "launch_measurements", "phases", "pcr15_template")
_OPEN_EVENTS = ("tls-spki", "gpu")  # they differ from boot to boot, or from VM to VM

_PREDICATE_KEYS = frozenset(
    {"version", "number", "not_before", "not_after", "supersedes", "revokes"}
    | {"service", "manifest_sha256", "measurements"}
)
_MEASUREMENT_KEYS = frozenset(
    {"platform", "boot_mode", "image", "pcrs", "pcr0_allowed", "acpi_allowed", "rtmrs"}
    | {"launch_measurements", "phases", "pcr15_template"}
)


@dataclass(frozen=True, slots=True)
class TemplateEvent:
    """One event that PCR 15 must hold; ``data`` is None where it differs from boot to boot (TLS key, GPU evidence).

    Raises:
        EvidenceError: None for another event, or a value that is no bytes.
    """

    kind: str
    data: bytes | None

    def __post_init__(self) -> None:
        if self.data is None and self.kind not in _OPEN_EVENTS:
            raise EvidenceError(f"pcr15_template.{self.kind}", f"only {' and '.join(_OPEN_EVENTS)} may be null")
        if not (self.data is None or isinstance(self.data, bytes)):
            raise EvidenceError(f"pcr15_template.{self.kind}", f"expected bytes, got {type(self.data).__name__}")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the image measures on one platform in one boot mode.

    ``image_pcr`` and ``image_authenticode`` name the UKI's load event (rule L10). An empty ``pcr0_allowed`` or
    ``acpi_allowed`` means ``unpinned``, which production refuses. ``acpi_allowed`` are observed, not predicted: SHA-256
    of the ACPI tables and all else in PCR 1 but separators, on TDX also SHA-384 of that in RTMR0 (rule T9.12).
    ``launch_measurements`` are SEV-SNP's or MRTD, one of which the CPU must have measured.

    Raises:
        EvidenceError: a PCR or a run-time event is left out: what a release does not name, nobody would compare; or a
            field is not a tuple of values of its size.
    """

    platform: str
    boot_mode: str
    image_pcr: int
    image_authenticode: bytes
    pcrs: tuple[tuple[int, bytes], ...]
    pcr0_allowed: tuple[bytes, ...]
    phases: tuple[str, ...]
    pcr15_template: tuple[TemplateEvent, ...]
    rtmrs: tuple[tuple[int, bytes], ...] = ()
    launch_measurements: tuple[bytes, ...] = ()
    acpi_allowed: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        for name in _TUPLES:
            if not isinstance(getattr(self, name), tuple):  # what can be used up or changed would compare nothing
                raise EvidenceError(f"measurement.{name}", "expected a tuple")
        exact = WITHOUT_LOG if self.platform == AZURE else EXACT_PCRS
        if tuple([index for index, _ in self.pcrs]) != exact:
            raise EvidenceError("measurement.pcrs", f"expected PCRs {', '.join(map(str, exact))}, in this order")
        if tuple([event.kind for event in self.pcr15_template]) != RUNTIME_TYPES:
            raise EvidenceError("measurement.pcr15_template", f"expected the events {', '.join(RUNTIME_TYPES)}")
        _require_sizes("image_authenticode", (self.image_authenticode,), (32,))
        _require_sizes("pcrs", [value for _, value in self.pcrs], (32,))
        _require_sizes("rtmrs", [value for _, value in self.rtmrs], (48,))
        _require_sizes("pcr0_allowed", self.pcr0_allowed, (32,))
        _require_sizes("acpi_allowed", self.acpi_allowed, _ACPI_SIZES)
        _require_sizes("launch_measurements", self.launch_measurements, (48,))

    @property
    def is_debug(self) -> bool:
        """Tell whether the image does not promise the whole lock-down: rule P9 refuses it."""
        return (self.pcr15_template[0].kind, self.pcr15_template[0].data) != ("lockdown", LOCKDOWN)


@dataclass(frozen=True, slots=True)
class Release:
    """The predicate of a release statement."""

    number: int
    not_before: datetime
    not_after: datetime
    supersedes: int | None
    revokes: tuple[int, ...]
    service: str
    manifest_sha256: bytes
    measurements: tuple[Measurement, ...]

    def to_statement(self) -> bytes:
        """Serialise as an in-toto Statement v1, canonical JSON: the bytes that get signed."""
        subject = {"name": self.service, "digest": {"sha256": self.manifest_sha256.hex()}}
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [subject],
                "predicateType": PREDICATE_TYPE,
                "predicate": self._predicate(),
            }
        )

    def _predicate(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "number": self.number,
            "not_before": format_instant(self.not_before),
            "not_after": format_instant(self.not_after),
            "supersedes": self.supersedes,
            "revokes": list(self.revokes),
            "service": self.service,
            "manifest_sha256": self.manifest_sha256.hex(),
            "measurements": [_measurement_to_dict(item) for item in self.measurements],
        }


def read_release(data: bytes) -> Release:
    """Decode a release. Nothing is verified: this is for showing it, and for signing it.

    Raises:
        EvidenceError: it is malformed, or something else.
        VerificationError: R1, it is an envelope of something else.
    """
    require_bytes(data, "release")
    return _from_statement(Envelope.from_json(data).payload)


@keeps("R1")
def open_release(data: bytes, publisher: Publisher, *, ledger: Ledger | None = None) -> Release:
    """Return the release when enough of the publisher's keys signed these exact bytes.

    (1) R1: the threshold of pinned keys signed the payload.
    (2) F1: the payload is a release v1 and nothing else.

    It says nothing about dates: clients use :func:`verify_release`.

    Raises:
        EvidenceError: the file is malformed.
        VerificationError: R1.
    """
    envelope = Envelope.from_json(data)  # (2), in part
    found = signers(envelope, publisher.public_keys)
    (ledger or Ledger()).holds(  # (1)
        "R1",
        "the release is signed by the publisher that you pinned (else get the publisher's key from the publisher, and "
        "the release that belongs to it)",
        expected=f"{publisher.threshold} of {publisher.names}",
        got=tuple([key_id(key) for key in found]) or "no valid signature of theirs",
        condition=len(found) >= publisher.threshold,
    )
    return _from_statement(envelope.payload)  # (2)


def verify_release(data: bytes, publisher: Publisher, *, now: datetime, ledger: Ledger | None = None) -> Release:
    """Return the release when the publisher signed it (R1) and ``now`` is in its window (R6).

    It does not prove that the release is the newest one, nor that it was logged (rules R2, R3).

    Raises:
        EvidenceError: the file is malformed, or an argument is of another type.
        VerificationError: R1 or R6.
    """
    require_bytes(data, "release")
    require_publisher(publisher)
    require_instant(now, "now")
    recorded = ledger or Ledger()
    release = open_release(data, publisher, ledger=recorded)
    verify_dates(release, now=now, ledger=recorded)
    return release


@keeps("R6")
def verify_dates(release: Release, *, now: datetime, ledger: Ledger) -> None:
    """Check that an instant is inside the dates of a release.

    Raises:
        VerificationError: R6.
    """
    ledger.holds(
        "R6",
        f"the release is inside its dates (release {release.number}; {_outside(release, now)})",
        expected=f"{format_instant(release.not_before)} to {format_instant(release.not_after)}",
        got=format_instant(now),
        condition=release.not_before <= now < release.not_after,
    )


def _outside(release: Release, now: datetime) -> str:
    """Say what to do where an instant is not in a release's dates."""
    if now < release.not_before:
        return "it is not in force yet: check this machine's clock, or give the release that is"
    return "else ask for a newer one"


def _from_statement(payload: bytes) -> Release:
    keys = frozenset({"_type", "subject", "predicateType", "predicate"})
    top = exact_keys(strict_json(payload), keys, "$")
    for key, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if top[key] != wanted:
            raise EvidenceError(f"$.{key}", f"expected {wanted}")
    release = _from_predicate(top["predicate"], "$.predicate")
    subject = {"name": release.service, "digest": {"sha256": release.manifest_sha256.hex()}}
    if top["subject"] != [subject]:
        raise EvidenceError("$.subject", "does not name the predicate's service and manifest")
    return release


def _from_predicate(value: Any, where: str) -> Release:
    fields = exact_keys(value, _PREDICATE_KEYS, where)
    version(fields["version"], f"{where}.version", VERSION)
    supersedes = fields["supersedes"]
    revokes = items(fields["revokes"], f"{where}.revokes", limit=10_000)
    measurements = items(fields["measurements"], f"{where}.measurements", limit=64)
    return Release(
        number=integer(fields["number"], f"{where}.number", low=1),
        not_before=instant(fields["not_before"], f"{where}.not_before"),
        not_after=instant(fields["not_after"], f"{where}.not_after"),
        supersedes=None if supersedes is None else integer(supersedes, f"{where}.supersedes", low=1),
        revokes=tuple(integer(item, f"{where}.revokes[{i}]", low=1) for i, item in enumerate(revokes)),
        service=text(fields["service"], f"{where}.service", limit=128),
        manifest_sha256=from_hex(fields["manifest_sha256"], f"{where}.manifest_sha256", size=32),
        measurements=tuple(
            _measurement_from(item, f"{where}.measurements[{i}]") for i, item in enumerate(measurements)
        ),
    )


def _require_sizes(name: str, values: Iterable[object], sizes: tuple[int, ...]) -> None:
    if any(not isinstance(value, bytes) or len(value) not in sizes for value in values):
        raise EvidenceError(f"measurement.{name}", f"expected {' or '.join(map(str, sizes))} bytes each")


def _measurement_to_dict(item: Measurement) -> dict[str, Any]:
    return {
        "platform": item.platform,
        "boot_mode": item.boot_mode,
        "image": {"pcr": item.image_pcr, "authenticode": item.image_authenticode.hex()},
        "pcrs": {str(index): value.hex() for index, value in item.pcrs},
        "pcr0_allowed": [value.hex() for value in item.pcr0_allowed] or [UNPINNED],
        "acpi_allowed": [value.hex() for value in item.acpi_allowed] or [UNPINNED],
        "rtmrs": {str(index): value.hex() for index, value in item.rtmrs},
        "launch_measurements": [value.hex() for value in item.launch_measurements],
        "phases": list(item.phases),
        "pcr15_template": [
            {"type": event.kind, "data": None if event.data is None else to_base64(event.data)}
            for event in item.pcr15_template
        ],
    }


def _measurement_from(value: Any, where: str) -> Measurement:
    fields = exact_keys(value, _MEASUREMENT_KEYS, where)
    image = exact_keys(fields["image"], frozenset({"pcr", "authenticode"}), f"{where}.image")
    phases = items(fields["phases"], f"{where}.phases", limit=16)
    launch = items(fields["launch_measurements"], f"{where}.launch_measurements", limit=64)
    platform = text(fields["platform"], f"{where}.platform", limit=32)
    return Measurement(
        platform=platform,
        boot_mode=text(fields["boot_mode"], f"{where}.boot_mode", limit=32),
        image_pcr=integer(image["pcr"], f"{where}.image.pcr", high=7),
        image_authenticode=from_hex(image["authenticode"], f"{where}.image.authenticode", size=32),
        pcrs=_pcrs_from(fields["pcrs"], f"{where}.pcrs", WITHOUT_LOG if platform == AZURE else EXACT_PCRS),
        pcr0_allowed=_list_from(fields["pcr0_allowed"], f"{where}.pcr0_allowed", (32,)),
        acpi_allowed=_list_from(fields["acpi_allowed"], f"{where}.acpi_allowed", _ACPI_SIZES),
        rtmrs=_rtmrs_from(fields["rtmrs"], f"{where}.rtmrs"),
        launch_measurements=tuple(
            from_hex(item, f"{where}.launch_measurements[{i}]", size=48) for i, item in enumerate(launch)
        ),
        phases=tuple(text(item, f"{where}.phases[{i}]", limit=64) for i, item in enumerate(phases)),
        pcr15_template=_template_from(fields["pcr15_template"], f"{where}.pcr15_template"),
    )


def _pcrs_from(value: Any, where: str, exact: tuple[int, ...]) -> tuple[tuple[int, bytes], ...]:
    fields = exact_keys(value, frozenset(str(index) for index in exact), where)
    return tuple((index, from_hex(fields[str(index)], f"{where}.{index}", size=32)) for index in exact)


def _list_from(value: Any, where: str, sizes: tuple[int, ...]) -> tuple[bytes, ...]:
    found = items(value, where, limit=256)
    if found == [UNPINNED]:
        return ()
    if not found:
        raise EvidenceError(where, f'the list is empty; write ["{UNPINNED}"] where nothing is pinned')
    return tuple(_digest(item, f"{where}[{i}]", sizes) for i, item in enumerate(found))


def _digest(value: Any, where: str, sizes: tuple[int, ...]) -> bytes:
    digest = from_hex(value, where)
    if len(digest) not in sizes:
        raise EvidenceError(where, f"expected {' or '.join(map(str, sizes))} bytes of hex, got {len(digest)}")
    return digest


def _rtmrs_from(value: Any, where: str) -> tuple[tuple[int, bytes], ...]:
    fields = mapping(value, where, limit=4)
    if not fields.keys() <= {"0", "1", "2", "3"}:
        raise EvidenceError(where, "expected keys 0 to 3")
    return tuple((int(key), from_hex(fields[key], f"{where}.{key}", size=48)) for key in sorted(fields))


def _template_from(value: Any, where: str) -> tuple[TemplateEvent, ...]:
    events = []
    for i, item in enumerate(items(value, where, limit=16)):
        fields = exact_keys(item, frozenset({"type", "data"}), f"{where}[{i}]")
        data = fields["data"]
        kind = text(fields["type"], f"{where}[{i}].type", limit=64)
        events.append(TemplateEvent(kind, None if data is None else from_base64(data, f"{where}[{i}].data")))
    if tuple(event.kind for event in events) != RUNTIME_TYPES:
        raise EvidenceError(where, f"expected the events {', '.join(RUNTIME_TYPES)} in this order")
    return tuple(events)
