"""Three holders, an accepted deployment of an image that is made up, and the command as they type it."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.dsse import sign
from client_sdk.manifest import Boot, Manifest, Model, Package, Verity
from client_sdk.release import read_release
from client_sdk.rotation import KeySet
from provisioner.measure import predict
from provisioner.publish import prepare, promote
from provisioner.releases.command import register
from tests.provisioner.measure.fake_artefacts import write_artefacts

NOW = datetime.now(UTC).replace(microsecond=0)
SBOM = b'{"bomFormat":"CycloneDX"}\n'
A, B, C, D, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in range(40, 45))


def key_set(*keys, threshold=1):
    return KeySet(tuple(key.public_key() for key in keys), threshold)


HOLDERS = key_set(A, B, C, threshold=2)


def manifest_of(image, **values):
    """Write and return a manifest of this image that is made up but for the digest of the UKI."""
    disk = Verity(bytes(32), bytes(32), 1, "11111111-2222-3333-4444-555555555555")
    manifest = Manifest(
        packages=(Package("openssl", "3.5.1-1", bytes(32)),),
        files=(("roles/base/tasks/main.yml", bytes(32)), ("sbom.json", sha256(SBOM).digest())),
        tools=(),
        kernel="6.12.1",
        boot=Boot(bytes(32), predict(image).authenticode, bytes(32), bytes(32), bytes(32), "quiet"),
        root=disk,
        models=(Model("m", "llamacpp", "r", "1", (("model.gguf", bytes(32)),)),),
        model_disk=disk,
        wheels=(),
        token_issuer_key="",
        source_commit="c" * 40,
    )
    manifest = replace(manifest, **values)
    (image / "manifest.json").write_bytes(manifest.to_json())
    (image / "sbom.json").write_bytes(SBOM)
    return manifest


def accepted(root, image, now=NOW):
    """Make an image the accepted one of a deployment, whose own release is signed by the deployment's key."""
    prepare(image, root, service="vitrine-test", now=now)
    promote(root)
    return root


@pytest.fixture
def image(tmp_path):
    folder = write_artefacts(tmp_path / "image")
    manifest_of(folder)
    return folder


@pytest.fixture
def deployment(tmp_path, image):
    return accepted(tmp_path / "deployment", image)


@pytest.fixture
def another(tmp_path):
    """A deployment of another image."""
    folder = write_artefacts(tmp_path / "image2", seed=2)
    manifest_of(folder, packages=(Package("openssl", "3.5.4-1", bytes(32)),))
    return accepted(tmp_path / "deployment2", folder)


@pytest.fixture
def archive(tmp_path, image):
    """What auditors rebuild the image from, with one file."""
    folder, uki = tmp_path / "archive", (image / "uki.efi").read_bytes()
    (folder / "image").mkdir(parents=True)
    (folder / "image/uki.efi").write_bytes(uki)
    files = {"image/uki.efi": {"sha256": sha256(uki).hexdigest(), "size": len(uki)}}
    manifest = sha256((image / "manifest.json").read_bytes()).hexdigest()
    (folder / "archive.json").write_text(json.dumps({"version": 1, "manifest_sha256": manifest, "files": files}))
    return folder


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def told(self):
        return json.loads(self.out)


@pytest.fixture
def command(capfd):
    def call(*words):
        parser = argparse.ArgumentParser(prog="vitrine")
        register(parser.add_subparsers(required=True))
        try:
            arguments = parser.parse_args(["release", *map(str, words)])
            code = arguments.run(arguments)
        except SystemExit as error:
            code = error.code
        return Said(code, *capfd.readouterr())

    return call


@dataclass(frozen=True, slots=True)
class Site:
    """A publisher's folder, the files of the holders' keys, and what they do with the command."""

    folder: Path
    work: Path
    command: object

    @property
    def trust(self):
        return ("--publisher", *(self.work / f"{name}.pub" for name in "abc"), "--threshold", 2)

    def create(self, *sources, output="next.json", **options):
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        return self("create", *sources, "--output", self.work / output, *words)

    def sign(self, name="a", file="next.json", *words):
        return self("sign", self.work / file, "--key", self.work / f"{name}.key", *words)

    def publish(self, *words, file="next.json"):
        return self("publish", self.work / file, *words)

    def released(self, source, **options):
        """Do all of it."""
        for said in (self.create(source, **options), self.sign("a"), self.sign("b"), self.publish("--source", source)):
            assert said.code == 0, said.err
        return read_release((self.folder / "release.json").read_bytes())

    def __call__(self, action, *words):
        return self.command(action, *words, *self.trust, "--published", self.folder)

    def files(self):
        paths = (path for path in self.folder.rglob("*") if path.is_file() and path.name[0] != ".")
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def site(tmp_path, command):
    made = Site(tmp_path / "site", tmp_path / "work", command)
    for name in "abcde":
        assert command("keygen", made.work / f"{name}.key").code == 0
    return made


def resigned(release, *keys, **values):
    """Return a release with other values, signed by these keys."""
    return sign(replace(release, **values).to_statement(), keys)


def days(count):
    return timedelta(days=count)
