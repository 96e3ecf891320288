"""A policy as a file (TOML): the same objects as in code, with strict keys; every fault is reported at once (rule R4).

The file says what to accept, never whom to trust: roots, publisher and simulated platforms are not in it.
docs/policy.md describes every table. How a table is read is in ``table.py``, how a value is in ``values.py``.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from client_sdk.ages import Ages
from client_sdk.clauses.nvidia import AnyDevice
from client_sdk.clauses.snp import CHIP_SIZES, SnpDenyList, SnpRevocation
from client_sdk.clauses.tdx import PPID_SIZE, CrlFloor, DenyList, EvaluationFloor, Grace
from client_sdk.errors import Failure, FieldError, PolicyError
from client_sdk.given import require
from client_sdk.parse.snp import Product, Tcb
from client_sdk.policies import values as read
from client_sdk.policies.cloud import ID_KEY_SIZE, AzureCloud, GoogleCloud
from client_sdk.policies.compose import AnyOf
from client_sdk.policies.gpu import DEVICE_SIZE, NvidiaGpu
from client_sdk.policies.interface import Policy
from client_sdk.policies.production import ANY_GPUS, ANY_TEE, ANYBODYS, Production
from client_sdk.policies.release import MatchesRelease, MaxAge
from client_sdk.policies.table import Table
from client_sdk.policies.tee import SevSnp, Tdx
from client_sdk.roots import Roots, production_roots
from client_sdk.rules import keeps
from client_sdk.verify.gce import OLDEST

VERSION = 1
MAX_FILE = 256 * 1024
_COMPONENTS = ("fmc", "bootloader", "tee", "snp", "microcode")
_TRUST = ("roots", "publisher", "threshold", "release", "collateral", "simulated")
_NOT_HERE = "remove it: a policy says what to accept; whom to trust is an option of the command, or an argument in code"
_ANY_PROJECT = 'add project = "my-project", a number, a list, or { any = "the reason" } where any will do'
_ANY_ZONE = 'add zones = ["us-central1-a"], or zones = { any = "the reason" } where any will do'
_NO_IDS: tuple[bytes, ...] = ()


def load_policy(path: Path | str, *, roots: Roots | None = None) -> Policy:
    """Read a policy from a file; ``roots`` are the makers' own unless they are given.

    Raises:
        EvidenceError: an argument of another type.
        PolicyError: R4, with every fault in the file.
    """
    require(path, (str, Path), "path", expected="the path of a policy file", remedy='write load_policy("policy.toml")')
    return read_policy(_bytes(Path(path)), roots=roots)


@keeps("R4")
def read_policy(data: bytes, *, roots: Roots | None = None) -> Policy:
    """Read a policy from the bytes of a file.

    Raises:
        EvidenceError: ``roots`` are none.
        PolicyError: R4, with every fault.
    """
    faults: list[FieldError] = []
    top = Table(_toml(data), "", faults)
    top.need("version", _version, VERSION, f"add version = {VERSION} as the first line")
    remedy = "write Roots(simulated=False, …), or leave it out for the makers' own"
    require(roots, (Roots, type(None)), "roots", expected="roots that you trust", remedy=remedy)
    anchors = production_roots() if roots is None else roots
    many = top.tables("any_of")
    if many:
        found: Policy = AnyOf(tuple([_production(table, anchors) for table in many]))
        top.done({name: ("a key beside [[any_of]]", _inside(name)) for name in many[0].known})
    else:
        found = _production(top, anchors)
    if faults:
        raise PolicyError(tuple([Failure(f"R4: {one.where}", one.expected, one.got, one.remedy) for one in faults]))
    return found


@keeps("R4")
def _toml(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_FILE:
        expected, got = f"at most {MAX_FILE} bytes", f"{len(data)} bytes or more"
        raise PolicyError((Failure("R4: the policy's size", expected, got, "name fewer values"),))
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, which Python refuses
        failure = Failure("R4: the policy is TOML", "TOML 1.0 in UTF-8", str(error), "correct the file at that place")
        raise PolicyError((failure,)) from error


def _version(value: Any, where: str) -> int:
    if type(value) is not int or value != VERSION:
        expected = f"version {VERSION}, which this client reads"
        remedy = f"write version = {VERSION}, or read the file with a client for its version"
        raise FieldError(where, expected, read.spelled(value), remedy)
    return VERSION


def _inside(name: str) -> str:
    return f"an alternative is a whole policy: write {name} = … below each [[any_of]] that it is meant for"


def _production(table: Table, roots: Roots) -> Production:
    ages = _ages(table.table("max_age_days"))
    policy = Production(
        google=_google(table.table("google")) if table.has("google") else None,
        azure=_azure(table.table("azure")) if table.has("azure") else None,
        snp=_snp(table.table("sev_snp")),
        tdx=_tdx(table.table("tdx")),
        gpu=_nvidia(table.table("nvidia")),
        release=MatchesRelease(table.get("unsafe_unpinned", read.unpinned, None)),
        max_age=MaxAge(ages),
        roots=replace(roots, ages=ages.shortest(roots.ages)),
        tee=table.get("tee", read.tees, ANY_TEE),
        label=table.get("name", read.words(64, "write such a name, or leave the key out"), "production"),
    )
    table.done(dict.fromkeys(_TRUST, ("a key that is about trust", _NOT_HERE)))
    return policy


def _google(table: Table) -> GoogleCloud:
    default = ANYBODYS
    make = partial(
        GoogleCloud,
        project=table.need("project", read.any_or(read.projects), default.project, _ANY_PROJECT),
        zones=table.need("zones", read.any_or(read.zones), default.zones, _ANY_ZONE),
        instance_ids=table.get("instance_ids", read.numbers, default.instance_ids),
        instance_names=table.get("instance_names", read.texts, default.instance_names),
        oldest_firmware=table.get("oldest_firmware", read.number(OLDEST, 64), OLDEST),
    )
    found = table.made(make, default)
    table.done()
    return found


def _azure(table: Table) -> AzureCloud:
    default = AzureCloud()
    make = partial(
        AzureCloud,
        id_key_digests=table.get("id_key_digests", read.hexes(ID_KEY_SIZE), _NO_IDS),
        vm_ids=table.get("vm_ids", read.lower, default.vm_ids),
        console_enabled=table.get("console_enabled", read.flag, default.console_enabled),
        secure_boot=table.get("secure_boot", read.flag, default.secure_boot),
        tpm_persisted=table.get("tpm_persisted", read.flag, default.tpm_persisted),
    )
    found = table.made(make, default)
    table.done()
    return found


def _snp(table: Table) -> SevSnp:
    default = SevSnp()
    floors, number = table.table("min_tcb"), table.get("min_crl_number", read.number(), 0)
    unsafe = table.get("unsafe_without_revocation", read.without_revocation, None)
    make = partial(
        SevSnp,
        min_tcb={product: _tcb(floors, product, floor) for product, floor in default.min_tcb.items()},
        min_firmware=table.get("min_firmware", read.firmware, default.min_firmware),
        boot=table.get("cloud_vouched_boot", read.vouched, default.boot),
        revocation=unsafe or SnpRevocation(required=True, highest_seen=number),
        deny=SnpDenyList(
            frozenset(table.get("deny_chips", read.hexes(*CHIP_SIZES), _NO_IDS)), frozenset(), frozenset()
        ),
        smt=table.get("smt", read.setting, default.smt),
        single_socket=table.get("single_socket", read.setting, default.single_socket),
        alias_check=table.get("alias_check", read.setting, default.alias_check),
        ciphertext_hiding=table.get("ciphertext_hiding", read.setting, default.ciphertext_hiding),
    )
    found = table.made(make, default)
    floors.done()
    table.done()
    return found


def _tcb(floors: Table, product: Product, floor: Tcb) -> Tcb:
    """Read a product line's floor; a component that is not named keeps the client's."""
    inner = floors.table(product.value.lower())
    levels = {name: inner.get(name, read.raised(getattr(floor, name)), getattr(floor, name)) for name in _COMPONENTS}
    inner.done()
    return Tcb(**levels)


def _tdx(table: Table) -> Tdx:
    default = Tdx()
    graces = [grace for inner in table.tables("grace") if (grace := _grace(inner)) is not None]
    evaluation = EvaluationFloor(
        tcb_info=table.get(
            "min_tcb_evaluation", read.raised(default.evaluation.tcb_info, 2**32), default.evaluation.tcb_info
        ),
        qe_identity=table.get(
            "min_qe_evaluation", read.raised(default.evaluation.qe_identity, 2**32), default.evaluation.qe_identity
        ),
    )
    revocation = CrlFloor(
        table.get("min_pck_crl_number", read.number(), 0), table.get("min_root_crl_number", read.number(), 0)
    )
    deny = DenyList(frozenset(table.get("deny_ppids", read.hexes(PPID_SIZE), _NO_IDS)))
    table.done()
    make = partial(Tdx, accepted_tcb=tuple(graces), evaluation=evaluation, revocation=revocation, deny=deny)
    return table.made(make, default)


def _grace(table: Table) -> Grace | None:
    status = table.need("status", read.status, "", 'add status = "OutOfDate", or the status that this grace is for')
    until = table.need("until", read.until, None, 'add until = "2026-01-31T12:00:00Z", the instant when the grace ends')
    table.done()
    return table.made(partial(Grace, status, until), None) if status and until else None


def _nvidia(table: Table) -> NvidiaGpu:
    default = ANY_GPUS
    make = partial(
        NvidiaGpu,
        count=table.get("count", read.count, default.count),
        devices=frozenset(table.get("devices", read.hexes(DEVICE_SIZE), _NO_IDS)) or AnyDevice(),
        modes=table.get("modes", read.modes, default.modes),
        revocation=table.get("unsafe_without_revocation", read.without_revocation, None),
    )
    found = table.made(make, default)
    table.done()
    return found


def _ages(table: Table) -> Ages:
    default = Ages()
    found = {name: table.get(name, read.days, getattr(default, name)) for name in Ages.__dataclass_fields__}
    table.done()
    return table.made(partial(Ages, **found), default)


@keeps("R4")
def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        got, remedy = f"cannot read {path}: {error.strerror}", "give the path of a policy file"
        failure = Failure("R4: the policy can be read", "a file that can be read", got, remedy)
        raise PolicyError((failure,)) from error
