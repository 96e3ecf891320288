"""Logs to look at: made in memory from keys that are the same in every run, by publishers that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.binding import DEBUG_LOCKDOWN, LOCKDOWN, NO_GPU, SEALED
from client_sdk.dsse import sign
from client_sdk.manifest import Boot, Manifest, Model, Package, Verity, digest
from client_sdk.page.address import Address
from client_sdk.publisher import Publisher
from client_sdk.release import EXACT_PCRS, Measurement, Release, TemplateEvent
from client_sdk.rotation import KeySet, rotate
from client_sdk.transparency.formats.checkpoint import Checkpoint, open_checkpoint
from client_sdk.transparency.formats.merkle import leaf_hash, node_hash
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, add_signature, sign_note
from client_sdk.transparency.log.page import Named, Overview, render, survey

BEGUN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SEEN = datetime(2026, 5, 20, 8, 30, tzinfo=UTC)
ADDRESS = Address("https://releases.example/log")
# What a hostile publisher or log can be called: names of notes have neither spaces nor plus signs.
SCRIPT = "\"><script>alert(1)</script><img/src='https://evil.example'/onerror=alert(2)>&amp;]]><!--$(id)`id`;'"


def bytes_of(name: str, size: int = 32) -> bytes:
    """Return bytes that a name stands for."""
    return (sha256(name.encode()).digest() * 2)[:size]


@cache
def signing_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes_of(f"key {name}"))


def note_signer(name: str, kind: int = COSIGNATURE) -> NoteSigner:
    return NoteSigner(name, bytes_of(f"note {name}"), kind)


LOG = NoteSigner("releases.example/log", bytes_of("note log"))
WITNESSES = (note_signer("witness.north.example"), note_signer("witness.south.example"))


def root_of(entries: Sequence[bytes]) -> bytes:
    """Hash a Merkle tree as RFC 6962, section 2.1, defines it."""
    if len(entries) < 2:
        return leaf_hash(entries[0]) if entries else sha256(b"").digest()
    half = 1 << ((len(entries) - 1).bit_length() - 1)
    return node_hash(root_of(entries[:half]), root_of(entries[half:]))


def checkpoint(
    entries: Sequence[bytes], *, by: Sequence[NoteSigner] = WITNESSES, at: datetime = SEEN, log: NoteSigner = LOG
) -> bytes:
    """Sign a checkpoint as the log, and as these witnesses, each a minute after the one before."""
    text = Checkpoint(log.name, len(entries), root_of(entries)).to_text()
    note = sign_note(text, log)
    for place, witness in enumerate(by):
        note = add_signature(note, witness.sign(text, at=int((at + timedelta(minutes=place)).timestamp())))
    return note


def measurement(image: str, platform: str = "gcp-tdx", *, debug: bool = False, gpu: bool = False) -> Measurement:
    """State what an image measures: made up, but another image has other values where it really would."""
    of_image = {4, 9, 11}
    return Measurement(
        platform=platform,
        boot_mode="uefi",
        image_pcr=4,
        image_authenticode=bytes_of(f"image {image}"),
        pcrs=tuple(
            (pcr, bytes(32) if pcr >= 12 else bytes_of(f"{platform} {pcr} {image if pcr in of_image else ''}"))
            for pcr in EXACT_PCRS
        ),
        pcr0_allowed=(bytes_of(f"{platform} firmware"),),
        acpi_allowed=(bytes_of(f"{platform} tables"),),
        phases=("sysinit", "ready"),
        pcr15_template=(
            TemplateEvent("lockdown", DEBUG_LOCKDOWN if debug else LOCKDOWN),
            TemplateEvent("tls-spki", None),
            TemplateEvent("gpu", None if gpu else NO_GPU),
            TemplateEvent("sealed", SEALED),
        ),
        rtmrs=((1, bytes_of(f"rtmr 1 {image}", 48)), (2, bytes_of(f"rtmr 2 {image}", 48))),
        launch_measurements=(bytes_of(f"{platform} mrtd", 48),),
    )


def package(name: str, version: str) -> Package:
    return Package(name, version, bytes_of(f"{name} {version}"))


def verity(name: str) -> Verity:
    return Verity(bytes_of(f"root {name}"), bytes_of(f"salt {name}"), 27_205, "6c83a838-78d8-88dd-825b-cf6a2de84687")


_PACKAGES = (
    ("base-files", "13.8+deb13u8"),
    ("libc6", "2.41-12"),
    ("libssl3t64", "3.5.1-1"),
    ("linux-image-amd64", "6.12.41-1"),
    ("python3", "3.13.5-1"),
    ("systemd", "257.7-1"),
)
_FILES = (
    "playbooks/bake.yml",
    "roles/base/tasks/main.yml",
    "roles/egress_firewall/files/tree/etc/nftables.conf",
    "roles/egress_firewall/tasks/main.yml",
    "roles/gateway/files/tree/usr/lib/systemd/system/vitrine-gateway.service.j2",
    "roles/gateway/tasks/main.yml",
    "serving/gateway/app.py",
    "serving/gateway/relay.py",
    "serving/selfcheck/checks.py",
)
CMDLINE = "quiet lockdown=confidentiality module.sig_enforce=1 init_on_alloc=1"


def manifest(image: str, **changed: object) -> Manifest:
    """Name what is in an image."""
    made = Manifest(
        packages=tuple(package(*pair) for pair in _PACKAGES),
        files=tuple((path, bytes_of(path)) for path in _FILES),
        tools=(package("erofs-utils", "1.8.6-1"), package("systemd-ukify", "257.7-1")),
        kernel="6.12.41+deb13-cloud-amd64",
        boot=Boot(*(bytes_of(f"{part} {image}") for part in ("uki", "image", "stub", "linux", "initrd")), CMDLINE),
        root=verity(image),
        models=(Model("qwen3-8b", "vllm", "Qwen/Qwen3-8B", "9c925d6", (("model.safetensors", bytes_of("qwen")),)),),
        model_disk=verity("models"),
        wheels=(package("vllm", "0.19.1"),),
        token_issuer_key="",
        source_commit=bytes_of(f"commit {image}", 20).hex(),
    )
    return replace(made, **changed)


def with_versions(found: Manifest, **versions: str) -> tuple[Package, ...]:
    """Return a manifest's packages, some in another version (``linux_image_amd64`` is linux-image-amd64)."""
    wanted = {name.replace("_", "-"): version for name, version in versions.items()}
    return tuple(package(one.name, wanted.get(one.name, one.version)) for one in found.packages)


def with_files(found: Manifest, *changed: str, more: Sequence[str] = ()) -> tuple[tuple[str, bytes], ...]:
    """Return a manifest's files, some with other bytes, and more of them."""
    kept = tuple((path, bytes_of(f"{path} again") if path in changed else value) for path, value in found.files)
    return tuple(sorted((*kept, *((path, bytes_of(path)) for path in more))))


def released(number: int, made: Manifest, *measured: Measurement, **changed: object) -> Release:
    """Make a release of an image, a month after the one before, that is in force for half a year."""
    since = BEGUN + timedelta(days=28 * (number - 1))
    found = Release(
        number=number,
        not_before=since,
        not_after=since + timedelta(days=182),
        supersedes=number - 1 or None,
        revokes=(),
        service="assistant",
        manifest_sha256=digest(made.to_json()),
        measurements=measured,
    )
    return replace(found, **changed)


def _images() -> tuple[Manifest, ...]:
    first = manifest("one")
    second = manifest("two", packages=with_versions(first, libssl3t64="3.5.2-1"), source_commit=first.source_commit)
    gateway = "roles/gateway/files/tree/usr/lib/systemd/system/vitrine-gateway.service.j2"
    third = manifest(
        "three",
        packages=(*with_versions(second, linux_image_amd64="6.12.48-1"), package("nftables", "1.1.3-1")),
        files=with_files(second, gateway, "serving/gateway/relay.py", more=["serving/gateway/shaping.py"]),
        kernel="6.12.48+deb13-cloud-amd64",
        boot=replace(manifest("three").boot, cmdline=f"{CMDLINE} init_on_free=1"),
    )
    fourth = manifest(
        "four",
        packages=with_versions(third, python3="3.13.5-2"),
        files=with_files(third, "roles/egress_firewall/files/tree/etc/nftables.conf"),
        kernel=third.kernel,
        boot=replace(manifest("four").boot, cmdline=third.boot.cmdline),
    )
    return first, second, third, fourth


IMAGES = _images()
OLD_KEYS, NEW_KEYS = ("anna", "bram", "chen"), ("anna", "bram", "dina")


def key_set(names: Sequence[str], threshold: int = 2) -> KeySet:
    return KeySet(tuple(signing_key(name).public_key() for name in names), threshold)


def signed(value: Release, *names: str) -> bytes:
    return sign(value.to_statement(), tuple(signing_key(name) for name in names))


def rotation() -> bytes:
    keys = tuple(signing_key(name) for name in dict.fromkeys((*OLD_KEYS, *NEW_KEYS)))
    return rotate(key_set(OLD_KEYS), key_set(NEW_KEYS), number=2, keys=keys)


def story() -> tuple[bytes, ...]:
    """A publisher's log: two services, a revocation, and a key that left."""
    one, two, three, four = IMAGES
    embeddings = {"service": "embeddings", "supersedes": None}
    return (
        signed(released(1, one, measurement("one"), supersedes=None), "anna", "bram"),
        signed(released(1, one, measurement("one"), **embeddings), "anna", "bram"),
        signed(released(2, two, measurement("two")), "anna", "chen"),
        signed(released(3, three, measurement("three")), "bram", "chen"),
        rotation(),
        signed(released(4, four, measurement("four"), measurement("four", "gcp-snp"), revokes=(3,)), "anna", "dina"),
        signed(released(5, four, measurement("four"), measurement("four", "gcp-snp"), revokes=(3,)), "anna", "dina"),
    )


def publisher() -> Named:
    return Named("Example Care", Publisher(keys=key_set(OLD_KEYS).keys, threshold=2))


def overview(
    entries: Sequence[bytes] | None = None,
    *,
    publishers: Sequence[Named] | None = None,
    by: Sequence[NoteSigner] = WITNESSES,
    asked: Sequence[NoteSigner] = WITNESSES,
    manifests: Sequence[Manifest] = IMAGES,
    at: datetime = SEEN,
    log: NoteSigner = LOG,
) -> Overview:
    """Survey a log as whoever makes its pages does."""
    found = story() if entries is None else tuple(entries)
    keys = tuple(witness.verifier for witness in asked)
    seen = open_checkpoint(checkpoint(found, by=by, at=at, log=log), log.verifier, keys)
    files = {digest(data): data for data in (one.to_json() for one in manifests)}
    named = [publisher()] if publishers is None else publishers
    return survey(seen, found, named, log=log.verifier, witnesses=keys, manifest_of=files.get)


def pages(entries: Sequence[bytes] | None = None, **options: object) -> dict[str, bytes]:
    return render(overview(entries, **options), ADDRESS)


def hostile() -> Overview:
    """A log in which everything that its writers choose is an attack on whoever looks at it."""
    first = manifest("one")
    bad = replace(
        first,
        packages=(Package(SCRIPT, SCRIPT, bytes_of("bad")),),
        files=((f"roles/{SCRIPT}/a", bytes_of("bad")), (SCRIPT, bytes_of("worse"))),
        tools=(Package(SCRIPT, SCRIPT, bytes_of("tool")),),
        wheels=(Package(SCRIPT, SCRIPT, bytes_of("wheel")),),
        kernel=SCRIPT,
        boot=replace(first.boot, cmdline=f"{SCRIPT} {SCRIPT}={SCRIPT}"),
        models=(Model(SCRIPT, SCRIPT, SCRIPT, SCRIPT, ((SCRIPT, bytes_of("model")),)),),
        token_issuer_key=SCRIPT,
        source_commit=SCRIPT,
    )
    measured = replace(measurement("bad"), platform=SCRIPT[:32], boot_mode=SCRIPT[-32:], phases=(SCRIPT[:64],))
    entries = (
        signed(released(1, first, measured, service=SCRIPT, supersedes=None), "anna", "bram"),
        signed(released(2, bad, measured, replace(measured, boot_mode="b"), service=SCRIPT), "anna", "bram"),
        SCRIPT.encode(),
    )
    return overview(
        entries,
        publishers=[replace(publisher(), name=SCRIPT)],
        by=(note_signer(SCRIPT), note_signer(f"{SCRIPT}?")),
        asked=(note_signer(SCRIPT),),
        manifests=(first, bad),
        log=NoteSigner(SCRIPT, bytes_of("note log")),
    )
