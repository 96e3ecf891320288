"""Stages ``snp`` and ``snp-cert``: an SEV-SNP report with its certificates, and the certificates alone.

Fields, knobs and their defaults are in ``docs/conformance/snp.md`` and ``snp-cert.md``. The defaults are for test
suites: they refuse what no policy should take and leave the rest open, where a production policy leaves nothing open.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from client_sdk.clauses.expected import AnyValue, Expectation, OneOf, Setting
from client_sdk.clauses.snp import SnpDenyList, SnpGuest, SnpIdentity, SnpPlatform, SnpRevocation, SnpSigningKey
from client_sdk.conformance.request import Request
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.fields import integer, items, text
from client_sdk.parse.pem import parse_pem_or_der
from client_sdk.parse.snp import FirmwareVersion, Product, Tcb
from client_sdk.report import Ledger
from client_sdk.verify.amd_chain import RevocationList, VerifiedVek, verify_vek
from client_sdk.verify.snp import VCEK, VLEK, SnpFacts, verify_report

CHAIN_FIELDS = (
    *("vek", "amd_chain", "amd_crl", "roots", "now"),
    *("require_crl", "crl_max_age_days", "minimum_crl_number"),
)
REPORT_FIELDS = (
    *("report", "expected", "host_data_preimage", "max_vmpl", "allow_vlek", "allow_masked_chip_id", "smt"),
    *("single_socket", "alias_check", "ciphertext_hiding", "minimum_abi", "minimum_firmware", "tcb_floors"),
    *("deny_chip_ids_hex", "deny_vek_serials", "deny_vek_certificates_hex"),
)
_DIGESTS = {"measurement_hex": 48, "host_data_hex": 32, "id_key_digest_hex": 48, "author_key_digest_hex": 48}
_COMPONENTS = ("fmc", "bootloader", "tee", "snp", "microcode")
DEFAULT_CRL_MAX_AGE_DAYS = 400  # AMD's lists live about a year
MAX_ITEMS = 1024


def report(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge a report: genuine under the ARK, bound to the expected report data, acceptable under the knobs."""
    request.only(*CHAIN_FIELDS, *REPORT_FIELDS)
    expected = request.part("expected")
    expected.only("report_data_hex", *_DIGESTS)
    report_data = expected.hexadecimal("report_data_hex", size=64)
    clauses = (*_guest_clauses(request), _identity(request, expected), *_key_clauses(request))
    facts = verify_report(request.blob("report"), _vek(request, ledger), report_data=report_data, ledger=ledger)
    failures = tuple([failure for clause in clauses for failure in clause.judge(facts, ledger)])
    if failures:
        raise PolicyError(failures)
    return _report_facts(facts)


def certificate(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge the certificate of a VCEK or VLEK alone."""
    request.only(*CHAIN_FIELDS)
    clause = _revocation(request)
    vek = _vek(request, ledger)
    failures = clause.judge_number(vek.crl_number, ledger)
    if failures:
        raise PolicyError(failures)
    return _vek_facts(vek)


def _vek(request: Request, ledger: Ledger) -> VerifiedVek:
    (vek, *more) = parse_pem_or_der(request.blob("vek"), "$.vek")
    chain = parse_pem_or_der(request.blob("amd_chain"), "$.amd_chain") if request.has("amd_chain") else ()
    max_age = request.days("crl_max_age_days", DEFAULT_CRL_MAX_AGE_DAYS)
    revocation = None
    if request.has("amd_crl"):
        (crl, *extra) = parse_pem_or_der(request.blob("amd_crl"), "$.amd_crl", label="X509 CRL")
        if extra:
            raise EvidenceError("$.amd_crl", "more than one list")
        revocation = RevocationList(crl, max_age)
    return verify_vek(
        vek, (*more, *chain), request.anchors("amd", "ark"), revocation=revocation, now=request.now(), ledger=ledger
    )


def _key_clauses(request: Request) -> tuple[SnpSigningKey, SnpRevocation, SnpDenyList]:
    kinds = frozenset((VCEK, VLEK) if request.flag("allow_vlek", default=True) else (VCEK,))
    anyone = AnyValue("this stage takes any provider")
    key = SnpSigningKey(kinds, anyone, masked_chip_id=request.flag("allow_masked_chip_id", default=False))
    serials = [integer(item, "$.deny_vek_serials") for item in _list(request, "deny_vek_serials")]
    deny = SnpDenyList(
        chips=frozenset(request.hex_list("deny_chip_ids_hex")),
        serials=frozenset(serials),
        certificates=frozenset(request.hex_list("deny_vek_certificates_hex")),
    )
    return key, _revocation(request), deny


def _revocation(request: Request) -> SnpRevocation:
    required = request.flag("require_crl", default=False)
    return SnpRevocation(required=required, highest_seen=request.number("minimum_crl_number", 0))


def _guest_clauses(request: Request) -> tuple[SnpGuest, SnpPlatform]:
    vmpl = integer(request.number("max_vmpl", 0), "$.max_vmpl", high=3)
    abi = _version(request, "minimum_abi", 2)
    guest = SnpGuest(
        smt=_setting(request, "smt"),
        single_socket=_setting(request, "single_socket"),
        minimum_abi=(abi[0], abi[1]),
        vmpls=frozenset(range(vmpl + 1)),
    )
    platform = SnpPlatform(
        alias_check=_setting(request, "alias_check"),
        ciphertext_hiding=_setting(request, "ciphertext_hiding"),
        minimum_firmware=FirmwareVersion(*_version(request, "minimum_firmware", 3)),
        tcb_floors=_floors(request.part("tcb_floors")),
    )
    return guest, platform


def _identity(request: Request, expected: Request) -> SnpIdentity:
    wanted: dict[str, Expectation] = {}
    for name, size in _DIGESTS.items():
        wanted[name] = AnyValue("the request expects no value")
        if expected.has(name):
            wanted[name] = OneOf((expected.hexadecimal(name, size=size),))
    if request.has("host_data_preimage"):
        if expected.has("host_data_hex"):
            raise EvidenceError("$.host_data_preimage", "the host data is given already")
        wanted["host_data_hex"] = OneOf((sha256(request.blob("host_data_preimage")).digest(),))
    return SnpIdentity(*[wanted[name] for name in _DIGESTS])


def _floors(request: Request) -> dict[Product, Tcb]:
    """Read a floor for each product line; a line that is not named has a floor of zeros."""
    request.only(*[product.value.lower() for product in Product])
    floors = {}
    for product in Product:
        part = request.part(product.value.lower())
        part.only(*_COMPONENTS)
        levels = {name: integer(part.number(name, 0), part.place(name), high=255) for name in _COMPONENTS}
        floors[product] = Tcb(**levels, reserved=b"")
    return floors


def _setting(request: Request, name: str) -> Setting:
    word = request.word(name, Setting.EITHER.value)
    if word not in {setting.value for setting in Setting}:
        raise EvidenceError(request.place(name), "not required, forbidden or either")
    return Setting(word)


def _version(request: Request, name: str, parts: int) -> tuple[int, ...]:
    numbers = text(request.word(name, ".".join(["0"] * parts)), request.place(name), limit=16).split(".")
    if len(numbers) != parts or not all(part.isascii() and part.isdigit() and int(part) <= 255 for part in numbers):
        raise EvidenceError(request.place(name), f"not {parts} numbers from 0 to 255 with dots between")
    return tuple(map(int, numbers))


def _list(request: Request, name: str) -> list[Any]:
    return items(request.fields[name], request.place(name), limit=MAX_ITEMS) if request.has(name) else []


def _vek_facts(vek: VerifiedVek) -> dict[str, Any]:
    return {
        "product": vek.product.value,
        "signing_key": VLEK if vek.is_vlek else VCEK,
        "hwid": vek.hwid.hex(),
        "csp_id": vek.csp_id,
        "tcb": dict(zip(_COMPONENTS, vek.levels[:5], strict=True)),
        "vek_serial": vek.serial,
        "vek_sha256": vek.fingerprint,
        "vek_not_after": vek.not_after.isoformat(timespec="seconds"),
        "ark_sha256": vek.ark,
        "crl_number": vek.crl_number,
    }


def _report_facts(facts: SnpFacts) -> dict[str, Any]:
    report = facts.report
    return _vek_facts(facts.vek) | {
        "version": report.version,
        "vmpl": report.vmpl,
        "policy": f"{report.policy:#x}",
        "platform_info": f"{report.platform_info:#x}",
        "guest_svn": report.guest_svn,
        "chip_id": report.chip_id,
        "chip_id_masked": facts.chip_id_masked,
        "cpuid": report.cpuid,
        "measurement": report.measurement,
        "host_data": report.host_data,
        "id_key_digest": report.id_key_digest,
        "author_key_digest": report.author_key_digest,
        "report_data": report.report_data,
        "current_tcb": dict(zip(_COMPONENTS, facts.current_tcb[:5], strict=True)),
        "committed_tcb": dict(zip(_COMPONENTS, facts.committed_tcb[:5], strict=True)),
        "launch_tcb": dict(zip(_COMPONENTS, facts.launch_tcb[:5], strict=True)),
        "committed_firmware": report.committed_version,
    }
