"""What verifying an SEV-SNP report costs: from bytes to facts, against the sum of its bare signature checks.

Cold: every certificate is read anew each time; the three pinned ARKs are read once, as in the client. The bare side has
the keys loaded, the signature encoded and the hash's input cut out, and does nothing but the four checks: report by
VCEK, VCEK by ASK, ASK by ARK, ARK by itself. The keys have AMD's sizes (RSA-4096). Run it as
``python -m tests.bench.bench_snp``.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.snp import Product, parse_report
from client_sdk.report import Ledger
from client_sdk.verify.amd_chain import verify_vek
from client_sdk.verify.chain import verify_issued
from client_sdk.verify.snp import verify_report
from tests.fakes.simulated_snp import NOW, AmdCa, SimulatedSnp

ROUNDS = 400
TARGET_RATIO = 1.5


def works() -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the whole verification and the bare checks, over the same bytes."""
    arks = {product: AmdCa(f"ARK-{product}", key=rsa.generate_private_key(65537, 4096)) for product in Product}
    sim = SimulatedSnp(Product.GENOA)
    sim.ark, sim.arks = arks[Product.GENOA], tuple(ca.fields for ca in arks.values())
    sim.ask = AmdCa("SEV-Genoa", parent=sim.ark, key=rsa.generate_private_key(65537, 4096))
    report, vek, ask = sim.report(), sim.certificate(), sim.ask.der
    pinned = sim.arks[list(Product).index(Product.GENOA)]

    def complete() -> object:
        ledger = Ledger()
        key = verify_vek(vek, (ask,), sim.arks, revocation=None, now=NOW, ledger=ledger)
        return verify_report(report, key, report_data=sim.report_data, ledger=ledger)

    leaf, intermediate = parse_certificate(vek, "vek"), parse_certificate(ask, "ask")
    signed, scheme = parse_report(report), ec.ECDSA(hashes.SHA384())
    signature = encode_dss_signature(signed.r, signed.s)
    links: list[tuple[CertificateFields, CertificateFields]] = [
        *((leaf, intermediate), (intermediate, pinned), (pinned, pinned)),
    ]

    def bare() -> None:
        sim.key.public_key().verify(signature, signed.signed, scheme)
        for link, issuer in links:
            verify_issued(link, issuer.public_key)

    return complete, bare


def measured(*todo: Callable[[], object]) -> list[float]:
    """Return the median CPU time of each in microseconds; they take turns, so that other work burdens both alike."""
    times: list[list[float]] = [[] for _ in todo]
    for _ in range(ROUNDS):
        for found, work in zip(times, todo, strict=True):
            started = time.process_time()
            work()
            found.append((time.process_time() - started) * 1e6)
    return [statistics.median(found) for found in times]


def main() -> int:
    """Print both sides and their ratio; fail when it is over the target."""
    complete, bare = measured(*works())
    ratio = complete / bare
    print(f"SEV-SNP report and VCEK chain, cold      {complete:8.0f} µs")
    print(f"its four signature checks alone          {bare:8.0f} µs")
    print(f"ratio                                    {ratio:8.2f}    target {TARGET_RATIO}")
    return 0 if ratio <= TARGET_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
