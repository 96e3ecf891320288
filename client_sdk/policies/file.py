"""A policy as a file (TOML): the same objects as in code, with strict keys; every fault is reported at once (rule R4).

The file says what to accept, never whom to trust: roots, publisher and simulated platforms are not in it.
docs/policy.md describes every table.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from client_sdk.ages import Ages
from client_sdk.clauses.expected import AnyValue, OneOf, Setting, Stated
from client_sdk.clauses.nvidia import MODES, AnyDevice, Count
from client_sdk.clauses.snp import CHIP_SIZES, SnpDenyList, SnpRevocation
from client_sdk.clauses.tdx import PPID_SIZE, CrlFloor, DenyList, EvaluationFloor, Grace
from client_sdk.encoding import from_hex
from client_sdk.errors import EvidenceError, Failure, PolicyError
from client_sdk.evidence import MAX_GPUS
from client_sdk.fields import instant, integer, items, text
from client_sdk.parse.snp import FirmwareVersion, Product, Tcb
from client_sdk.policies.cloud import AzureCloud, GoogleCloud
from client_sdk.policies.compose import AnyOf
from client_sdk.policies.gpu import NvidiaGpu
from client_sdk.policies.interface import Policy
from client_sdk.policies.production import ANY_GPUS, ANYBODYS, Production
from client_sdk.policies.release import MatchesRelease, MaxAge
from client_sdk.policies.tee import MIN_FIRMWARE, CloudVouchedBoot, SevSnp, Tdx
from client_sdk.policies.unsafe import UnsafeUnpinned, UnsafeWithoutRevocation
from client_sdk.roots import Roots, production_roots
from client_sdk.rules import keeps

VERSION = 1
MAX_FILE, MAX_LIST, MAX_ALTERNATIVES = 256 * 1024, 1024, 16
MAX_DAYS = 3650
DEVICE_SIZE = 32
_COMPONENTS = ("fmc", "bootloader", "tee", "snp", "microcode")
Value = TypeVar("Value")
Read = Callable[[Any, str], Value]


def load_policy(path: Path | str, *, roots: Roots | None = None) -> Policy:
    """Read a policy from a file; ``roots`` are the makers' own unless they are given.

    Raises:
        PolicyError: R4, with every fault in the file.
    """
    return read_policy(_bytes(Path(path)), roots=roots)


@keeps("R4")
def read_policy(data: bytes, *, roots: Roots | None = None) -> Policy:
    """Read a policy from the bytes of a file.

    Raises:
        PolicyError: R4, with every fault.
    """
    faults: list[Failure] = []
    if len(data) > MAX_FILE:
        raise PolicyError((Failure("R4: the policy's size", f"at most {MAX_FILE} bytes", str(len(data))),))
    try:
        top = _Table(tomllib.loads(data.decode("utf-8")), "", faults)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, which Python refuses
        raise PolicyError((Failure("R4: the policy is TOML", "TOML 1.0 in UTF-8", str(error)),)) from error
    top.need("version", lambda value, where: integer(value, where, low=VERSION, high=VERSION), VERSION)
    anchors = roots or production_roots()
    many = top.tables("any_of")
    if many:
        found: Policy = AnyOf(tuple([_production(table, anchors) for table in many]))
        top.done()
    else:
        found = _production(top, anchors)
    if faults:
        raise PolicyError(tuple(faults))
    return found


class _Table:
    """One table that is being read: what is wrong with it is collected, and what nobody asked for is wrong too."""

    def __init__(self, fields: Mapping[str, Any], where: str, faults: list[Failure]) -> None:
        self._fields, self._where, self._faults, self._known = fields, where, faults, {"name"} if where else set()

    def _place(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    @keeps("R4")
    def fault(self, where: str, message: str) -> None:
        self._faults.append(Failure(f"R4: {where}", "what docs/policy.md describes", message))

    def get(self, name: str, read: Read[Value], default: Value) -> Value:
        """Return a field, or the default where it is missing or wrong; a wrong one is a fault."""
        self._known.add(name)
        if name not in self._fields:
            return default
        try:
            return read(self._fields[name], self._place(name))
        except EvidenceError as error:
            self.fault(error.where, str(error))
            return default

    def need(self, name: str, read: Read[Value], default: Value) -> Value:
        """Return a field that has to be there."""
        if name not in self._fields:
            self._known.add(name)
            self.fault(self._place(name), "missing")
            return default
        return self.get(name, read, default)

    def has(self, name: str) -> object:
        self._known.add(name)
        return name in self._fields

    def table(self, name: str) -> _Table:
        """Return a table inside; a missing one is empty."""
        empty: dict[str, Any] = {}
        value = self.get(name, _mapping, empty)
        return _Table(value, self._place(name), self._faults)

    def tables(self, name: str) -> tuple[_Table, ...]:
        """Return a list of tables."""
        none: tuple[dict[str, Any], ...] = ()
        found = self.get(name, _tables, none)
        return tuple([_Table(value, f"{self._place(name)}[{i}]", self._faults) for i, value in enumerate(found)])

    def done(self) -> None:
        """Report the fields that nobody asked for."""
        for name in sorted(self._fields.keys() - self._known):
            self.fault(self._place(name)[:128], "unknown key")


def _production(table: _Table, roots: Roots) -> Production:
    ages = _ages(table.table("max_age_days"))
    policy = Production(
        google=_google(table.table("google")) if table.has("google") else None,
        azure=_azure(table.table("azure")) if table.has("azure") else None,
        snp=_snp(table.table("sev_snp")),
        tdx=_tdx(table.table("tdx")),
        gpu=_nvidia(table.table("nvidia")),
        release=MatchesRelease(table.get("unsafe_unpinned", _unpinned, None)),
        max_age=MaxAge(ages),
        roots=replace(roots, ages=ages.shortest(roots.ages)),
        label=table.get("name", lambda value, where: text(value, where, limit=64), "production"),
    )
    table.done()
    return policy


def _google(table: _Table) -> GoogleCloud:
    default = ANYBODYS
    found = GoogleCloud(
        project=table.need("project", _projects, default.project),
        zones=table.need("zones", _any_or(_texts), default.zones),
        instance_ids=table.get("instance_ids", _numbers, default.instance_ids),
        instance_names=table.get("instance_names", _texts, default.instance_names),
        oldest_firmware=table.get("oldest_firmware", lambda v, w: integer(v, w, low=2, high=64), 2),
    )
    table.done()
    return found


def _azure(table: _Table) -> AzureCloud:
    default = AzureCloud()
    found = AzureCloud(
        id_key_digests=table.get("id_key_digests", _digests(48), ()),
        vm_ids=table.get("vm_ids", _lower, default.vm_ids),
        console_enabled=table.get("console_enabled", _flag, default.console_enabled),
        secure_boot=table.get("secure_boot", _flag, default.secure_boot),
        tpm_persisted=table.get("tpm_persisted", _flag, default.tpm_persisted),
    )
    table.done()
    return found


def _snp(table: _Table) -> SevSnp:
    default = SevSnp()
    floors, number = table.table("min_tcb"), table.get("min_crl_number", integer, 0)
    unsafe = table.get("unsafe_without_revocation", _without_revocation, None)
    found = SevSnp(
        min_tcb={product: _tcb(floors, product, floor) for product, floor in default.min_tcb.items()},
        min_firmware=table.get("min_firmware", _firmware, default.min_firmware),
        boot=table.get("cloud_vouched_boot", _vouched, default.boot),
        revocation=unsafe or SnpRevocation(required=True, highest_seen=number),
        deny=SnpDenyList(table.get("deny_chips", _hex_set(*CHIP_SIZES), frozenset()), frozenset(), frozenset()),
        smt=table.get("smt", _setting, default.smt),
        single_socket=table.get("single_socket", _setting, default.single_socket),
        alias_check=table.get("alias_check", _setting, default.alias_check),
        ciphertext_hiding=table.get("ciphertext_hiding", _setting, default.ciphertext_hiding),
    )
    floors.done()
    table.done()
    return found


def _tcb(floors: _Table, product: Product, floor: Tcb) -> Tcb:
    """Read a product line's floor; a component that is not named keeps the client's."""
    inner = floors.table(product.value.lower())
    levels = {name: inner.get(name, _raised(getattr(floor, name)), getattr(floor, name)) for name in _COMPONENTS}
    inner.done()
    return Tcb(**levels)


def _tdx(table: _Table) -> Tdx:
    default = Tdx()
    graces = [grace for inner in table.tables("grace") if (grace := _grace(inner)) is not None]
    evaluation = EvaluationFloor(
        tcb_info=table.get(
            "min_tcb_evaluation", _raised(default.evaluation.tcb_info, 2**32), default.evaluation.tcb_info
        ),
        qe_identity=table.get(
            "min_qe_evaluation", _raised(default.evaluation.qe_identity, 2**32), default.evaluation.qe_identity
        ),
    )
    revocation = CrlFloor(table.get("min_pck_crl_number", integer, 0), table.get("min_root_crl_number", integer, 0))
    deny = DenyList(table.get("deny_ppids", _hex_set(PPID_SIZE), frozenset()))
    table.done()
    return Tdx(accepted_tcb=tuple(graces), evaluation=evaluation, revocation=revocation, deny=deny)


def _grace(table: _Table) -> Grace | None:
    status, until = table.need("status", text, ""), table.need("until", instant, None)
    table.done()
    if not status or until is None:
        return None
    try:
        return Grace(status, until)
    except ValueError as error:
        table.fault("tdx.grace", str(error))
        return None


def _nvidia(table: _Table) -> NvidiaGpu:
    default = ANY_GPUS
    found = NvidiaGpu(
        count=table.get("count", _count, default.count),
        devices=table.get("devices", _hex_set(DEVICE_SIZE), None) or AnyDevice(),
        modes=table.get("modes", _modes, default.modes),
        revocation=table.get("unsafe_without_revocation", _without_revocation, None),
    )
    table.done()
    return found


def _ages(table: _Table) -> Ages:
    default = Ages()
    found = {name: table.get(name, _days, getattr(default, name)) for name in Ages.__dataclass_fields__}
    table.done()
    return Ages(**found)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EvidenceError(where, "not a table")
    return value


def _tables(value: Any, where: str) -> tuple[dict[str, Any], ...]:
    found = items(value, where, limit=MAX_ALTERNATIVES)
    if not found:
        raise EvidenceError(where, "an empty list: leave it out")
    return tuple([_mapping(item, f"{where}[{i}]") for i, item in enumerate(found)])


def _texts(value: Any, where: str) -> tuple[str, ...]:
    found = _filled([value] if isinstance(value, str) else value, where)
    return tuple([text(item, f"{where}[{i}]", limit=256) for i, item in enumerate(found)])


def _lower(value: Any, where: str) -> tuple[str, ...]:
    return tuple([one.lower() for one in _texts(value, where)])


def _numbers(value: Any, where: str) -> tuple[int, ...]:
    found = _filled([value] if isinstance(value, int) else value, where)
    return tuple([integer(item, f"{where}[{i}]", high=2**64 - 1) for i, item in enumerate(found)])


def _projects(value: Any, where: str) -> tuple[str | int, ...] | AnyValue:
    if isinstance(value, dict):
        return _anything(value, where)
    found = _filled(value if isinstance(value, list) else [value], where)
    return tuple([_texts(item, where)[0] if isinstance(item, str) else _numbers(item, where)[0] for item in found])


def _any_or(read: Read[tuple[str, ...]]) -> Read[tuple[str, ...] | AnyValue]:
    return lambda value, where: _anything(value, where) if isinstance(value, dict) else read(value, where)


def _anything(value: dict[str, Any], where: str) -> AnyValue:
    """Read ``{ any = "the reason" }``."""
    if value.keys() != {"any"}:
        raise EvidenceError(where, 'expected values, or { any = "a reason" }')
    return AnyValue(text(value["any"], f"{where}.any"))


def _filled(value: Any, where: str) -> list[Any]:
    found = items(value, where, limit=MAX_LIST)
    if not found:
        raise EvidenceError(where, "an empty list takes nothing; leave it out")
    return found


def _digests(size: int) -> Read[tuple[bytes, ...]]:
    return lambda value, where: tuple(
        [from_hex(item, f"{where}[{i}]", size=size) for i, item in enumerate(_filled(value, where))]
    )


def _hex_set(*sizes: int) -> Read[frozenset[bytes]]:
    """Read ids of one of these sizes, in bytes: an id of another size names nothing, and so denies nothing."""

    def read(value: Any, where: str) -> frozenset[bytes]:
        found = frozenset([from_hex(item, f"{where}[{i}]") for i, item in enumerate(_filled(value, where))])
        if wrong := sorted({len(one) for one in found} - set(sizes)):
            raise EvidenceError(where, f"expected ids of {' or '.join(map(str, sizes))} bytes in hex, got {wrong[0]}")
        return found

    return read


def _flag(value: Any, where: str) -> Stated:
    if not isinstance(value, bool):
        raise EvidenceError(where, "neither true nor false")
    return OneOf((value,))


def _setting(value: Any, where: str) -> Setting:
    if value not in [setting.value for setting in Setting]:
        raise EvidenceError(where, "not required, forbidden or either")
    return Setting(value)


def _raised(floor: int, most: int = 255) -> Read[int]:
    """Read a floor: a file raises the client's own and never lowers it, for that would need a reason."""
    return lambda value, where: integer(value, where, low=floor, high=most)


def _firmware(value: Any, where: str) -> FirmwareVersion:
    parts = text(value, where, limit=16).split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and int(part) <= 255 for part in parts):
        raise EvidenceError(where, "not three numbers from 0 to 255 with dots between")
    version = FirmwareVersion(*map(int, parts))
    if version < MIN_FIRMWARE:
        raise EvidenceError(where, f"below the client's floor, {'.'.join(map(str, MIN_FIRMWARE))}")
    return version


def _count(value: Any, where: str) -> int | Count:
    if not isinstance(value, dict):
        return integer(value, where, high=MAX_GPUS)
    if value.keys() != {"fewest", "most"}:
        raise EvidenceError(where, "expected a number, or { fewest = …, most = … }")
    fewest = integer(value["fewest"], f"{where}.fewest", high=MAX_GPUS)
    return Count(fewest, integer(value["most"], f"{where}.most", low=fewest, high=MAX_GPUS))


def _modes(value: Any, where: str) -> frozenset[str]:
    found = frozenset(_texts(value, where))
    if unknown := sorted(found - set(MODES.values())):
        raise EvidenceError(where, f"{unknown[0]!r} is not one of {', '.join(MODES.values())}")
    return found


def _days(value: Any, where: str) -> timedelta:
    return timedelta(days=integer(value, where, low=1, high=MAX_DAYS))


def _vouched(value: Any, where: str) -> CloudVouchedBoot:
    return CloudVouchedBoot(text(value, where))


def _without_revocation(value: Any, where: str) -> UnsafeWithoutRevocation:
    return UnsafeWithoutRevocation(text(value, where))


def _unpinned(value: Any, where: str) -> UnsafeUnpinned:
    return UnsafeUnpinned(text(value, where))


@keeps("R4")
def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        failure = Failure("R4: the policy can be read", "a file", f"cannot read {path}: {error.strerror}")
        raise PolicyError((failure,)) from error
