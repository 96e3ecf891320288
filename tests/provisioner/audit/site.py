"""A publisher's whole site in small: a checkout, the cache of its bake, a tiny image with its manifest, a release."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from client_sdk.manifest import Boot, Manifest, Model, Package, Verity, digest
from client_sdk.release import Release
from provisioner.audit.audit import Judged, Subject
from provisioner.audit.chain import Quoted
from provisioner.contents.image import open_contents
from provisioner.image import packages
from provisioner.image.files import sha256_of
from provisioner.image.key import file_digests
from provisioner.image.recipe import RECIPE, Recipe
from provisioner.image.sbom import serialise
from provisioner.image.wheels import WHEELS_FILE
from provisioner.measure import predict
from provisioner.measure.pe import authenticode, section
from provisioner.publish import measurement_of
from tests.provisioner.image.test_sbom import MATERIALS

RULES = "roles/wall/files/tree/usr/lib/vitrine/firewall.nft"
LINE = f"{RULES}:2"
TASKS = "---\n- name: Build the wall\n  install_tree:\n    src: tree\n"
DATA = "provisioner/image/data"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything lies."""

    source: Path
    cache: Path
    image: Path
    archive: Path
    release: Release

    def subject(self, **changes):
        """What an auditor asks for."""
        told = {"source": self.source, "archive": self.archive, "releases": (self.release,), "line": LINE}
        return Subject(**(told | changes))

    def judged(self, image: Path | None = None, release: Release | None = None) -> Judged:
        """What a client says of a machine that runs an image."""
        found = release or self.release
        pcrs = dict(predict(image or self.image).pcrs)
        return Judged(found, found.measurements[0], Quoted(pcrs, "00" * 34, "local-qemu"))


def content(name: str) -> bytes:
    return f"the package {name}".encode()


def package(name: str, version: str = "1") -> packages.Package:
    data = content(name)
    return packages.Package(name, version, "all", f"pool/{name}.deb", len(data), hashlib.sha256(data).hexdigest())


def write_checkout(source: Path) -> Path:
    """Write the files of a checkout that an audit looks at."""
    trees = [packages.Tree(tuple(map(package, names)), ()) for names in (("bash", "libc6"), ("dosfstools",), ("gcc",))]
    lock = packages.PackageLock("trixie", 1_700_000_000, *trees)
    wheel = {"name": "engine", "version": "2", "filename": "engine-2-py3-none-any.whl", "size": 1, "use": "image"}
    wheel |= {"sha256": hashlib.sha256(content("engine")).hexdigest(), "why": "for the test"}
    files = {
        RULES: b"table inet vitrine {\n  policy drop;\n}\n",
        "roles/wall/tasks/configure.yml": TASKS.encode(),
        f"{DATA}/{packages.LOCK_FILE}": packages.serialise_lock(lock),
        f"{DATA}/{WHEELS_FILE}": json.dumps({"version": 1, "wheels": [wheel]}).encode(),
    }
    for name, data in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    return source


def write_cache(cache: Path) -> Path:
    """Write what a bake has downloaded."""
    for name in ("bash", "libc6", "dosfstools"):
        put(cache / f"debs/{hashlib.sha256(content(name)).hexdigest()}.deb", content(name))
    digest_of_wheel = hashlib.sha256(content("engine")).hexdigest()
    put(cache / f"wheels/{digest_of_wheel}/engine-2-py3-none-any.whl", content("engine"))
    return cache


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def describe(image: Path, source: Path) -> None:
    """Write beside an image what a bake writes: its parts, bill of materials, recipe, manifest."""
    contents = open_contents(image)
    for name in ("linux", "initrd", "cmdline"):
        (image / name).write_bytes(section(contents.uki, f".{name}"))
    (image / "sbom.json").write_bytes(serialise(MATERIALS))
    (image / RECIPE).write_bytes(Recipe("test", {"gateway_access": '"open"'}).to_json())
    lock = packages.parse_lock((source / DATA / packages.LOCK_FILE).read_bytes())
    files = {
        f"{top}/{inner}": bytes.fromhex(found)
        for top in ("roles", "provisioner")
        for inner, found in file_digests(source / top).items()
    }
    files["sbom.json"] = bytes.fromhex(sha256_of(image / "sbom.json"))
    manifest = Manifest(
        packages=tuple(Package(p.name, p.version, bytes.fromhex(p.sha256)) for p in lock.image.packages),
        files=tuple(sorted(files.items())),
        tools=tuple(Package(p.name, p.version, bytes.fromhex(p.sha256)) for p in lock.tools.packages),
        kernel="6.12",
        boot=Boot(
            uki_sha256=bytes.fromhex(sha256_of(image / "uki.efi")),
            uki_authenticode=authenticode(contents.uki),
            stub_sha256=bytes(32),
            linux_sha256=bytes.fromhex(sha256_of(image / "linux")),
            initrd_sha256=bytes.fromhex(sha256_of(image / "initrd")),
            cmdline=contents.cmdline,
        ),
        root=verity(contents, "root"),
        models=(Model("m", "llamacpp", "r", "1", (("model.gguf", bytes(32)),)),),
        model_disk=verity(contents, "model"),
        wheels=(Package("engine", "2", hashlib.sha256(content("engine")).digest()),),
        token_issuer_key="",
        source_commit="",
    )
    (image / "manifest.json").write_bytes(manifest.to_json())


def verity(contents, name) -> Verity:
    found = contents.verity(name)
    return Verity(bytes.fromhex(found.root_hash), found.salt, found.count, "11111111-2222-3333-4444-555555555555")


def release_of(image: Path, number: int = 3) -> Release:
    """Return the release that its publisher would make of an image."""
    return Release(
        number=number,
        not_before=NOW,
        not_after=NOW + timedelta(days=90),
        supersedes=None,
        revokes=(),
        service="test",
        manifest_sha256=digest((image / "manifest.json").read_bytes()),
        measurements=(measurement_of(predict(image)),),
    )
