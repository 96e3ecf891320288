"""Vectors of the stage ``release``: signatures, proofs, witnesses, rotations, and what was seen before (R1 to R6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.dsse import Envelope, assemble, sign
from client_sdk.fields import format_instant
from client_sdk.release import Measurement, Release, TemplateEvent
from client_sdk.rotation import KeySet, rotate
from client_sdk.transparency.formats.bundle import Bundle, Place
from client_sdk.transparency.formats.growth import Growth, write_growths
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, UnverifiedNote, add_signature
from tests.fakes import simulated_vm
from tests.fakes.keys import ed25519_key
from tests.transparency.logs import LOG, STRANGER, W1, W2, W3, WITNESSES, FakeLog, others
from tests.transparency.second_reader import growth
from tests.vectors.case import Case, Family, Request, b64, merged

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PRESENT = int(NOW.timestamp())
DAY, SKEW = 86_400, 300
FIRST, NEXT, LAST, THIEF = (ed25519_key(name) for name in ("publisher", "publisher's next", "his last", "thief"))
HOLDERS = tuple(ed25519_key(f"holder {number}") for number in (1, 2, 3))
REBUILDER = ed25519_key("rebuilder")
STRANGER_LOG = NoteSigner("other.example", b"o" * 32)
MEASURED = Measurement(
    platform="local-qemu",
    boot_mode="uefi",
    image_pcr=4,
    image_authenticode=bytes(range(32)),
    pcrs=tuple((index, bytes([index]) * 32) for index in simulated_vm.EXACT_PCRS),
    pcr0_allowed=(),
    phases=simulated_vm.PHASES,
    pcr15_template=(
        TemplateEvent("lockdown", simulated_vm.LOCKDOWN),
        TemplateEvent("tls-spki", None),
        TemplateEvent("gpu", simulated_vm.NO_GPU),
        TemplateEvent("sealed", simulated_vm.SEALED),
    ),
)


def stated(number: int = 1, **changes) -> Release:
    return replace(simulated_vm.release(number, MEASURED, since=NOW), **changes)


def by(key: Ed25519PrivateKey, number: int = 1, **changes) -> bytes:
    return sign(stated(number, **changes).to_statement(), (key,))


ONE, TWO, THREE = (by(FIRST, number) for number in (1, 2, 3))


def pins(*keys: Ed25519PrivateKey, **changes) -> Request:
    """Return the pins of these keys alone."""
    return {"keys_hex": [key.public_key().public_bytes_raw().hex() for key in keys or (FIRST,)]} | changes


def logged(*keys: Ed25519PrivateKey, **changes) -> Request:
    """Return the pins of a careful caller."""
    names = [str(witness.verifier) for witness in WITNESSES]
    careful = {"log": str(LOG.verifier), "witnesses": names, "witness_quorum": 2, "max_checkpoint_age_days": 7}
    return merged(pins(*keys, **careful), **changes)


def request(file: bytes | Bundle, publisher: Request, *before: bytes | Bundle) -> Request:
    release, *earlier = (b64(one if isinstance(one, bytes) else one.to_json()) for one in (file, *before))
    made = {"release": release, "publisher": publisher, "now": format_instant(NOW)}
    return made | ({"before": earlier} if earlier else {})


def log_of(*before: bytes, **how) -> FakeLog:
    return FakeLog(list(before), present=PRESENT, **how)


def shown(envelope: bytes = ONE, *, before: tuple[bytes, ...] | None = None, after: int = 3, **how) -> Bundle:
    """Return the bundle of a release amid other entries."""
    log = log_of(*(others(5) if before is None else before)).add(envelope, *others(after, b"later"))
    return log.bundle(envelope, **how)


def cases() -> list[Case]:
    """Return the cases of the stage."""
    family = Family("release")
    _signed(family)
    _in_its_dates(family)
    _rebuilt(family)
    _in_a_log(family)
    _proofs(family)
    _notes(family)
    _witnessed(family)
    _times(family)
    _rotated(family)
    _remembered(family)
    _trees(family)
    _keys_remembered(family)
    return family.cases


def _signed(family: Family) -> None:
    family.control("a release", request(ONE, pins()))
    family.attack("by another key", "R1", request(by(THIEF), pins()))
    statement, public = stated().to_statement(), FIRST.public_key()
    (moved,) = Envelope.from_json(TWO).signatures
    family.attack("the signature of another release", "R1", request(assemble(statement, ((public, moved),)), pins()))
    unframed = assemble(statement, ((public, FIRST.sign(statement)),))
    family.attack("a signature of the payload without its type", "R1", request(unframed, pins()))
    other = ONE.replace(b"application/vnd.in-toto+json", b"application/vnd.in-toto+yaml")
    family.attack("an envelope of another type", "R1", request(other, pins()))
    two = pins(*HOLDERS, threshold=2)
    family.control("two of three holders", request(sign(statement, HOLDERS[1:]), two))
    family.attack("one of three holders", "R1", request(sign(statement, HOLDERS[:1]), two))
    family.attack("one holder twice", "R1", request(sign(statement, HOLDERS[:1] * 2), two))
    family.attack("one holder and a stranger", "R1", request(sign(statement, (HOLDERS[0], THIEF)), two))


def _in_its_dates(family: Family) -> None:
    second = timedelta(seconds=1)
    edges = by(FIRST, not_before=NOW, not_after=NOW + second)
    family.control("in force from this second on", request(edges, pins()))
    family.attack("not in force yet", "R6", request(by(FIRST, not_before=NOW + second), pins()))
    family.attack("out of force", "R6", request(by(FIRST, not_after=NOW - second), pins()))


def _rebuilt(family: Family) -> None:
    statement, rebuilt = stated().to_statement(), pins(rebuilders_hex=pins(REBUILDER)["keys_hex"])
    family.control("that a rebuilder signed as well", request(sign(statement, (FIRST, REBUILDER)), rebuilt))
    family.attack("that its rebuilder did not sign", "R5.rebuilders", request(ONE, rebuilt))
    family.attack("that another rebuilder signed", "R5.rebuilders", request(sign(statement, (FIRST, THIEF)), rebuilt))
    family.attack("that its rebuilder signed alone", "R1", request(sign(statement, (REBUILDER,)), rebuilt))


def _in_a_log(family: Family) -> None:
    family.control("in a log", request(shown(), logged()))
    family.attack("alone where a log is pinned", "R2.log", request(ONE, logged()))
    family.attack("that another signed though it is logged", "R1", request(shown(by(THIEF)), logged()))
    whole = shown()
    family.attack("that was never logged", "R2.inclusion", request(replace(whole, envelope=TWO), logged()))
    again = sign(stated().to_statement(), (FIRST, THIEF))
    family.attack("the same statement signed again", "R2.inclusion", request(replace(whole, envelope=again), logged()))


def _proofs(family: Family) -> None:
    whole = shown()
    right, other = whole.proof.hashes, b"\x55" * 32

    def told(**values) -> Request:
        return request(replace(whole, proof=replace(whole.proof, **values)), logged())

    for index in (4, 6, 9):
        family.attack(f"the right proof at index {index}", "R2.inclusion", told(index=index))
    wrong = {
        "a hash less": right[:-1],
        "a hash more": (*right, other),
        "a hash changed": (other, *right[1:]),
        "its hashes in another order": right[::-1],
        "no hash": (),
    }
    for what, hashes in wrong.items():
        family.attack(f"a proof with {what}", "R2.inclusion", told(hashes=hashes))
    log = log_of(*others(5))
    before = log.checkpoint()
    late = log.add(ONE).bundle(ONE, checkpoint=before)
    family.attack("a checkpoint from before the release", "R2.inclusion", request(late, logged()))


def _notes(family: Family) -> None:
    honest, fork = (log_of(*first, *others(4), ONE, *others(3, b"later")) for first in ((b"other 9",), (b"forged",)))
    note = honest.checkpoint()
    family.attack(
        "a checkpoint whose size was changed",
        "R2.note",
        request(honest.bundle(ONE, checkpoint=note.replace(b"\n9\n", b"\n10\n")), logged()),
    )
    family.attack(
        "a checkpoint whose root was changed",
        "R2.note",
        request(fork.bundle(ONE, checkpoint=note.replace(*_roots(honest, fork))), logged()),
    )
    forked = fork.checkpoint(by=())
    for signature in UnverifiedNote.from_bytes(note).signatures[1:]:
        forked = add_signature(forked, signature)
    moved = request(fork.bundle(ONE, checkpoint=forked), logged())
    family.attack("witnesses' words for another tree", "R2.note", moved)
    impostor = replace(honest, signer=NoteSigner(LOG.name, b"o" * 32)).bundle(ONE, by=())
    family.attack("a log of this name with another key", "R2.note", request(impostor, logged()))
    other = replace(honest, signer=STRANGER_LOG, origin="other.example").bundle(ONE)
    family.attack("another log that the witnesses watch", "R2.checkpoint", request(other, logged()))
    unsigned = replace(honest, signer=STRANGER_LOG).bundle(ONE)
    family.attack(
        "a checkpoint that witnesses signed and the log did not", "R2.checkpoint", request(unsigned, logged())
    )
    named = replace(honest, origin="other.example").bundle(ONE)
    family.attack("another log's tree under the pinned key", "R2.checkpoint", request(named, logged()))
    family.control(
        "under a checkpoint with an extension line",
        request(honest.bundle(ONE, text=honest.text() + "extension\n"), logged()),
    )


def _roots(old: FakeLog, new: FakeLog) -> tuple[bytes, bytes]:
    first, second = (log.text().split("\n")[2].encode() for log in (old, new))
    return first, second


def _witnessed(family: Family) -> None:
    family.control("two of three witnesses", request(shown(by=(W2, W3)), logged()))
    alias, own = NoteSigner("alias.example", W1.seed, COSIGNATURE), NoteSigner(LOG.name, LOG.seed, COSIGNATURE)
    few = {
        "no witness": (),
        "one of three witnesses": (W1,),
        "one witness and a stranger": (W1, STRANGER),
        "one witness under two names": (W1, alias),
        "one witness and the log's own key": (W1, own),
    }
    for what, who in few.items():
        family.attack(what, "R2.witnesses", request(shown(by=who), logged()))
    log = log_of(*others(5)).add(ONE, *others(3, b"later"))
    note = UnverifiedNote.from_bytes(log.checkpoint(by=()))
    twice = tuple(W1.sign(note.text, at=PRESENT - age) for age in (60, 61))
    whole = replace(note, signatures=(*note.signatures, *twice)).to_bytes()
    family.attack("one witness twice", "R2.witnesses", request(log.bundle(ONE, checkpoint=whole), logged()))
    undated = add_signature(log.checkpoint(by=(W1,)), NoteSigner(W2.name, W2.seed).sign(log.text()))
    dateless = request(log.bundle(ONE, checkpoint=undated), logged())
    family.attack("a witness that says no time", "R2.witnesses", dateless)
    every = logged(witness_quorum=None)
    family.control("all of three witnesses", request(shown(by=WITNESSES), every))
    family.attack("two of three witnesses where all must", "R2.witnesses", request(shown(), every))


def _times(family: Family) -> None:
    family.control("that witnesses saw seven days ago", request(shown(ages=(7 * DAY, 7 * DAY)), logged()))
    family.attack("that witnesses saw longer ago", "R2.age", request(shown(ages=(7 * DAY + 1, 7 * DAY + 1)), logged()))
    family.attack("that one of two saw longer ago", "R2.age", request(shown(ages=(60, 7 * DAY + 1)), logged()))
    family.control("that witnesses see in five minutes", request(shown(ages=(-SKEW, -SKEW)), logged()))
    family.attack("that witnesses see later", "R2.future", request(shown(ages=(-SKEW - 1, -SKEW - 1)), logged()))
    family.attack("that one of two sees later", "R2.future", request(shown(ages=(60, -(2**40))), logged()))
    beside = shown(by=WITNESSES, ages=(60, 60, -9999))
    family.control("that a third witness sees later", request(beside, logged()))
    hidden = shown(by=WITNESSES, ages=(60, 8 * DAY, -9999))
    family.attack("an old one behind a witness of the future", "R2.age", request(hidden, logged()))


def _set(*keys: Ed25519PrivateKey) -> KeySet:
    return KeySet(tuple(key.public_key() for key in keys))


def _step(number: int, old: Ed25519PrivateKey, new: Ed25519PrivateKey, *, signers: tuple | None = None) -> bytes:
    return rotate(_set(old), _set(new), number=number, keys=(old, new) if signers is None else signers)


ROTATION = _step(2, FIRST, NEXT)


def rotated(envelope: bytes, *rotations: bytes, **how) -> Bundle:
    return log_of(*others(2)).bundle(envelope, rotations=rotations, **how)


def _rotated(family: Family) -> None:
    good = rotated(by(NEXT, 2), ROTATION)
    unproven = replace(good, places=())
    family.control("by keys that follow, where no log is pinned", request(unproven, pins()))
    family.control("by keys that follow the pinned ones", request(good, logged()))
    family.attack("without the rotation", "R1", request(replace(good, rotations=(), places=()), logged()))
    family.attack("by the keys of before, beside the rotation", "R1", request(rotated(TWO, ROTATION), logged()))
    family.attack("a rotation without a proof", "R2.inclusion", request(unproven, logged()))
    there = replace(good, places=(Place(0, good.places[0].hashes),))
    family.attack("a rotation that is not in the log", "R2.inclusion", request(there, logged()))
    for what, signers in {"old": (FIRST,), "new": (NEXT,)}.items():
        half = rotated(by(NEXT, 2), _step(2, FIRST, NEXT, signers=signers))
        family.attack(f"a rotation that the {what} keys alone signed", "R1", request(half, logged()))
    foreign = rotated(by(NEXT, 2), _step(2, THIEF, NEXT))
    family.attack("a rotation of somebody else's keys", "R1", request(foreign, logged()))
    third = by(LAST, 3)
    family.control("two rotations on", request(rotated(third, ROTATION, _step(3, NEXT, LAST)), logged()))
    family.attack(
        "rotations with a gap in their numbers",
        "R1",
        request(rotated(third, ROTATION, _step(4, NEXT, LAST)), logged()),
    )
    family.attack(
        "rotations in another order",
        "R1",
        request(rotated(third, _step(3, NEXT, LAST), ROTATION), logged()),
    )
    family.control("a rotation from before the pin, without a proof", request(unproven, logged(NEXT)))


def _remembered(family: Family) -> None:
    family.control("a newer release than before", request(TWO, pins(), ONE))
    family.attack("an older release than before", "R3.number", request(ONE, pins(), TWO))
    family.control("the same release once more", request(TWO, pins(), ONE, TWO))
    family.attack("back to the one before the last", "R3.number", request(TWO, pins(), ONE, THREE, TWO))
    family.control("an older release of another service", request(ONE, pins(), by(FIRST, 9, service="another")))
    revoking = by(FIRST, 3, revokes=(2,))
    family.control("after a revocation, the one that revokes", request(revoking, pins(), TWO, revoking))
    family.attack("a release that was revoked since", "R3", request(TWO, pins(), TWO, revoking))
    gone = by(FIRST, 3, revokes=(2,), not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=8))
    family.attack("a release that one out of force revoked", "R3", request(TWO, pins(), TWO, gone))
    foreign = by(THIEF, 3, revokes=(2,))
    family.control("a release that a stranger revoked", request(TWO, pins(), TWO, foreign))


def _trees(family: Family) -> None:
    log = log_of(*others(5)).add(TWO, *others(3, b"later"))
    seen = log.bundle(TWO)
    log.add(*others(11, b"new"))
    grown = log.bundle(TWO, since=(9,))
    family.control("a tree that grew, with its proof", request(grown, logged(), seen))
    family.attack("a smaller tree than before", "R3.tree", request(seen, logged(), grown))
    forged = shown(TWO, before=(b"forged", *others(4)))
    family.attack("another tree of the same size", "R3.view", request(forged, logged(), seen))
    fork = log_of(b"forged", *others(4)).add(TWO, *others(14, b"later")).bundle(TWO, since=(9,))
    family.attack("a tree that did not grow out of the one before", "R3.consistency", request(fork, logged(), seen))
    right = tuple(growth(9, log.entries))
    for what, hashes in {"a hash less": right[:-1], "a hash changed": (b"\x55" * 32, *right[1:])}.items():
        extra = write_growths((Growth(9, hashes),))
        wrong = replace(grown, proof=replace(grown.proof, extra=extra))
        family.attack(f"a proof of growth with {what}", "R3.consistency", request(wrong, logged(), seen))


def _keys_remembered(family: Family) -> None:
    """What was seen of keys counts, however it was left away since; and two rotations of one set (docs/log.md)."""
    followed = rotated(by(NEXT, 2), ROTATION)
    late = log_of(*others(2), ROTATION, by(NEXT, 2)).add(THREE, by(NEXT, 3))
    family.control("by new keys, whose rotation was seen before", request(late.bundle(by(NEXT, 3)), logged(), followed))
    cut = late.bundle(THREE)
    family.attack("by the keys of before, the rotation cut off", "R1", request(cut, logged(), followed))
    refused = log_of(*others(2)).bundle(TWO, rotations=(ROTATION,))
    family.attack("the same after a refusal", "R1", request(cut, logged(), refused))
    forked = log_of(*others(2)).add(ROTATION, _step(2, FIRST, THIEF), by(NEXT, 2), by(THIEF, 3))
    sides = [
        forked.bundle(by(key, number), rotations=(_step(2, FIRST, key),)) for key, number in ((NEXT, 2), (THIEF, 3))
    ]
    family.control("one of two rotations of one set, with no memory", request(sides[1], logged()))
    family.attack("the other of two rotations of one set", "R1", request(sides[1], logged(), sides[0]))
