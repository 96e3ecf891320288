"""Manifest v2: what is inside an image, by name and digest (protocol.md, "Manifest and release").

A manifest proves nothing by itself; a signed release carries its digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from client_sdk.encoding import MAX_JSON, canonical_json, from_hex, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, integer, items, mapping, text, version

VERSION = 2
MAX_SIZE = 4 * MAX_JSON

_KEYS = frozenset(
    {"version", "packages", "files", "tools", "kernel", "boot", "root", "models"}
    | {"model_disk", "wheels", "token_issuer_key", "source_commit"}
)


@dataclass(frozen=True, slots=True)
class Package:
    """One Debian package or Python wheel in the image."""

    name: str
    version: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Verity:
    """A dm-verity device: root hash, salt, number of 4096-byte data blocks, and the file system's UUID."""

    root_hash: bytes
    salt: bytes
    data_blocks: int
    uuid: str


@dataclass(frozen=True, slots=True)
class Boot:
    """What the firmware loads: the UKI's digests and those of its parts, and the command line in clear."""

    uki_sha256: bytes
    uki_authenticode: bytes
    stub_sha256: bytes
    linux_sha256: bytes
    initrd_sha256: bytes
    cmdline: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model's identity: its engine, where it comes from, at which revision, and the digest of each of its files."""

    name: str
    engine: str
    repository: str
    revision: str
    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every content of an image. ``files`` are the digests of our roles' and services' files, by path in the source."""

    packages: tuple[Package, ...]
    files: tuple[tuple[str, bytes], ...]
    tools: tuple[Package, ...]
    kernel: str
    boot: Boot
    root: Verity
    models: tuple[Model, ...]
    model_disk: Verity
    wheels: tuple[Package, ...]
    token_issuer_key: str
    source_commit: str

    def to_json(self) -> bytes:
        """Serialise as canonical JSON: the bytes that ``manifest_sha256`` is the digest of."""
        return canonical_json(
            {
                "version": VERSION,
                "packages": [_package_to_dict(item) for item in self.packages],
                "files": {path: digest.hex() for path, digest in self.files},
                "tools": [_package_to_dict(item) for item in self.tools],
                "kernel": self.kernel,
                "boot": _boot_to_dict(self.boot),
                "root": _verity_to_dict(self.root),
                "models": [_model_to_dict(item) for item in self.models],
                "model_disk": _verity_to_dict(self.model_disk),
                "wheels": [_package_to_dict(item) for item in self.wheels],
                "token_issuer_key": self.token_issuer_key,
                "source_commit": self.source_commit,
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Decode a manifest.

        Raises:
            EvidenceError: on anything that is not a manifest v2.
        """
        top = exact_keys(strict_json(data, limit=MAX_SIZE), _KEYS, "$")
        version(top["version"], "$.version", VERSION)
        return cls(
            packages=_packages_from(top["packages"], "$.packages"),
            files=_files_from(top["files"], "$.files"),
            tools=_packages_from(top["tools"], "$.tools"),
            kernel=text(top["kernel"], "$.kernel", limit=128),
            boot=_boot_from(top["boot"], "$.boot"),
            root=_verity_from(top["root"], "$.root"),
            models=_models_from(top["models"], "$.models"),
            model_disk=_verity_from(top["model_disk"], "$.model_disk"),
            wheels=_packages_from(top["wheels"], "$.wheels"),
            token_issuer_key=text(top["token_issuer_key"], "$.token_issuer_key"),
            source_commit=text(top["source_commit"], "$.source_commit", limit=128),
        )


def digest(manifest: bytes) -> bytes:
    """Return the SHA-256 of received manifest bytes: never of a re-serialisation (rule F1)."""
    return sha256(manifest).digest()


def _package_to_dict(item: Package) -> dict[str, str]:
    return {"name": item.name, "version": item.version, "sha256": item.sha256.hex()}


def _packages_from(value: Any, where: str) -> tuple[Package, ...]:
    found = []
    for i, item in enumerate(items(value, where)):
        fields = exact_keys(item, frozenset({"name", "version", "sha256"}), f"{where}[{i}]")
        name = text(fields["name"], f"{where}[{i}].name", limit=256)
        number = text(fields["version"], f"{where}[{i}].version", limit=256)
        found.append(Package(name, number, from_hex(fields["sha256"], f"{where}[{i}].sha256", size=32)))
    return tuple(found)


def _files_from(value: Any, where: str) -> tuple[tuple[str, bytes], ...]:
    found = mapping(value, where)
    for path in found:
        text(path, where)
    return tuple((path, from_hex(found[path], f"{where}.{path}", size=32)) for path in sorted(found))


def _verity_to_dict(item: Verity) -> dict[str, Any]:
    return {
        "root_hash": item.root_hash.hex(),
        "salt": item.salt.hex(),
        "data_blocks": item.data_blocks,
        "uuid": item.uuid,
    }


def _verity_from(value: Any, where: str) -> Verity:
    fields = exact_keys(value, frozenset({"root_hash", "salt", "data_blocks", "uuid"}), where)
    return Verity(
        root_hash=from_hex(fields["root_hash"], f"{where}.root_hash", size=32),
        salt=from_hex(fields["salt"], f"{where}.salt", size=32),
        data_blocks=integer(fields["data_blocks"], f"{where}.data_blocks", low=1),
        uuid=text(fields["uuid"], f"{where}.uuid", limit=36),
    )


_BOOT_DIGESTS = ("uki_sha256", "uki_authenticode", "stub_sha256", "linux_sha256", "initrd_sha256")


def _boot_to_dict(item: Boot) -> dict[str, str]:
    return {name: getattr(item, name).hex() for name in _BOOT_DIGESTS} | {"cmdline": item.cmdline}


def _boot_from(value: Any, where: str) -> Boot:
    fields = exact_keys(value, frozenset({*_BOOT_DIGESTS, "cmdline"}), where)
    digests = {name: from_hex(fields[name], f"{where}.{name}", size=32) for name in _BOOT_DIGESTS}
    return Boot(**digests, cmdline=text(fields["cmdline"], f"{where}.cmdline"))


def _model_to_dict(item: Model) -> dict[str, Any]:
    return {
        "name": item.name,
        "engine": item.engine,
        "repository": item.repository,
        "revision": item.revision,
        "files": {path: value.hex() for path, value in item.files},
    }


def _models_from(value: Any, where: str) -> tuple[Model, ...]:
    found = tuple(_model_from(item, f"{where}[{i}]") for i, item in enumerate(items(value, where)))
    if not found:
        raise EvidenceError(where, "there is at least one model")
    return found


def _model_from(value: Any, where: str) -> Model:
    fields = exact_keys(value, frozenset({"name", "engine", "repository", "revision", "files"}), where)
    if not fields["files"]:
        raise EvidenceError(f"{where}.files", "a model has at least one file")
    return Model(
        name=text(fields["name"], f"{where}.name", limit=256),
        engine=text(fields["engine"], f"{where}.engine", limit=128),
        repository=text(fields["repository"], f"{where}.repository"),
        revision=text(fields["revision"], f"{where}.revision", limit=256),
        files=_files_from(fields["files"], f"{where}.files"),
    )
