"""Platform values v1: what a release needs to know of a cloud's firmware, and where each value comes from; signed.

No value of it follows from an image: what firmware claims (PCR 0), golden PCRs, ACPI tables, the variables of Secure
Boot, what the CPU measures of the firmware. Somebody observed or computed it, says so beside it, and signs the whole
with the publisher's key: a DSSE envelope around an in-toto statement, as a release is, of another predicate type.

A signature says who vouches. It does not make a value true: ``source`` says where it comes from. One kind of source is
not left to whoever fills the file in: a launch measurement that claims Google's endorsement is signed only where that
endorsement is at hand, is genuine and has it (``provisioner/endorsement``). Clients and releases see nothing of that.

``python -m provisioner.platform_values FILE --key publisher.key`` signs a file that holds the predicate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.dsse import Envelope, sign, signers
from client_sdk.encoding import canonical_json, from_base64, from_hex, strict_json, to_base64
from client_sdk.errors import AttestationError, EvidenceError
from client_sdk.evidence import AZURE, GCP
from client_sdk.fields import exact_keys, format_instant, instant, integer, items, text, version
from client_sdk.publisher import Publisher
from client_sdk.release import STATEMENT_TYPE
from provisioner.endorsement import (
    CLAIM,
    VerifiedEndorsement,
    parse_endorsement,
    read_root,
    require_vouched,
    verify_endorsement,
)
from provisioner.errors import Fault, MeasureError, ProvisionError, SpecError
from provisioner.keys import load
from provisioner.measure.boot import BOOT_PCR, DEVICE_PCR
from provisioner.measure.event import replay
from provisioner.measure.firmware import separator
from provisioner.measure.secure_boot import SecureBootVariables

VERSION = 1
PREDICATE_TYPE = "urn:vitrine:platform-values/v1"
TDX, SNP = "tdx", "snp"
VARIABLES = ("SecureBoot", "PK", "KEK", "db", "dbx")
GOLDEN = {GCP: (2, 3, 6), AZURE: (1, 2, 3)}  # PCR 6 has the VM's own id there
_LISTS = {"pcr0_allowed": (32,), "acpi_allowed": (32, 48), "launch_measurements": (48,)}
_KEYS = frozenset({"version", "platform", "tee", "date", "image_pcr", "golden", "variables", *_LISTS})
_SEPARATOR = replay((separator(3),))


@dataclass(frozen=True, slots=True)
class Sourced:
    """A value, and in words where it was taken from."""

    value: bytes
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformValues:
    """One firmware of one cloud, in one boot mode, on machines with one kind of CPU.

    ``golden`` are PCRs as firmware leaves them before the image; ``variables`` are SecureBoot, PK, KEK, db and dbx as
    it measures them, in this order; ``image_pcr`` is where it measures the disk's image. The lists are the release's.

    Raises:
        SpecError: something is missing, or no client would accept a release that states it; every fault is listed.
    """

    platform: str
    tee: str
    date: datetime
    image_pcr: int
    golden: tuple[tuple[int, Sourced], ...]
    variables: tuple[Sourced, ...]
    pcr0_allowed: tuple[Sourced, ...]
    acpi_allowed: tuple[Sourced, ...]
    launch_measurements: tuple[Sourced, ...]

    def __post_init__(self) -> None:
        if found := tuple(_faults(self)):
            raise SpecError(found)

    @property
    def secure_boot(self) -> SecureBootVariables:
        """The variables, read.

        Raises:
            MeasureError: they are not what firmware holds.
        """
        return SecureBootVariables(*(one.value for one in self.variables))

    def to_json(self) -> dict[str, Any]:
        """Return the predicate."""
        lists = {name: [_hex(one) for one in getattr(self, name)] for name in _LISTS}
        variables = zip(VARIABLES, self.variables, strict=True)
        return {
            "version": VERSION,
            "platform": self.platform,
            "tee": self.tee,
            "date": format_instant(self.date),
            "image_pcr": self.image_pcr,
            "golden": {str(pcr): _hex(one) for pcr, one in self.golden},
            "variables": {name: {"value": to_base64(one.value), "source": one.source} for name, one in variables},
            **lists,
        }


def sign_values(values: PlatformValues, keys: tuple[Ed25519PrivateKey, ...]) -> bytes:
    """Return the signed file."""
    return sign(_statement(values), keys)


def read_values(path: Path, publisher: Publisher, *, now: datetime) -> PlatformValues:
    """Return the values in a file that enough of the publisher's keys signed.

    Raises:
        SpecError: the file is missing, malformed, signed by others, dated after ``now``, or says what cannot be.
    """
    try:
        envelope = Envelope.from_json(path.read_bytes())
        signed = len(signers(envelope, publisher.public_keys))
        if signed < publisher.threshold:
            wanted = f"a file signed by {publisher.threshold} of {publisher.names}: check it, and sign it"
            raise _fault(path, wanted, f"{signed} of their signatures")
        values = _from_statement(envelope.payload)
    except OSError as error:
        raise _fault(path, "signed platform values", error.strerror or str(error)) from error
    except AttestationError as error:
        raise _fault(path, "signed platform values", str(error)) from error
    if values.date > now:
        raise _fault(path, f"a date up to {format_instant(now)}", format_instant(values.date))
    return values


def parse_values(data: bytes) -> PlatformValues:
    """Read the predicate alone, which nobody has signed yet.

    Raises:
        EvidenceError: it is malformed.
        SpecError: it says what cannot be.
    """
    return _from_predicate(strict_json(data))


def _statement(values: PlatformValues) -> bytes:
    return canonical_json(_wrapped(values.to_json()))


def _wrapped(predicate: dict[str, Any]) -> dict[str, Any]:
    name = f"{predicate['platform']}/{predicate['tee']}"
    digest = {"sha256": sha256(canonical_json(predicate)).hexdigest()}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": digest}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }


def _from_statement(payload: bytes) -> PlatformValues:
    top = exact_keys(strict_json(payload), frozenset({"_type", "subject", "predicateType", "predicate"}), "$")
    if (top["_type"], top["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise EvidenceError("$.predicateType", f"expected {PREDICATE_TYPE}; a release is something else")
    values = _from_predicate(top["predicate"])
    if top["subject"] != _wrapped(values.to_json())["subject"]:
        raise EvidenceError("$.subject", "does not name the predicate")
    return values


def _from_predicate(value: Any) -> PlatformValues:
    fields = exact_keys(value, _KEYS, "$")
    version(fields["version"], "$.version", VERSION)
    platform = text(fields["platform"], "$.platform", limit=32)
    if platform not in GOLDEN:
        raise EvidenceError("$.platform", f"expected one of {', '.join(GOLDEN)}")
    golden = exact_keys(fields["golden"], frozenset(map(str, GOLDEN[platform])), "$.golden")
    variables = exact_keys(fields["variables"], frozenset(VARIABLES), "$.variables")
    return PlatformValues(
        platform=platform,
        tee=text(fields["tee"], "$.tee", limit=8),
        date=instant(fields["date"], "$.date"),
        image_pcr=integer(fields["image_pcr"], "$.image_pcr", high=7),
        golden=tuple((pcr, _digest(golden[str(pcr)], f"$.golden.{pcr}", (32,))) for pcr in GOLDEN[platform]),
        variables=tuple(_variable(variables[name], f"$.variables.{name}") for name in VARIABLES),
        **{name: _listed(fields[name], f"$.{name}", sizes) for name, sizes in _LISTS.items()},
    )


def _listed(value: Any, where: str, sizes: tuple[int, ...]) -> tuple[Sourced, ...]:
    return tuple(_digest(item, f"{where}[{i}]", sizes) for i, item in enumerate(items(value, where, limit=256)))


def _digest(value: Any, where: str, sizes: tuple[int, ...]) -> Sourced:
    fields = exact_keys(value, frozenset({"value", "source"}), where)
    digest = from_hex(fields["value"], f"{where}.value")
    if len(digest) not in sizes:
        raise EvidenceError(f"{where}.value", f"expected {' or '.join(map(str, sizes))} bytes, got {len(digest)}")
    return Sourced(digest, text(fields["source"], f"{where}.source"))


def _variable(value: Any, where: str) -> Sourced:
    fields = exact_keys(value, frozenset({"value", "source"}), where)
    return Sourced(from_base64(fields["value"], f"{where}.value"), text(fields["source"], f"{where}.source"))


def _hex(one: Sourced) -> dict[str, str]:
    return {"value": one.value.hex(), "source": one.source}


def _faults(values: PlatformValues) -> Iterator[Fault]:
    if values.tee not in (TDX, SNP):
        yield Fault("tee", f"{TDX} or {SNP}", repr(values.tee))
    if values.image_pcr not in (BOOT_PCR, DEVICE_PCR):
        yield Fault(
            "image_pcr", f"{BOOT_PCR} or {DEVICE_PCR}, as an event log of the platform shows", str(values.image_pcr)
        )
    yield from _sources(values)
    for name in ("pcr0_allowed", "launch_measurements"):
        if not getattr(values, name):
            yield Fault(name, "at least one value: clients refuse a release that pins none", "none")
    for name in _LISTS:
        listed = [one.value for one in getattr(values, name)]
        if len(set(listed)) != len(listed):
            yield Fault(name, "each value once", "one of them twice")
    yield from _acpi_faults(values)
    for pcr, golden in values.golden:
        if values.platform == GCP and golden.value != _SEPARATOR:
            wanted = f"the separator alone, {_SEPARATOR.hex()}: else something ran before the image (rule L9)"
            yield Fault(f"golden.{pcr}", wanted, golden.value.hex())
    try:
        _ = values.secure_boot
    except MeasureError as error:
        yield Fault("variables", "five variables as firmware holds them", str(error))


def _sources(values: PlatformValues) -> Iterator[Fault]:
    named = [(f"golden.{pcr}", one) for pcr, one in values.golden]
    named += [(f"variables.{name}", one) for name, one in zip(VARIABLES, values.variables, strict=True)]
    named += [(f"{name}[{i}]", one) for name in _LISTS for i, one in enumerate(getattr(values, name))]
    for where, one in named:
        if not one.source.strip():
            yield Fault(f"{where}.source", "where the value comes from", "nothing")


def _acpi_faults(values: PlatformValues) -> Iterator[Fault]:
    sizes = {len(one.value) for one in values.acpi_allowed}
    if values.platform == AZURE and sizes:
        yield Fault("acpi_allowed", "none: Azure gives no log, PCR 1 has a golden value", f"{len(values.acpi_allowed)}")
    due = {GCP: {32, 48} if values.tee == TDX else {32}}.get(values.platform, set())
    if missing := due - sizes:
        wanted = "what PCR 1 may hold as SHA-256, on TDX also what RTMR0 may hold as SHA-384"
        yield Fault("acpi_allowed", wanted, f"no value of {' or '.join(map(str, sorted(missing)))} bytes")


def _fault(path: Path, expected: str, got: str) -> SpecError:
    return SpecError((Fault(str(path), expected, got),))


def main(arguments: list[str] | None = None) -> int:
    """Print the signed form of a file; return 0, or 1 with the reason on standard error."""
    options = parser().parse_args(arguments)
    now = datetime.now(UTC)
    try:
        values = parse_values(options.file.read_bytes())
        if values.date > now:
            raise _fault(options.file, "a date that is not in the future", format_instant(values.date))
        require_vouched([(one.value, one.source) for one in values.launch_measurements], _endorsements(options, now))
        sys.stdout.buffer.write(sign_values(values, (load(options.key),)) + b"\n")
    except (OSError, AttestationError, ProvisionError) as error:
        sys.stderr.write(f"platform values: {error}\n")
        return 1
    _remark(values)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="python -m provisioner.platform_values", description="Sign platform values.")
    made.add_argument("file", type=Path, help="JSON: the predicate")
    made.add_argument("--key", type=Path, required=True, help="the publisher's private key, PEM")
    made.add_argument(
        "--endorsement", metavar="FILE", type=Path, action="append", default=[], help="Google's, that a source names"
    )
    made.add_argument("--root", metavar="CERT", type=Path, help="Google's root, which you trust; for --endorsement")
    return made


def _endorsements(options: argparse.Namespace, now: datetime) -> tuple[VerifiedEndorsement, ...]:
    if not options.endorsement:
        return ()
    if options.root is None:
        raise SpecError((Fault("--root", "Google's root certificate, which vouches for --endorsement", "nothing"),))
    root = read_root(options.root.read_bytes())
    return tuple(
        verify_endorsement(parse_endorsement(path.read_bytes()), root, now=now) for path in options.endorsement
    )


def _remark(values: PlatformValues) -> None:
    """Say which firmware of Google's is taken without Google's word for it."""
    for i, one in enumerate(values.launch_measurements):
        if values.platform == GCP and not one.source.startswith(CLAIM):
            sys.stderr.write(
                f"platform values: note: launch_measurements[{i}] is not from an endorsement of Google's\n"
            )


if __name__ == "__main__":
    sys.exit(main())
