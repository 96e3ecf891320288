"""A second reader of a log's files, written from the documents alone and sharing no code with the client.

C2SP signed-note, tlog-checkpoint, tlog-cosignature and tlog-proof; RFC 6962, section 2.1, whose recursive definitions
are used as they stand there, where the client follows the steps of RFC 9162. Anything that is not as the documents say
is a ``ValueError``.
"""

from __future__ import annotations

import base64
import hashlib
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def vkey(text):
    """signed-note: a verifier key is name, hex of the key id and base64 of type and key, with pluses between."""
    name, key_id, encoded = text.split("+", 2)
    material = base64.b64decode(encoded, validate=True)
    if hashlib.sha256(name.encode() + b"\n" + material).digest()[:4].hex() != key_id:
        raise ValueError("key id")
    return name, bytes.fromhex(key_id), material[0], material[1:]


def note(data):
    """signed-note, "Format": text, empty line, signature lines."""
    whole = data.decode("utf-8")
    if any(c < " " and c != "\n" for c in whole) or not whole.endswith("\n"):
        raise ValueError("characters")
    at = whole.rindex("\n\n")
    text, lines = whole[: at + 1], whole[at + 2 : -1].split("\n")
    found = []
    for line in lines:
        dash, name, encoded = line.split(" ")
        blob = base64.b64decode(encoded, validate=True)
        if dash != "—" or not name or "+" in name or len(blob) < 5:
            raise ValueError("signature line")
        found.append((name, blob[:4], blob[4:]))
    return text, found


def signed_by(data, text_of_key):
    """Return what a key says of a note: its time, or None of a plain signature; ``KeyError`` where it did not sign."""
    text, lines = note(data)
    name, key_id, kind, key = vkey(text_of_key)
    for one, one_id, blob in lines:
        if (one, one_id) != (name, key_id):
            continue
        message, at, signature = text.encode(), None, blob
        if kind == 4:  # tlog-cosignature, "Ed25519 signed message"
            (at,) = struct.unpack(">Q", blob[:8])
            message, signature = b"cosignature/v1\ntime %d\n" % at + message, blob[8:]
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature as error:
            raise ValueError("signature") from error
        return at
    raise KeyError(name)


def checkpoint(text):
    """tlog-checkpoint, "Note text"."""
    origin, size, root, *_extensions = text.removesuffix("\n").split("\n")
    if str(int(size)) != size or not origin:
        raise ValueError("checkpoint")
    return origin, int(size), base64.b64decode(root, validate=True)


def proof(data):
    """tlog-proof, "Format"."""
    head, note_ = data.split(b"\n\n", 1)
    first, *lines = head.decode().split("\n")
    if first != "c2sp.org/tlog-proof@v1":
        raise ValueError("header")
    extra = base64.b64decode(lines.pop(0)[6:], validate=True) if lines[0].startswith("extra ") else b""
    word, index = lines.pop(0).split(" ")
    if word != "index" or str(int(index)) != index:
        raise ValueError("index")
    return int(index), [base64.b64decode(line, validate=True) for line in lines], note_, extra


def leaf(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def split(n):
    """The largest power of two that is smaller than n."""
    return 1 << (n - 1).bit_length() - 1


def mth(entries):
    """RFC 6962, section 2.1."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return leaf(entries[0])
    k = split(len(entries))
    return node(mth(entries[:k]), mth(entries[k:]))


def path(m, entries):
    """RFC 6962, section 2.1.1: PATH(m, D[n])."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def growth(m, entries):
    """RFC 6962, section 2.1.2: PROOF(m, D[n])."""
    return subproof(m, entries, whole=True)


def subproof(m, entries, *, whole):
    if m == len(entries):
        return [] if whole else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], whole=whole), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], whole=False), mth(entries[:k])]


def root_of(entry, index, size, hashes):
    """The root that a proof leads to, from the definition of PATH: the last hash is the sibling nearest to the root."""
    if size == 1:
        if hashes:
            raise ValueError("hashes are left over")
        return leaf(entry)
    *below, sibling = hashes
    k = split(size)
    if index < k:
        return node(root_of(entry, index, k, below), sibling)
    return node(sibling, root_of(entry, index - k, size - k, below))
