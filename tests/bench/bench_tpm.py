"""What a cloud's TPM costs: the attestation key's certificate, the quote, the event log replayed, and the bare work.

The bare side has the keys loaded and does, with nothing compared or recorded: the RSA checks (leaf by intermediate,
intermediate by root, the quote by the leaf's key), every SHA-256 that the verification computes, and one plain walk
over the log. The log is of the real format: three banks, Secure Boot's variables as large as they are in the field.
"""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.public import parse_public
from client_sdk.parse.signature import parse_signature
from client_sdk.report import Ledger
from client_sdk.verify.ak import verify_azure_ak, verify_certified, verify_google_ak
from client_sdk.verify.chain import VerifiedPaths, verify_issued
from client_sdk.verify.quote import ANY_KINDS, QuoteProfile, verify_ak, verify_nonce, verify_quote
from client_sdk.verify.replay import verify_replay
from tests.bench.bench_client import bare_hashes, hashed_by
from tests.bench.measure import Case, show, show_machine
from tests.fakes import boot_log
from tests.fakes.simulated_cloud_tpm import AzureTpm, CloudTpm, GoogleTpm, gce_log, many_banks, replayed
from tests.fakes.simulated_vm import NOW

TARGET = 3.0
NONCE = bytes(range(32))
BANK = 0x000B
PROFILE = QuoteProfile(bank=BANK, selection=tuple(range(24)), kinds=ANY_KINDS, resettable=True)
ELSEWHERE = frozenset({10, *range(16, 24)})
VARIABLES = {"db": 3143, "dbx": 12276, "KEK": 1560}


def events() -> list[boot_log.Logged]:
    """Return a boot on Google's firmware with variables as large as Microsoft's."""
    found = []
    for event in gce_log():
        for name, size in VARIABLES.items():
            vendor = boot_log.SECURITY if name.startswith("db") else boot_log.GLOBAL
            if event.data == boot_log.variable(name, b"", vendor):
                event = replace(event, data=boot_log.variable(name, bytes(size), vendor))  # noqa: PLW2901
        found.append(event)
    return found


def google() -> Case:
    """Return the quote with everything behind it, and its bare work."""
    tpm, told = GoogleTpm(), events()
    tpm.pcrs |= replayed(told) | dict.fromkeys((8, 12, 13, 14, 15), bytes(32))
    log, attest, public, ders = many_banks(told, 0x4, BANK, 0xC), tpm.attest(NONCE), tpm.public(), tpm.certificates
    signature, pcrs, anchors = tpm.signature(attest), tuple(sorted(tpm.pcrs.items())), roots(tpm)

    def complete(paths: VerifiedPaths | None) -> None:
        ledger = Ledger()
        certified = verify_google_ak(ders, anchors, now=NOW, ledger=ledger, paths=paths)
        ak = verify_ak(parse_public(public), ledger=ledger, profile=PROFILE)
        verify_certified(certified.leaf, ak.key, ledger=ledger)
        quoted = verify_quote(attest, signature, pcrs, ak=ak, ledger=ledger, profile=PROFILE)
        verify_nonce(quoted.attest.extra_data, NONCE, ledger=ledger)
        verify_replay(log, quoted.pcrs, bank=BANK, elsewhere=ELSEWHERE, ledger=ledger)

    hashed, links = hashed_by(lambda: complete(None)), chain(tpm)
    key, raw = tpm.ak.public_key(), parse_signature(signature).rsa

    def bare() -> None:
        links()
        key.verify(raw, attest, padding.PKCS1v15(), SHA256())
        bare_hashes(log, hashed)

    return two(f"Google: AK chain, quote, a log of {len(log)} bytes and {len(told)} events", bare, complete)


def azure() -> Case:
    """Return the certificate of an attestation key, and its two bare checks."""
    tpm = AzureTpm()
    ders, anchors = tpm.certificates, roots(tpm)

    def complete(paths: VerifiedPaths | None) -> None:
        verify_azure_ak(ders, anchors, now=NOW, ledger=Ledger(), paths=paths)

    return two("Azure: AK chain", chain(tpm), complete)


def two(title, bare, complete) -> Case:
    """Return a case of a floor, and a verification cold and warm."""
    paths = VerifiedPaths()
    works = {"bare": bare, "cold": lambda: complete(None), "warm": lambda: complete(paths)}
    return Case(title, works, {"cold": TARGET})


def roots(tpm: CloudTpm):
    return (parse_certificate(tpm.root.der, "root"),)


def chain(tpm: CloudTpm):
    """Return the bare checks of a chain: leaf by intermediate, that by the root."""
    leaf, issuer, root = (parse_certificate(der, "chain") for der in (*tpm.certificates, tpm.root.der))

    def checks() -> None:
        verify_issued(leaf, issuer.public_key)
        verify_issued(issuer, root.public_key)

    return checks


def main() -> None:
    """Print the figures."""
    show_machine()
    for case in (google(), azure()):
        show(case)


if __name__ == "__main__":
    main()
