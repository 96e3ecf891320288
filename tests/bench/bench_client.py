"""What the client costs: one complete verification against its bare cryptography, and loading the package.

The bare side starts from the same bytes and does, with nothing compared or recorded: the two signature checks (the CA's
over the EK certificate, the AK's over the quote, each with its key loaded from the evidence), every SHA-256 that the
verification needs, and one plain walk over the event log. Both sides take the same evidence in the same process.
"""

from __future__ import annotations

import statistics
import struct
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from client_sdk.accept import accept
from client_sdk.evidence import Evidence
from client_sdk.parse.signature import parse_signature
from client_sdk.releases import open_releases
from client_sdk.verifier import verify
from tests.bench.measure import Case, show, show_machine
from tests.fakes.judging import NONCE, OTHERS, simulated, stream
from tests.fakes.simulated_vm import NOW, SimulatedVm, publisher, release, signed

ROUNDS = 1500
COMPLETE = "complete verification of one evidence"
SIZES = {0x4: 20, 0xB: 32, 0xC: 48}
TARGET_RATIO, TARGET_IMPORT_MS = 2.0, 150


def bare_walk(log: bytes) -> list[tuple[int, bytes, bytes]]:
    """Read a crypto-agile log as a plain loop does: no bounds, no names, no errors."""
    found, end = [], len(log)
    offset = 32 + struct.unpack_from("<I", log, 28)[0]
    while offset < end:
        pcr, _kind, count = struct.unpack_from("<III", log, offset)
        offset += 12
        for _ in range(count):
            (bank,) = struct.unpack_from("<H", log, offset)
            digest = log[offset + 2 : offset + 2 + SIZES[bank]]
            offset += 2 + SIZES[bank]
        (size,) = struct.unpack_from("<I", log, offset)
        offset += 4
        found.append((pcr, digest, log[offset : offset + size]))
        offset += size
    return found


def bare_hashes(log: bytes, hashed: list[bytes]) -> None:
    """Walk over the log and do every hash that verification does."""
    bare_walk(log)
    for data in hashed:
        sha256(data).digest()


def hashed_by(work: Callable[[], object]) -> list[bytes]:
    """Return what every SHA-256 in the client is of while some work is done: recorded once, outside of the clock."""
    recorded: list[bytes] = []

    def recording(data: bytes = b"") -> object:
        recorded.append(bytes(data))
        return sha256(data)

    users = [m for name, m in sys.modules.items() if name.startswith("client_sdk.") and hasattr(m, "sha256")]
    for module in users:
        module.sha256 = recording
    try:
        work()
    finally:
        for module in users:
            module.sha256 = sha256
    return recorded


def case() -> Case:
    """Return both sides, and what comes before them."""
    vm, policy = SimulatedVm(), simulated()
    wire = vm.evidence(NONCE, OTHERS).to_json()
    evidence = Evidence.from_json(wire)
    activation, released, signed_release = vm.activation(evidence, stream()), (release(),), signed(release())
    ca, quote = vm.ca.certificate, evidence.quote
    numbers, point, scheme = parse_signature(quote.signature), vm.ak.public_key().public_numbers(), ec.ECDSA(SHA256())

    def complete() -> None:
        verified = verify(evidence, roots=policy.roots, nonce=NONCE, now=NOW, activation=activation)
        accept(verified, releases=released, policy=policy)

    hashed = hashed_by(complete)

    def bare() -> None:
        x509.load_der_x509_certificate(evidence.ek_certificates[0]).verify_directly_issued_by(ca)
        ak = ec.EllipticCurvePublicNumbers(point.x, point.y, ec.SECP256R1()).public_key()
        ak.verify(encode_dss_signature(numbers.r, numbers.s), quote.attest, scheme)
        bare_hashes(evidence.event_log, hashed)

    works = {
        "bare signatures, hashes, one walk over the log": bare,
        COMPLETE: complete,
        "before it: evidence from JSON": lambda: Evidence.from_json(wire),
        "before it, once: opening the release": lambda: open_releases(signed_release, publisher(), now=NOW),
    }
    return Case("the whole of our own protocol, offline", works, {COMPLETE: TARGET_RATIO})


def import_ms(statement: str) -> float:
    """Return the median time of an import in a fresh process, in milliseconds, start of Python left out."""
    script = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1e3)"
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
        for _ in range(5)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    """Print the figures."""
    show_machine()
    show(case(), ROUNDS)
    for statement in ("import client_sdk", "from client_sdk import attest", "from client_sdk import Client"):
        target = f" (target {TARGET_IMPORT_MS})" if statement == "import client_sdk" else ""
        print(f"{statement:50} {import_ms(statement):8.1f} ms{target}")


if __name__ == "__main__":
    main()
