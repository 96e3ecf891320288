"""AMD's Key Distribution Service: what a SEV-SNP report needs (AMD 57230, chapter 4).

A VCEK is named by product, chip id (on Turin its first eight bytes) and patch levels. A VLEK cannot be asked for: the
cloud provider has it, and its host puts it into the evidence; the CA above it can.
"""

from __future__ import annotations

from client_sdk.errors import EvidenceError
from client_sdk.gather.wanted import Kind, Wanted
from client_sdk.parse.amd_certificate import LEVELS, VekFields, parse_vek
from client_sdk.parse.snp import Product, SnpReport, parse_report, parse_tcb, product_of

KDS = "https://kdsintf.amd.com"
_HWID_SIZE = {Product.TURIN: 8}
_KEYS = {0: "vcek", 1: "vlek"}  # SIGNING_KEY of a report
# A report that does not name its processor is of version 2, which no Turin writes.
_BEFORE_CPUID = (Product.MILAN, Product.GENOA)


def plan(report: bytes, certificates: tuple[bytes, ...]) -> tuple[Wanted, ...]:
    """Say what a report needs; the certificates that came with it say the product where it does not.

    Raises:
        EvidenceError: it is no report, is signed by neither key, or has a VLEK's signature or a masked chip id and no
            certificate beside it: AMD cannot be asked for that.
    """
    read, vek = parse_report(report), _vek_in(certificates)
    product = product_of(read.cpuid) if read.has_cpuid else (vek.product if vek else None)
    if (key := _KEYS.get(read.signing_key)) is None:
        raise EvidenceError("report.flags", f"the report is signed by key {read.signing_key}, neither VCEK nor VLEK")
    if key == "vlek" or not read.chip_id.strip(b"\0"):
        if product is None:
            raise EvidenceError("report.cpuid", "neither the report nor a certificate says of which product it is")
        if vek is None:
            raise EvidenceError(
                "certificates", f"the {key.upper()} certificate has to come with a report like this one"
            )
        return authorities(product, key)
    urls = tuple(vcek_url(read, one) for one in ((product,) if product else _BEFORE_CPUID))
    wanted = Wanted(Kind.VCEK, f"amd/vcek/{read.chip_id.hex()}-{read.reported_tcb.hex()}.der", urls)
    return wanted, *(authorities(product, key) if product else ())


def follow(certificate: bytes) -> tuple[Wanted, ...]:
    """Say what a VCEK needs above it: its product is certain, where a report's is a guess."""
    product = parse_vek(certificate, "vcek").product
    return authorities(product, "vcek") if product else ()


def authorities(product: Product, key: str) -> tuple[Wanted, ...]:
    """Return the CA above a product's VCEKs (``vcek``) or VLEKs (``vlek``), and the list of what AMD revoked."""
    folder, base = f"amd/{product.lower()}", f"{KDS}/{key}/v1/{product}"
    name = {"vcek": "ask", "vlek": "asvk"}[key]
    return (
        Wanted(Kind.AMD_CA, f"{folder}/{name}.der", (f"{base}/cert_chain",)),
        Wanted(Kind.CRL, f"{folder}/crl.der", (f"{base}/crl",)),
    )


def vcek_url(report: SnpReport, product: Product) -> str:
    """Return where the certificate of a chip's key for its reported TCB is."""
    tcb = parse_tcb(report.reported_tcb, product)
    levels = [("blSPL", tcb.bootloader), ("teeSPL", tcb.tee), ("snpSPL", tcb.snp), ("ucodeSPL", tcb.microcode)]
    if product is Product.TURIN:
        levels.insert(0, ("fmcSPL", tcb.fmc))
    chip = report.chip_id[: _HWID_SIZE.get(product)].hex()
    return f"{KDS}/vcek/v1/{product}/{chip}?" + "&".join(f"{name}={level:02d}" for name, level in levels)


def is_of(vek: VekFields, chip_id: bytes, tcb: bytes) -> bool:
    """Tell whether a VCEK certificate is for this chip and TCB."""
    if vek.product is None or not vek.hwid:
        return False
    levels = [vek.levels.get(number) for number in LEVELS[vek.product]]
    return vek.hwid == chip_id[: len(vek.hwid)] and levels == list(tcb)


def _vek_in(certificates: tuple[bytes, ...]) -> VekFields | None:
    for der in certificates:
        try:
            return parse_vek(der, "certificate")
        except EvidenceError:  # a CA's certificate, or something else
            continue
    return None
