"""What one GPU costs: its complete verification with two RIM files, cold, against its bare cryptography.

The bare side starts from the same bytes and does, with nothing compared or recorded: load the certificates and check
every signature that the verification needs (the device's, the files', each link of the three chains), hash what is
hashed, and write each RIM file in canonical form once. The chains are as long as NVIDIA's: five and twice four.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha384
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from client_sdk.parse.canonical_xml import canonical, parse_xml
from client_sdk.parse.nvidia import parse_transcript
from client_sdk.parse.rim import parse_rim
from client_sdk.report import Ledger
from client_sdk.verify.chain import VerifiedPaths
from client_sdk.verify.nvidia import Revocation, verify_device
from client_sdk.verify.rim import verify_measurements, verify_rim
from tests.bench.measure import Case, show, show_machine
from tests.fakes.simulated_nvidia import (
    NONCE,
    NOW,
    SimulatedGpu,
    SimulatedRim,
    ca_extensions,
    device_root,
    issue,
    rim_authority,
    rim_root,
)

ROUNDS, TARGET_RATIO = 100, 1.5
SCHEME = ec.ECDSA(SHA384())


def chain(ders: tuple[bytes, ...]) -> ec.EllipticCurvePublicKey:
    """Load a chain, check each certificate by the next one's key, return the first key."""
    links = [x509.load_der_x509_certificate(der) for der in ders]
    for link, issuer in pairwise(links):
        issuer.public_key().verify(link.signature, link.tbs_certificate_bytes, SCHEME)
    return links[0].public_key()


def files() -> tuple[bytes, ...]:
    """Make two RIM files whose signer is as far from the root as NVIDIA's, with 64 records each."""
    made = []
    for rim in (SimulatedRim(), SimulatedRim.firmware()):
        rim.authority = issue("rim authority 2", rim_authority(), ca_extensions())
        rim.extra_certificates = (rim_authority(),)
        rim.inactive = {index: (bytes(48),) for index in range(64) if index not in rim.golden}
        made.append(rim.data())
    return tuple(made)


def case() -> Case:
    """Return the whole verification, and its bare work."""
    gpu = SimulatedGpu()
    evidence, certificates, rims = gpu.evidence(), gpu.certificates(), files()
    roots, rim_roots, revocation = (device_root().fields,), (rim_root().fields,), Revocation((), timedelta(days=7))
    transcript, read = parse_transcript(evidence, "gpu"), [parse_rim(data, "rim") for data in rims]

    def complete(paths: VerifiedPaths | None) -> None:
        ledger = Ledger()
        options = {"revocation": revocation, "now": NOW, "ledger": ledger, "paths": paths}
        device = verify_device(evidence, certificates, roots, nonce=NONCE, **options)
        found = tuple([verify_rim(data, rim_roots, **options) for data in rims])
        verify_measurements(device, found, ledger=ledger)

    def signatures() -> None:
        chain(certificates).verify(encode_dss_signature(transcript.r, transcript.s), transcript.signed, SCHEME)
        for rim in read:
            value = rim.signature.value
            pair = int.from_bytes(value[:48], "big"), int.from_bytes(value[48:], "big")
            chain(rim.signature.certificates).verify(encode_dss_signature(*pair), rim.signature.signed, SCHEME)
            sha384(rim.content).digest()

    def forms() -> None:
        for data in rims:
            canonical(parse_xml(data, "rim"))

    def bare() -> None:
        signatures()
        forms()

    paths, cold = VerifiedPaths(), "GPU and two RIM files, cold"
    works = {
        "bare signatures and canonical forms": bare,
        "of it the signatures": signatures,
        cold: lambda: complete(None),
        "GPU and two RIM files, warm": lambda: complete(paths),
    }
    return Case("NVIDIA: one GPU with two RIM files", works, {cold: TARGET_RATIO})


def main() -> None:
    """Print the figures."""
    show_machine()
    show(case(), ROUNDS)


if __name__ == "__main__":
    main()
