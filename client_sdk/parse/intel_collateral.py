"""What Intel states about platforms and quoting enclaves: TCB info (version 3, TDX) and QE identity (version 2), JSON.

Source: Intel PCS API v4, "Get TDX TCB Info" and "Get TDX QE Identity". A statement's signature is over the text of
one member as it was received: that text is cut out of the document, never made again from what was parsed. Keys that
are not known are ignored; Intel adds some without a new version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from client_sdk.encoding import strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import instant, integer, items, mapping, text

MAX_DOCUMENT = 256 * 1024
MAX_LEVELS = 256
MAX_IDENTITIES = 64
MAX_ADVISORIES = 256
COMPONENTS = 16
TCB_INFO, QE_IDENTITY = "tcbInfo", "enclaveIdentity"
_TAIL = re.compile(rb'"signature"\s*:\s*"([0-9A-Fa-f]{128})"\s*\}\s*\Z')
_HEADS = {name: re.compile(rb'\s*\{\s*"' + name.encode() + rb'"\s*:\s*') for name in (TCB_INFO, QE_IDENTITY)}
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement before anybody believes it: the signed text, r and s, and what the text says."""

    signed: bytes
    signature: bytes
    value: dict[str, Any]
    id: str
    version: int
    issued: datetime
    next_update: datetime
    evaluation: int


@dataclass(frozen=True, slots=True)
class TcbLevel:
    """One level of a platform: it is reached by SVNs that are all at least these."""

    sgx: bytes
    pce_svn: int
    tdx: bytes
    status: str
    date: str
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SvnLevel:
    """One level of a TDX module or a quoting enclave: it is reached by an ISVSVN that is at least this."""

    isv_svn: int
    status: str
    date: str
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModuleIdentity:
    """A TDX module of one major version, ``TDX_01`` for 1; the default one has no id and no levels."""

    id: str
    mr_signer: bytes
    attributes: bytes
    mask: bytes
    levels: tuple[SvnLevel, ...]


@dataclass(frozen=True, slots=True)
class TcbInfo:
    """The levels of one kind of platform, best first, and its TDX modules."""

    fmspc: bytes
    pce_id: bytes
    module: ModuleIdentity
    modules: tuple[ModuleIdentity, ...]
    levels: tuple[TcbLevel, ...]


@dataclass(frozen=True, slots=True)
class QeIdentity:
    """Who Intel's quoting enclave is; a bit counts where the mask has it."""

    misc_select: bytes
    misc_select_mask: bytes
    attributes: bytes
    attributes_mask: bytes
    mr_signer: bytes
    isv_prod_id: int
    levels: tuple[SvnLevel, ...]


def parse_statement(document: bytes, name: str) -> SignedStatement:
    """Split a document ``{"<name>": …, "signature": "…"}`` as Intel serves it; ``name`` is one of the two constants.

    Raises:
        EvidenceError: it is not one, is not strict JSON, or is too large.
    """
    if len(document) > MAX_DOCUMENT:
        raise EvidenceError(name, f"{len(document)} bytes are over the limit of {MAX_DOCUMENT}")
    whole = mapping(_strict(document, name), name, limit=2)
    # The document is strict JSON with these two keys, so its last '"signature"' is the key that ends the statement.
    head, tail = _HEADS[name].match(document), _TAIL.match(document, document.rfind(b'"signature"'))
    if whole.keys() != {name, "signature"} or head is None or tail is None:
        raise EvidenceError(name, f'not a document of {{"{name}": …, "signature": 64 bytes of hex}}')
    value = mapping(whole[name], name)
    get = value.get
    return SignedStatement(
        signed=document[head.end() : tail.start()].rstrip().removesuffix(b",").rstrip(),
        signature=bytes.fromhex(tail[1].decode()),
        value=value,
        id=text(get("id"), f"{name}.id", limit=64),
        version=integer(get("version"), f"{name}.version"),
        issued=instant(get("issueDate"), f"{name}.issueDate"),
        next_update=instant(get("nextUpdate"), f"{name}.nextUpdate"),
        evaluation=integer(get("tcbEvaluationDataNumber"), f"{name}.tcbEvaluationDataNumber"),
    )


def parse_tcb_info(value: dict[str, Any]) -> TcbInfo:
    """Read the content of TCB info, version 3, for TDX.

    Raises:
        EvidenceError: with the field.
    """
    where, get = TCB_INFO, value.get
    integer(get("tcbType"), f"{where}.tcbType", high=0)
    levels = items(get("tcbLevels"), f"{where}.tcbLevels", limit=MAX_LEVELS)
    modules = items(get("tdxModuleIdentities", []), f"{where}.tdxModuleIdentities", limit=MAX_IDENTITIES)
    found = tuple([_module(item, f"{where}.tdxModuleIdentities[{i}]") for i, item in enumerate(modules)])
    if len({module.id for module in found}) != len(found):
        raise EvidenceError(f"{where}.tdxModuleIdentities", "an id comes twice")
    return TcbInfo(
        fmspc=_hex(get("fmspc"), f"{where}.fmspc", 6),
        pce_id=_hex(get("pceId"), f"{where}.pceId", 2),
        module=_module(get("tdxModule"), f"{where}.tdxModule", named=False),
        modules=found,
        levels=_each(levels, _level, f"{where}.tcbLevels"),
    )


def parse_qe_identity(value: dict[str, Any]) -> QeIdentity:
    """Read the content of a QE identity, version 2.

    Raises:
        EvidenceError: with the field.
    """
    where, get = QE_IDENTITY, value.get
    return QeIdentity(
        misc_select=_hex(get("miscselect"), f"{where}.miscselect", 4),
        misc_select_mask=_hex(get("miscselectMask"), f"{where}.miscselectMask", 4),
        attributes=_hex(get("attributes"), f"{where}.attributes", 16),
        attributes_mask=_hex(get("attributesMask"), f"{where}.attributesMask", 16),
        mr_signer=_hex(get("mrsigner"), f"{where}.mrsigner", 32),
        isv_prod_id=integer(get("isvprodid"), f"{where}.isvprodid", high=0xFFFF),
        levels=_svn_levels(get("tcbLevels"), f"{where}.tcbLevels"),
    )


def _module(value: Any, where: str, *, named: bool = True) -> ModuleIdentity:
    get = mapping(value, where).get
    return ModuleIdentity(
        id=text(get("id"), f"{where}.id", limit=16).upper() if named else "",
        mr_signer=_hex(get("mrsigner"), f"{where}.mrsigner", 48),
        attributes=_hex(get("attributes"), f"{where}.attributes", 8),
        mask=_hex(get("attributesMask"), f"{where}.attributesMask", 8),
        levels=_svn_levels(get("tcbLevels"), f"{where}.tcbLevels") if named else (),
    )


def _svn_levels(value: Any, where: str) -> tuple[SvnLevel, ...]:
    return _each(items(value, where, limit=MAX_LEVELS), _svn_level, where)


def _each(values: list[Any], read: Callable[[Any], _Read], where: str) -> tuple[_Read, ...]:
    """Read every item of a list; only an error needs to know which one it was."""
    found = []
    for number, value in enumerate(values):
        try:
            found.append(read(value))
        except EvidenceError as error:
            message = str(error).removeprefix(f"{error.where}: ")
            raise EvidenceError(f"{where}[{number}]{error.where}", message) from error
    return tuple(found)


def _svn_level(value: Any) -> SvnLevel:
    level = mapping(value, "")
    isv_svn = integer(mapping(level.get("tcb"), ".tcb").get("isvsvn"), ".tcb.isvsvn", high=0xFFFF)
    return SvnLevel(isv_svn, *_statement(level))


def _level(value: Any) -> TcbLevel:
    level = mapping(value, "")
    tcb = mapping(level.get("tcb"), ".tcb")
    return TcbLevel(
        _components(tcb.get("sgxtcbcomponents"), ".tcb.sgxtcbcomponents"),
        integer(tcb.get("pcesvn"), ".tcb.pcesvn", high=0xFFFF),
        _components(tcb.get("tdxtcbcomponents"), ".tcb.tdxtcbcomponents"),
        *_statement(level),
    )


def _statement(level: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Return status, date and advisories of any level; what a status means is the verifier's to say."""
    advisories = items(level.get("advisoryIDs", []), ".advisoryIDs", limit=MAX_ADVISORIES)
    return (
        text(level.get("tcbStatus"), ".tcbStatus", limit=64),
        text(level.get("tcbDate"), ".tcbDate", limit=20),
        tuple([text(item, ".advisoryIDs", limit=64) for item in advisories]),
    )


def _components(value: Any, where: str) -> bytes:
    found = items(value, where, limit=COMPONENTS)
    try:
        svns = [item["svn"] for item in found]
        if len(svns) == COMPONENTS and {*map(type, svns)} == {int}:  # bytes() would take True for 1
            return bytes(svns)
    except (KeyError, TypeError, ValueError):
        pass
    raise EvidenceError(where, f"not the SVNs, 0 to 255, of {COMPONENTS} components")


def _hex(value: Any, where: str, size: int) -> bytes:
    """Decode hex of either case: Intel writes the same field in both."""
    if isinstance(value, str) and len(value) == 2 * size and value.isalnum():  # no space, which fromhex() skips
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise EvidenceError(where, f"not {size} bytes of hex")


def _strict(document: bytes, name: str) -> Any:
    """Read strict JSON. Text that its own value spells again has one reading: that costs less than looking for more."""
    try:
        found = _DECODER.decode(document.decode())
        if _ENCODER.encode(found).encode() == document:
            return found
    except (ValueError, RecursionError):
        pass
    try:
        return strict_json(document, limit=MAX_DOCUMENT)
    except EvidenceError as error:
        raise EvidenceError(f"{name} {error.where}", str(error).removeprefix(f"{error.where}: ")) from error


def _no_number(_text: str) -> NoReturn:
    raise ValueError


_DECODER = json.JSONDecoder(parse_float=_no_number, parse_constant=_no_number)
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
