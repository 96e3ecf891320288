"""What a TDX verification costs: quote and collateral, cold, against its bare signature checks in the same process.

The bare side has every key and every signed text in its hands and does nothing but the nine signature checks: quote,
QE report, PCK certificate, its CA, the signer of TCB statements, both statements and both revocation lists. Warm: the
three certificates and both lists were verified at this instant before. Where dcap-qvl is installed, it
does the same verification beside. Run it with ``python -m tests.bench.bench_tdx``.
"""

from __future__ import annotations

import copy
import importlib
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
from client_sdk.verify.chain import VerifiedPaths
from client_sdk.verify.tdx import verify_quote
from client_sdk.verify.tdx_collateral import Collateral, verify_collateral
from tests.bench.measure import Case, show, show_machine
from tests.fakes.simulated_tdx import NOW, SimulatedTdx

COLD_TARGET, WARM_TARGET = 1.5, 1.2
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


def served_as_intel_does(td: SimulatedTdx) -> None:
    """Make collateral of the size that Intel serves: three levels with 24 advisories, a list of 57 certificates."""
    levels = td.intel.tcb_info["tcbLevels"]
    levels.append(copy.deepcopy(levels[1]))
    for level, advisories in zip(levels, (0, 5, 19), strict=True):
        level["advisoryIDs"] = [f"INTEL-SA-{number:05}" for number in range(advisories)]
        for name in ("sgxtcbcomponents", "tdxtcbcomponents"):
            for component in level["tcb"][name][:6]:
                component |= {"category": "BIOS", "type": "Early Microcode Update"}
    td.intel.pck_crl.serials = tuple((1 << 158) + number for number in range(57))
    td.intel.url_encoded = False


def case() -> Case:
    """Return the whole verification, its signature checks and the other verifier, over the same bytes."""
    td = SimulatedTdx(version=5, body_type=3)
    served_as_intel_does(td)
    quote, collateral, anchors = td.quote(), td.intel.collateral(), td.intel.anchors
    checks = bare_checks(td, quote, collateral)

    def bare(some: list[tuple[object, bytes, bytes]]) -> None:
        for key, signature, text in some:
            key.verify(signature, text, _ECDSA)

    def whole(paths: VerifiedPaths | None) -> None:
        ledger = Ledger()
        facts = verify_quote(quote, anchors, now=NOW, ledger=ledger, paths=paths)
        options = {"ages": PRODUCTION_AGES, "now": NOW, "ledger": ledger, "paths": paths}
        found = verify_collateral(facts, collateral, anchors, **options)
        assert not TcbStatus().judge(found, ledger) + Attributes().judge(found, ledger)

    paths, left = VerifiedPaths(), checks[:2] + checks[5:7]
    cold, warm = "quote and collateral, cold", "quote and collateral, warm"
    works: dict[str, Callable[[], object]] = {
        "nine bare signature checks": lambda: bare(checks),
        "four of them, those that are left when warm": lambda: bare(left),
        cold: lambda: whole(None),
        warm: lambda: whole(paths),
    }
    if other := other_verifier(td, quote, collateral):
        works["dcap-qvl, cold"] = other
    return Case("Intel TDX: a quote with collateral", works, {cold: COLD_TARGET, warm: WARM_TARGET})


def main() -> None:
    """Print the figures."""
    show_machine()
    show(case())


if __name__ == "__main__":
    main()
