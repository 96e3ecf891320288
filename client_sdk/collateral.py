"""What makers publish about their hardware, gathered beforehand into a folder: certificates, lists, statements.

::

    index.json                 version, gathered_at, and path, sha256 and source of every file, sorted by path
    amd/<product>/             ask.der, asvk.der, crl.der               product: milan, genoa, turin
    amd/vcek/<chip id>-<TCB>.der                 amd/vlek/<provider>-<TCB>.der
    intel/                     tcb_info-<fmspc>.json and .pem, qe_identity.json and .pem,
                               pck_crl-platform.der, pck_crl-processor.der, root_crl.der
    tpm/<sha256>.der           intermediates of attestation keys' certificates
    nvidia/rim/<id>.xml        nvidia/ocsp/<sha256 of a certificate>.der

Nothing here is believed. Names only say which file to try for which evidence, the hashes of the index find accidents;
what counts is that every file is signed by its maker, which is checked where it is used. Whoever gathers or serves a
folder can leave things out, or serve old ones: rule T11 is about that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from client_sdk.encoding import from_hex, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, instant, items, text, version
from client_sdk.given import require
from client_sdk.parse.snp import Product

VERSION = 1
INDEX = "index.json"
MAX_FILES, MAX_FILE, MAX_FOLDER, MAX_INDEX = 4096, 8 * 1024 * 1024, 64 * 1024 * 1024, 4 * 1024 * 1024
MAX_INTERMEDIATES = 64
_HASH = "[0-9a-f]{64}"
_FORMS = {
    "amd": re.compile(r"amd/(milan|genoa|turin)/(ask|asvk|crl)\.der"),
    "vcek": re.compile(r"amd/vcek/([0-9a-f]{128}|[0-9a-f]{16})-([0-9a-f]{16})\.der"),
    "vlek": re.compile(r"amd/vlek/([A-Za-z0-9._=-]{1,64})-([0-9a-f]{16})\.der"),
    "tcb_info": re.compile(r"intel/tcb_info-([0-9a-f]{12})\.(json|pem)"),
    "qe_identity": re.compile(r"intel/qe_identity\.(json|pem)"),
    "pck_crl": re.compile(r"intel/pck_crl-(platform|processor)\.der"),
    "root_crl": re.compile(r"intel/root_crl\.der"),
    "tpm": re.compile(rf"tpm/({_HASH})\.der"),
    "rim": re.compile(r"nvidia/rim/([A-Za-z0-9._-]{1,128})\.xml"),
    "ocsp": re.compile(rf"nvidia/ocsp/({_HASH})\.der"),
}
_PRODUCTS = {product.value.lower(): product for product in Product}
CHIP_ID_SIZE = 64


@dataclass(frozen=True, slots=True)
class AmdProduct:
    """A product line's intermediates (ASK, ASVK) and the ARK's revocation list, DER; None where there is none."""

    intermediates: tuple[bytes, ...]
    crl: bytes | None


@dataclass(frozen=True, slots=True)
class IntelStatement:
    """A statement of Intel's and the chain of who signed it, PEM, as its service sends them."""

    document: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Collateral:
    """Everything in one folder, as received.

    ``vceks`` go by chip id (64 bytes) and reported TCB, ``vleks`` by provider and reported TCB, ``tcb_infos`` by FMSPC,
    ``pck_crls`` by kind of CA (``platform``, ``processor``), ``rims`` by NVIDIA's id, ``ocsp`` by the SHA-256 of the
    certificate that the answer is about.
    """

    gathered_at: datetime
    amd: Mapping[Product, AmdProduct]
    vceks: Mapping[tuple[bytes, bytes], bytes]
    vleks: Mapping[tuple[str, bytes], bytes]
    tcb_infos: Mapping[bytes, IntelStatement]
    qe_identity: IntelStatement | None
    pck_crls: Mapping[str, bytes]
    root_crl: bytes | None
    tpm: tuple[bytes, ...]
    rims: Mapping[str, bytes]
    ocsp: Mapping[bytes, bytes]


def load_collateral(folder: Path | str) -> Collateral:
    """Read a folder.

    Raises:
        EvidenceError: it is not such a folder, a file is missing, is not named, is too large or is not the indexed one.
    """
    require(
        folder, (str, Path), "collateral", expected="the path of a folder", remedy='write load_collateral("folder")'
    )
    root = Path(folder)
    where = INDEX
    if not (root / INDEX).is_file():
        raise EvidenceError(str(root), no_folder(root))
    top = exact_keys(
        strict_json(_read(root / INDEX, INDEX, MAX_INDEX), limit=MAX_INDEX),
        frozenset({"version", "gathered_at", "files"}),
        where,
    )
    version(top["version"], f"{where}.version", VERSION)
    named: dict[str, bytes] = {}
    for i, item in enumerate(items(top["files"], f"{where}.files", limit=MAX_FILES)):
        fields = exact_keys(item, frozenset({"path", "sha256", "source"}), f"{where}.files[{i}]")
        path = text(fields["path"], f"{where}.files[{i}].path", limit=256)
        text(fields["source"], f"{where}.files[{i}].source", limit=2048)
        if not _kind(path):
            raise EvidenceError(f"{where}.files[{i}].path", "not a file that belongs here")
        if named and path <= next(reversed(named)):
            raise EvidenceError(f"{where}.files[{i}].path", "the files are not sorted, or one comes twice")
        named[path] = from_hex(fields["sha256"], f"{where}.files[{i}].sha256", size=32)
    _nothing_besides(root, frozenset(named))
    return collateral_of(_files(root, named), gathered_at=instant(top["gathered_at"], f"{where}.gathered_at"))


def no_folder(root: Path) -> str:
    """Say of a path at which there is no folder of collateral how to make one."""
    if root.is_file():
        return "a file; give the folder that `vitrine collateral fetch` wrote"
    return f"no folder of collateral (no {INDEX}); make one with `vitrine collateral fetch EVIDENCE --output {root}`"


def require_collateral(value: object) -> None:
    """Refuse what is no collateral: the path of its folder, say. None is taken: who has none gives none.

    Raises:
        EvidenceError: with what to write.
    """
    name = f'"{value}"' if isinstance(value, (str, Path)) else '"folder"'
    remedy = f"write load_collateral({name}), or leave it out"
    require(
        value, (Collateral, type(None)), "collateral", expected="collateral, as load_collateral reads it", remedy=remedy
    )


def collateral_of(files: Mapping[str, bytes], *, gathered_at: datetime) -> Collateral:
    """Sort files by what their paths say.

    Raises:
        EvidenceError: a path that does not belong here, or one half of a pair.
    """
    for path in files:
        if not _kind(path):
            raise EvidenceError(path[:256], "not a file that belongs here")
    intermediates = tuple([data for _, data in _matches("tpm", files)])
    if len(intermediates) > MAX_INTERMEDIATES:  # each may be tried for each link of a path
        raise EvidenceError("tpm", f"more than {MAX_INTERMEDIATES} intermediates of attestation keys")
    identity = {found[1]: data for found, data in _matches("qe_identity", files)}
    return Collateral(
        gathered_at=gathered_at,
        amd=_amd(files),
        vceks={
            (bytes.fromhex(found[1]).ljust(CHIP_ID_SIZE, b"\0"), bytes.fromhex(found[2])): data
            for found, data in _matches("vcek", files)
        },
        vleks={(found[1], bytes.fromhex(found[2])): data for found, data in _matches("vlek", files)},
        tcb_infos=_tcb_infos(files),
        qe_identity=_statement(identity, "intel/qe_identity") if identity else None,
        pck_crls={found[1]: data for found, data in _matches("pck_crl", files)},
        root_crl=next((data for _, data in _matches("root_crl", files)), None),
        tpm=intermediates,
        rims={found[1]: data for found, data in _matches("rim", files)},
        ocsp={bytes.fromhex(found[1]): data for found, data in _matches("ocsp", files)},
    )


def _kind(path: str) -> str:
    """Return which kind of file a path is of; empty for none."""
    return next((name for name, form in _FORMS.items() if form.fullmatch(path)), "")


def _matches(kind: str, files: Mapping[str, bytes]) -> Iterator[tuple[re.Match[str], bytes]]:
    for path, data in files.items():
        if found := _FORMS[kind].fullmatch(path):
            yield found, data


def _amd(files: Mapping[str, bytes]) -> dict[Product, AmdProduct]:
    found: dict[Product, dict[str, bytes]] = {}
    for path, data in _matches("amd", files):
        found.setdefault(_PRODUCTS[path[1]], {})[path[2]] = data
    return {
        product: AmdProduct(tuple([parts[name] for name in ("ask", "asvk") if name in parts]), parts.get("crl"))
        for product, parts in found.items()
    }


def _tcb_infos(files: Mapping[str, bytes]) -> dict[bytes, IntelStatement]:
    found: dict[str, dict[str, bytes]] = {}
    for path, data in _matches("tcb_info", files):
        found.setdefault(path[1], {})[path[2]] = data
    return {bytes.fromhex(fmspc): _statement(parts, f"intel/tcb_info-{fmspc}") for fmspc, parts in found.items()}


def _statement(parts: Mapping[str, bytes], where: str) -> IntelStatement:
    if parts.keys() != {"json", "pem"}:
        raise EvidenceError(where, "the statement (.json) and its issuer chain (.pem) come together")
    return IntelStatement(parts["json"], parts["pem"])


def _nothing_besides(root: Path, named: frozenset[str]) -> None:
    """Refuse a file that the index does not name, before any other is read."""
    for count, path in enumerate(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if count > 2 * MAX_FILES:
            raise EvidenceError("collateral", f"more than {MAX_FILES} files")
        if path.is_symlink():
            raise EvidenceError(name, "a link; the folder holds files alone")
        if not path.is_dir() and name not in named and name != INDEX:
            raise EvidenceError(name, f"the file is not named in {INDEX}")


def _files(root: Path, named: Mapping[str, bytes]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    left = MAX_FOLDER
    for path, digest in named.items():
        data = _read(root / path, path, min(MAX_FILE, left))
        left -= len(data)
        if sha256(data).digest() != digest:
            raise EvidenceError(path, f"not the file that {INDEX} names: gather again")
        found[path] = data
    return found


def _read(path: Path, where: str, limit: int) -> bytes:
    if not path.is_file():  # a pipe would never end, or never begin
        raise EvidenceError(where, "there is no such file")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise EvidenceError(where, f"cannot read the file: {error.strerror}") from error
    if len(data) > limit:
        raise EvidenceError(where, f"over the limit of {limit} bytes")
    return data
