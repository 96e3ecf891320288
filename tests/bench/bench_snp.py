"""What verifying an SEV-SNP report costs: from bytes to facts, against the sum of its bare signature checks.

Cold: every certificate is read anew each time; the three pinned ARKs are read once, as in the client. Warm: the path
was verified at this instant before. The bare side has the keys loaded, the signature encoded and the hash's input cut
out, and does nothing but the four checks: report by VCEK, VCEK by ASK, ASK by ARK, ARK by itself. The keys have AMD's
sizes (RSA-4096). Run it as ``python -m tests.bench.bench_snp``.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.snp import Product, parse_report
from client_sdk.report import Ledger
from client_sdk.verify.amd_chain import verify_vek
from client_sdk.verify.chain import VerifiedPaths, verify_issued
from client_sdk.verify.snp import verify_report
from tests.bench.measure import Case, show, show_machine
from tests.fakes.simulated_snp import NOW, AmdCa, SimulatedSnp

COLD_TARGET, WARM_TARGET = 1.5, 1.2


def case() -> Case:
    """Return the whole verification and the bare checks, over the same bytes."""
    arks = {product: AmdCa(f"ARK-{product}", key=rsa.generate_private_key(65537, 4096)) for product in Product}
    sim = SimulatedSnp(Product.GENOA)
    sim.ark, sim.arks = arks[Product.GENOA], tuple(ca.fields for ca in arks.values())
    sim.ask = AmdCa("SEV-Genoa", parent=sim.ark, key=rsa.generate_private_key(65537, 4096))
    report, vek, ask = sim.report(), sim.certificate(), sim.ask.der
    pinned = sim.arks[list(Product).index(Product.GENOA)]

    def complete(paths: VerifiedPaths | None) -> None:
        ledger = Ledger()
        key = verify_vek(vek, (ask,), sim.arks, revocation=None, now=NOW, ledger=ledger, paths=paths)
        verify_report(report, key, report_data=sim.report_data, ledger=ledger)

    leaf, intermediate = parse_certificate(vek, "vek"), parse_certificate(ask, "ask")
    signed, scheme = parse_report(report), ec.ECDSA(hashes.SHA384())
    signature = encode_dss_signature(signed.r, signed.s)
    links: list[tuple[CertificateFields, CertificateFields]] = [
        *((leaf, intermediate), (intermediate, pinned), (pinned, pinned)),
    ]

    def bare_report() -> None:
        sim.key.public_key().verify(signature, signed.signed, scheme)

    def bare() -> None:
        bare_report()
        for link, issuer in links:
            verify_issued(link, issuer.public_key)

    paths = VerifiedPaths()
    works = {
        "four bare signature checks": bare,
        "the report's alone, bare": bare_report,
        "report and VCEK chain, cold": lambda: complete(None),
        "report and VCEK chain, warm": lambda: complete(paths),
    }
    targets = dict(zip(list(works)[2:], (COLD_TARGET, WARM_TARGET), strict=True))
    return Case("AMD SEV-SNP: a report and its VCEK chain", works, targets)


def main() -> None:
    """Print the figures."""
    show_machine()
    show(case())


if __name__ == "__main__":
    main()
