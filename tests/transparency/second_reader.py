"""A second reader of logs, written from the C2SP documents alone: it shares no code with the client.

signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles and tlog-proof, in the order of reading. What is not as a
document says ends in an assertion: it is for tests, and not for anything that others send.
"""

from __future__ import annotations

import base64
import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verifier_key(text):
    """signed-note, "Verifier keys": name, hash in hex, and base64 of type and key."""
    name, key_hash, key = text.split("+", 2)
    raw = base64.b64decode(key, validate=True)
    wanted = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    assert wanted.hex() == key_hash
    return name, wanted, raw[0], raw[1:]


def note(data, keys):
    """signed-note: the text, and the names of these keys that signed it, a cosigner's with its time."""
    text = data.decode("utf-8")
    body, separator, signatures = text.rpartition("\n\n")
    assert separator, "no empty line"
    assert signatures.endswith("\n"), "a line that does not end"
    body += "\n"
    signed = {}
    for line in signatures.splitlines():
        dash, name, blob = line.split(" ")
        assert dash == "\u2014"
        raw = base64.b64decode(blob, validate=True)
        for key in keys:
            key_name, key_hash, kind, public = verifier_key(key)
            if (name, raw[:4]) != (key_name, key_hash):
                continue
            if kind == 1:
                Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], body.encode())
                signed[name] = None
            elif kind == 4:
                (time,) = struct.unpack(">Q", raw[4:12])
                message = f"cosignature/v1\ntime {time}\n{body}".encode()
                Ed25519PublicKey.from_public_bytes(public).verify(raw[12:], message)
                signed[name] = time
    return body, signed


def checkpoint(data, keys):
    """tlog-checkpoint: origin, size, root, and who signed."""
    body, signed = note(data, keys)
    origin, size, root = body.splitlines()[:3]
    assert str(int(size)) == size
    return origin, int(size), base64.b64decode(root, validate=True), signed


def tile_path(level, index, width=256):
    """tlog-tiles, "Merkle Tree" and "Partial Tiles"."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    path = "/".join(["x" + group for group in groups[:-1]] + [groups[-1]])
    return f"tile/{level}/{path}" + (f".p/{width}" if width < 256 else "")


def mth(leaves):
    """RFC 6962, section 2.1, over hashes of leaves."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def whole_log(folder, size):
    """Return the entries of a log after comparing every tile that a tree of the size has, and the root."""
    entries = []
    for start in range(0, size, 256):
        data = (folder / tile_path("entries", start // 256, min(256, size - start))).read_bytes()
        for _ in range(min(256, size - start)):
            (length,) = struct.unpack(">H", data[:2])
            entries.append(data[2 : 2 + length])
            assert len(entries[-1]) == length
            data = data[2 + length :]
        assert data == b""
    leaves = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    level = 0
    while count := size // 256**level:
        span = 256**level
        hashes = [mth(leaves[i * span : (i + 1) * span]) for i in range(count)]
        for start in range(0, count, 256):
            row = hashes[start : start + 256]
            assert (folder / tile_path(level, start // 256, len(row))).read_bytes() == b"".join(row)
        level += 1
    return entries, mth(leaves)


def proof(data, entry, keys):
    """tlog-proof: who signed the checkpoint in which the entry is, by RFC 6962, section 2.1.1."""
    head, _, rest = data.partition(b"\n\n")
    lines = head.decode("ascii").split("\n")
    assert lines.pop(0) == "c2sp.org/tlog-proof@v1"
    if lines[0].startswith("extra "):
        lines.pop(0)
    word, index = lines.pop(0).split(" ")
    assert word == "index"
    _, size, root, signed = checkpoint(rest, keys)
    path = [base64.b64decode(line, validate=True) for line in lines]
    found = _up(hashlib.sha256(b"\x00" + entry).digest(), int(index), size, path)
    assert found == root
    assert not path
    return signed


def _up(leaf, index, size, path):
    """Walk down as PATH(m, D[n]) is defined, and take its hashes from the end, which is next to the root."""
    if size == 1:
        return leaf
    sibling, k = path.pop(), 1
    while 2 * k < size:
        k *= 2
    if index < k:
        return hashlib.sha256(b"\x01" + _up(leaf, index, k, path) + sibling).digest()
    return hashlib.sha256(b"\x01" + sibling + _up(leaf, index - k, size - k, path)).digest()
