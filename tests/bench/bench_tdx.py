"""What a TDX verification costs: quote and collateral, cold, against its bare signature checks in the same process.

The bare side has every key and every signed text in its hands and does nothing but the nine signature checks: quote,
QE report, PCK certificate, its CA, the signer of TCB statements, both statements and both revocation lists. Where
dcap-qvl is installed, it does the same verification beside. Run it with ``python -m tests.bench.bench_tdx``.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from client_sdk.clauses.tdx import PRODUCTION_AGES, Attributes, TcbStatus
from client_sdk.parse.intel_collateral import QE_IDENTITY, TCB_INFO, parse_statement
from client_sdk.parse.issuer_chain import parse_chain
from client_sdk.parse.tdx import parse_quote
from client_sdk.report import Ledger
from client_sdk.verify.tdx import verify_quote
from client_sdk.verify.tdx_collateral import Collateral, verify_collateral
from tests.fakes.simulated_tdx import NOW, SimulatedTdx

ROUNDS = 400
TARGET_RATIO = 1.5
_ECDSA = ec.ECDSA(hashes.SHA256())


def raw(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def bare_checks(td: SimulatedTdx, quote: bytes, collateral: Collateral) -> list[tuple[object, bytes, bytes]]:
    """Return key, signature and text of each check that a verification makes."""
    parsed = parse_quote(quote)
    leaf, issuer, _ = (x509.load_der_x509_certificate(der) for der in parse_chain(parsed.certification, "chain"))
    signer, _ = (x509.load_der_x509_certificate(d) for d in parse_chain(collateral.tcb_info_issuer_chain, "chain"))
    root = td.intel.root.key.public_key()
    tcb, qe = parse_statement(collateral.tcb_info, TCB_INFO), parse_statement(collateral.qe_identity, QE_IDENTITY)
    lists = [x509.load_der_x509_crl(der) for der in (collateral.pck_crl, collateral.root_crl)]
    return [
        (td.ak.public_key(), raw(parsed.signature), parsed.signed),
        (leaf.public_key(), raw(parsed.qe_signature), parsed.qe_signed),
        *[
            (key, link.signature, link.tbs_certificate_bytes)
            for key, link in ((issuer.public_key(), leaf), (root, issuer), (root, signer))
        ],
        *[(signer.public_key(), raw(statement.signature), statement.signed) for statement in (tcb, qe)],
        *[
            (key, crl.signature, crl.tbs_certlist_bytes)
            for key, crl in zip((issuer.public_key(), root), lists, strict=True)
        ],
    ]


def other_verifier(td: SimulatedTdx, quote: bytes, collateral: Collateral) -> Callable[[], object] | None:
    """Return the same work for dcap-qvl, where it is installed."""
    try:
        dcap_qvl = importlib.import_module("dcap_qvl")
    except ImportError:
        return None
    tcb, qe = parse_statement(collateral.tcb_info, TCB_INFO), parse_statement(collateral.qe_identity, QE_IDENTITY)
    chain = collateral.tcb_info_issuer_chain.decode()
    parts = (tcb.signed.decode(), tcb.signature, chain, qe.signed.decode(), qe.signature)
    given = dcap_qvl.QuoteCollateralV3(chain, collateral.root_crl, collateral.pck_crl, chain, *parts)
    root, now = td.intel.root.der, int(NOW.timestamp())
    return lambda: dcap_qvl.verify_with_root_ca(quote, given, root, now)


def measured(works: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Return the median and the 2 % quantile of the CPU time of one call of each, in microseconds.

    The works take turns, so that a busy machine burdens all of them alike; the quantile is what it costs undisturbed.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            started = time.process_time()
            work()
            times[name].append(time.process_time() - started)
    quiet = {name: statistics.quantiles(found, n=50)[0] for name, found in times.items()}
    return {name: (statistics.median(found) * 1e6, quiet[name] * 1e6) for name, found in times.items()}


def main() -> int:
    """Print the figures."""
    td = SimulatedTdx(version=5, body_type=3)
    td.intel.url_encoded = False
    quote, collateral, anchors = td.quote(), td.intel.collateral(), td.intel.anchors
    checks = bare_checks(td, quote, collateral)

    def bare() -> None:
        for key, signature, text in checks:
            key.verify(signature, text, _ECDSA)

    def whole() -> None:
        ledger = Ledger()
        facts = verify_quote(quote, anchors, now=NOW, ledger=ledger)
        found = verify_collateral(facts, collateral, anchors, ages=PRODUCTION_AGES, now=NOW, ledger=ledger)
        assert not TcbStatus().judge(found, ledger) + Attributes().judge(found, ledger)

    works: dict[str, Callable[[], object]] = {"bare": bare, "whole": whole}
    if other := other_verifier(td, quote, collateral):
        works["dcap-qvl"] = other
    for work in works.values():
        work()
    times = measured(works)
    print(f"TDX verification with collateral, cold, against its {len(checks)} signature checks (CPU time):")
    for column, which in enumerate(("median", "undisturbed")):
        ratio = times["whole"][column] / times["bare"][column]
        others = ", ".join(f"{name} {found[column]:.0f} µs" for name, found in times.items())
        met = "met" if ratio <= TARGET_RATIO else "missed"
        print(f"  {which:12}{ratio:.2f} times the bare checks (target {TARGET_RATIO}: {met}); {others}")
    if "dcap-qvl" not in times:
        print("  dcap-qvl is not installed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
