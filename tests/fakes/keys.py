"""Test keys that are the same in every run: each is made from its name, so anybody can make them. They guard nothing.

RSA primes are far from their names: ``rsa_keys.json`` says for each name how far, so that nobody has to search again.
A name that is not in it gets a key of its own in each run, which is enough for a test and too little for a vector.

With :data:`REPEATABLE` set, signatures are the same in every run, too: RSASSA-PSS takes its salt from the message.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = Path(__file__).with_name("rsa_keys.json")
REPEATABLE = {"signatures": False}
EXPONENT, HALF = 65537, 128
MADE = b"\x18\x0f20260601110000Z"
OFFSETS: dict[str, list[int]] = json.loads(FILE.read_text())


def ecdsa(used: hashes.HashAlgorithm) -> ec.ECDSA:
    """Return ECDSA that signs one message in one way (RFC 6979)."""
    return ec.ECDSA(used, deterministic_signing=True)


def stretched(name: str, size: int) -> bytes:
    return hashlib.shake_256(b"Vitrine test key, known to everybody: " + name.encode()).digest(size)


@cache
def ec_key(name: str, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    size = curve.key_size // 8 - 1  # below the group's order
    return ec.derive_private_key(int.from_bytes(stretched(f"{curve.name} {name}", size), "big"), curve())


@cache
def ed25519_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(stretched(f"Ed25519 {name}", 32))


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Make one RSA key a name."""
    if name not in OFFSETS:
        if REPEATABLE["signatures"]:
            raise LookupError(f"no stored RSA key {name!r}: run `python -m tests.fakes.keys {name!r}`")
        return rsa.generate_private_key(EXPONENT, 2048)
    p, q = (_start(name, which) + 2 * offset for which, offset in zip("pq", OFFSETS[name], strict=True))
    d = pow(EXPONENT, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(EXPONENT, p * q)
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _start(name: str, which: str) -> int:
    start = int.from_bytes(stretched(f"RSA {name} {which}", HALF), "big")
    return start | 3 << (8 * HALF - 2) | 1


def search(name: str) -> list[int]:
    """Find how far the primes of a name are."""
    small = [n for n in range(3, 20000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]
    return [_search(_start(name, which), small) for which in "pq"]


def _search(start: int, small: list[int]) -> int:
    open_ = bytearray(b"\1") * 20000
    for prime in small:
        first = -start * pow(2, -1, prime) % prime
        open_[first::prime] = bytes(len(range(first, len(open_), prime)))
    for offset, candidate in enumerate(open_):
        number = start + 2 * offset
        if candidate and number % EXPONENT != 1 and all(_passes(number, base) for base in (2, 3, 5, 7)):
            return offset
    raise LookupError("no prime so near")


def _passes(number: int, base: int) -> bool:
    """Do one round of Miller and Rabin's test."""
    odd, twos = number - 1, 0
    while not odd & 1:
        odd, twos = odd >> 1, twos + 1
    value = pow(base, odd, number)
    if value in (1, number - 1):
        return True
    for _ in range(twos - 1):
        value = value * value % number
        if value == number - 1:
            return True
    return False


# ---- signatures that are the same in every run


def pss_signature(key: rsa.RSAPrivateKey, message: bytes, used: hashes.HashAlgorithm) -> bytes:
    """Sign with RSASSA-PSS (RFC 8017, section 8.1), the salt being a hash of the message."""
    digest = hashlib.new(used.name, message).digest()
    salt = hashlib.new(used.name, b"salt" + digest).digest()
    inside = hashlib.new(used.name, bytes(8) + digest + salt).digest()
    size = key.key_size // 8
    block = (b"\1" + salt).rjust(size - len(inside) - 1, b"\0")
    mask = _mgf1(inside, len(block), used.name)
    hidden = bytes(a ^ b for a, b in zip(block, mask, strict=True))
    encoded = bytes([hidden[0] & 0x7F]) + hidden[1:] + inside + b"\xbc"
    numbers = key.private_numbers()
    value = int.from_bytes(encoded, "big")
    first, second = pow(value, numbers.dmp1, numbers.p), pow(value, numbers.dmq1, numbers.q)
    signature = second + numbers.q * ((first - second) * numbers.iqmp % numbers.p)
    return signature.to_bytes(size, "big")


def _mgf1(seed: bytes, size: int, name: str) -> bytes:
    count = -(-size // hashlib.new(name).digest_size)
    return b"".join(hashlib.new(name, seed + i.to_bytes(4, "big")).digest() for i in range(count))[:size]


def settled(der: bytes, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, used: hashes.HashAlgorithm) -> bytes:
    """Return a certificate, a list or a basic OCSP response with a signature that is the same in every run."""
    if not REPEATABLE["signatures"]:
        return der
    (inside,) = elements(der)
    tbs, algorithm, _, *rest = elements(inside[1])
    if isinstance(key, rsa.RSAPrivateKey):
        signature = pss_signature(key, tbs[0], used)
    else:
        signature = key.sign(tbs[0], ecdsa(used))
    return element(0x30, tbs[0], algorithm[0], element(3, b"\0", signature), *(part for part, _ in rest))


def settled_ocsp(der: bytes, key: ec.EllipticCurvePrivateKey, used: hashes.HashAlgorithm) -> bytes:
    """Do the same with a whole OCSP response, which has the basic one inside an octet string."""
    if not REPEATABLE["signatures"]:
        return der
    (response,) = elements(der)
    status, outer = elements(response[1])
    ((_, parts),) = elements(outer[1])
    kind, octets = elements(parts)
    ((_, signed),) = elements(octets[1])
    data, *rest = elements(signed)
    # The library writes the present time as the time when the answer was made.
    fixed = element(0x30, *(MADE if part[0] == 0x18 else part for part, _ in elements(data[1])))
    basic = settled(element(0x30, fixed, *(part for part, _ in rest)), key, used)
    return element(0x30, status[0], element(0xA0, element(0x30, kind[0], element(4, basic))))


def elements(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split DER into its elements: each whole, and its content."""
    found, offset = [], 0
    while offset < len(data):
        size, start = data[offset + 1], offset + 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[offset + 2 : start], "big")
        found.append((data[offset : start + size], data[start : start + size]))
        offset = start + size
    return found


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def main(names: list[str]) -> None:
    """Search the keys of these names and store how far they are."""
    stored = OFFSETS | {name: search(name) for name in names if name not in OFFSETS}
    FILE.write_text("{\n" + ",\n".join(f"{json.dumps(n)}: {stored[n]}" for n in sorted(stored)) + "\n}\n")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
