"""Intel's Provisioning Certification Service, version 4: what a TDX quote needs.

A platform is named by the FMSPC in its PCK certificate, which millions share. TCB info and QE identity come with their
issuers' certificates in a header, URL-encoded (Intel PCS API v4, "Get TDX TCB Info", "Get TDX QE Identity").
"""

from __future__ import annotations

from client_sdk.errors import EvidenceError
from client_sdk.gather.wanted import Kind, Wanted
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.issuer_chain import parse_chain
from client_sdk.parse.names import common_name
from client_sdk.parse.pck import parse_pck
from client_sdk.parse.tdx import CERTIFICATION_PCK_CHAIN, parse_quote

PCS = "https://api.trustedservices.intel.com"
ROOT_CRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
ISSUER_CHAINS = {Kind.TCB_INFO: "TCB-Info-Issuer-Chain", Kind.QE_IDENTITY: "SGX-Enclave-Identity-Issuer-Chain"}
_AUTHORITIES = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}


def plan(quote: bytes) -> tuple[Wanted, ...]:
    """Say what a quote needs.

    Raises:
        EvidenceError: it is no TDX quote, or its certificates are not a PCK's.
    """
    read = parse_quote(quote)
    if read.certification_kind != CERTIFICATION_PCK_CHAIN:
        raise EvidenceError("quote", f"certification data of type {read.certification_kind} where 5 (PCK chain) is due")
    leaf = parse_certificate(parse_chain(read.certification, "quote.certification")[0], "pck")
    fmspc = parse_pck(leaf.certificate, "pck").fmspc.hex()
    name = common_name(leaf.issuer, "pck issuer")
    if (authority := _AUTHORITIES.get(name)) is None:
        raise EvidenceError("pck issuer", f"{name[:64]!r} is none of Intel's CAs for PCK certificates")
    tdx, lists = f"{PCS}/tdx/certification/v4", f"{PCS}/sgx/certification/v4/pckcrl"
    return (
        Wanted(Kind.TCB_INFO, f"intel/tcb_info-{fmspc}.json", (f"{tdx}/tcb?fmspc={fmspc}",)),
        Wanted(Kind.QE_IDENTITY, "intel/qe_identity.json", (f"{tdx}/qe/identity",)),
        Wanted(Kind.CRL, f"intel/pck_crl-{authority}.der", (f"{lists}?ca={authority}&encoding=der",)),
        Wanted(Kind.CRL, "intel/root_crl.der", (ROOT_CRL,)),
    )
