"""The actions of ``vitrine release``: each reads what was named, does its part, and returns what it tells.

What is said while it is done goes to standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_sdk.dsse import key_id
from client_sdk.errors import EvidenceError
from client_sdk.publisher import Publisher
from client_sdk.release import Release
from client_sdk.rotation import KeySet, Rotation, rotate
from provisioner import keys
from provisioner.errors import Fault, SpecError
from provisioner.progress import say
from provisioner.releases import passphrase, telling
from provisioner.releases.checks import next_rotation, require_next, require_rotation, require_sound
from provisioner.releases.draft import Terms, make, read_source, revoke, unsigned
from provisioner.releases.explain import explain, read_difference
from provisioner.releases.files import SIGNABLE, read_file, write_file
from provisioner.releases.folder import Published, read_published
from provisioner.releases.keygen import make_key
from provisioner.releases.publishing import Wanted, publish
from provisioner.releases.signing import (
    Holders,
    Signed,
    add_signature,
    open_signed,
    read_statement,
    require_loggable,
    require_own,
)
from provisioner.releases.telling import Answer


def _keygen(arguments: argparse.Namespace) -> Answer:
    file = arguments.passphrase_file

    def choose(key: Path) -> bytes:
        return passphrase.choose(key, file) if arguments.encrypt or file is not None else b""

    return make_key(arguments.file, choose, progress=say), ()


def _create(arguments: argparse.Namespace) -> Answer:
    published, now = _published(arguments), _now()
    sources = tuple(read_source(path) for path in arguments.sources)
    terms = _terms(arguments, tuple(sorted(set(arguments.revokes))))
    return _draft(arguments, make(sources, terms, published.history, now=now))


def _revoke(arguments: argparse.Namespace) -> Answer:
    published, now = _published(arguments), _now()
    sources = tuple(read_source(path) for path in arguments.sources)
    numbers = tuple(sorted(set(arguments.numbers)))
    return _draft(arguments, revoke(numbers, sources, _terms(arguments), published.history, now=now))


def _rotate(arguments: argparse.Namespace) -> Answer:
    published = _published(arguments)
    following = _following(arguments)
    data = rotate(published.keys, following, number=next_rotation(published.history))
    write_file(arguments.output, data)
    signed = open_signed({str(arguments.output): data}, Holders(published.keys))
    say(f"{arguments.output}: {signed.what}, not signed yet. It needs signatures of")
    for fault in signed.missing:
        say(f"  {fault.field}: {fault.expected.removeprefix('signatures of ')}")
    return telling.signed_as_dict(signed) | {"file": str(arguments.output)}, ()


def _following(arguments: argparse.Namespace) -> KeySet:
    try:
        return KeySet.of(Publisher(keys=tuple(arguments.new), threshold=arguments.new_threshold))
    except EvidenceError as error:
        raise SpecError((Fault("--new, --new-threshold", "the public keys from now on", str(error)),)) from error


def _sign(arguments: argparse.Namespace) -> Answer:
    pin, now = _pin(arguments), _now()
    published = None if arguments.published is None else read_published(arguments.published, pin)
    holders = _holders(arguments, KeySet.of(pin) if published is None else published.keys)
    signed = open_signed({str(arguments.file): read_file(arguments.file, SIGNABLE)}, holders)
    _require_signable(signed.statement, published, holders, now=now)
    key = keys.load(arguments.key, passphrase.asking(arguments.passphrase_file))
    done = add_signature(signed, key, str(arguments.key))
    output = arguments.output or arguments.file
    write_file(output, done.data)
    for line in _shown(done):
        say(line)
    ready = "all signatures are there: publish it" if not done.missing else "pass it on to the next holder"
    say(f"{output}: signed with key {key_id(key.public_key())}; {ready}")
    return telling.signed_as_dict(done) | {"file": str(output)}, ()


def _require_signable(
    statement: Release | Rotation, published: Published | None, holders: Holders, *, now: datetime
) -> None:
    """Refuse to sign what can be seen to be wrong; against the published ones, where the holder has them."""
    if isinstance(statement, Release):
        if published is None:
            require_sound(statement, now=now)
        else:
            require_next(statement, published.history, now=now)
    elif published is not None:
        require_rotation(statement, holders.keys, published.history)
    else:
        require_own(statement, holders.keys)


def _publish(arguments: argparse.Namespace) -> Answer:
    wanted = Wanted(
        files={str(path): read_file(path, SIGNABLE) for path in arguments.files},
        root=arguments.published,
        pin=_pin(arguments),
        rebuilders=_rebuilders(arguments),
        source=arguments.source,
        archive=arguments.archive,
        log=arguments.log,
    )
    done = publish(wanted, now=_now(), progress=say)
    return done, ()


def _show(arguments: argparse.Namespace) -> Answer:
    holders = None if arguments.publisher is None else _holders(arguments, KeySet.of(_pin(arguments)))
    told, lines = explain(arguments.file, arguments.manifest, holders)
    return told, lines


def _diff(arguments: argparse.Namespace) -> Answer:
    holders = None if arguments.publisher is None else _holders(arguments, KeySet.of(_pin(arguments)))
    return read_difference(arguments.old, arguments.new, tuple(arguments.manifest), holders)


def _draft(arguments: argparse.Namespace, release: Release) -> Answer:
    data = unsigned(release)
    require_loggable(data, str(arguments.output))
    read_statement(data, str(arguments.output))  # what was written can be read
    write_file(arguments.output, data)
    for line in telling.release_lines(release):
        say(line)
    say(f"{arguments.output}: release {release.number}, not signed yet; each holder: vitrine release sign")
    return telling.release_as_dict(release) | {"file": str(arguments.output)}, ()


def _shown(signed: Signed) -> Iterable[str]:
    said = signed.statement
    yield from telling.release_lines(said) if isinstance(said, Release) else telling.rotation_lines(said)
    yield from telling.signature_lines(signed)


def _terms(arguments: argparse.Namespace, revokes: tuple[int, ...] = ()) -> Terms:
    return Terms(
        service=arguments.service,
        start=arguments.not_before,
        lifetime=timedelta(days=arguments.days),
        revokes=revokes,
        number=arguments.number,
    )


def _published(arguments: argparse.Namespace) -> Published:
    if not arguments.published.exists():
        say(f"{arguments.published}: there is no such folder, so nothing is published yet")
    return read_published(arguments.published, _pin(arguments))


def _pin(arguments: argparse.Namespace) -> Publisher:
    try:
        return Publisher(keys=tuple(arguments.publisher), threshold=arguments.threshold)
    except EvidenceError as error:
        raise SpecError((Fault("--publisher, --threshold", "the publisher's public keys", str(error)),)) from error


def _rebuilders(arguments: argparse.Namespace) -> tuple[Ed25519PublicKey, ...]:
    if not arguments.rebuilders:
        return ()
    try:
        return Publisher(keys=tuple(arguments.rebuilders)).public_keys
    except EvidenceError as error:
        raise SpecError((Fault("--rebuilder", "public keys of those who rebuilt the image", str(error)),)) from error


def _holders(arguments: argparse.Namespace, current: KeySet) -> Holders:
    return Holders(current, _rebuilders(arguments))


def _now() -> datetime:
    return datetime.now(UTC)


ACTIONS: Mapping[str, Callable[[argparse.Namespace], Answer]] = {
    "keygen": _keygen,
    "create": _create,
    "revoke": _revoke,
    "sign": _sign,
    "publish": _publish,
    "rotate": _rotate,
    "show": _show,
    "diff": _diff,
}
