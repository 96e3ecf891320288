"""Azure's binding: what the paravisor says of the VM's TPM, vouched for by the CPU's report (rule T1 on Azure).

The guest cannot choose the report's 64 bytes there. The paravisor puts the hash of its runtime data into them, and in
the runtime data are the public attestation key and 64 bytes that the guest did choose.

(T1.report) The hardware report inside the HCL report names the same 64 bytes as the verified one: the SNP report, which
is the same bytes, or on TDX the TD quote, which is fetched separately.
(T1.runtime) The first 32 of them are the SHA-256 of the runtime data as received. (T1.rest) The rest is zero.
(T1.ak) The key whose ``kid`` is HCLAkPub is the one that signed the quote, wherever it stands in the list.
(T1.user) The 64 bytes that the guest chose are the expected ones.

It proves no more than the hardware report does, whose signature is checked elsewhere; and the paravisor, which is
Azure's and closed, is believed about what its TPM holds. Nothing in the HCL report's headers is signed.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from client_sdk.errors import VerificationError
from client_sdk.parse.azure import AK_KID, USER_DATA_SIZE, HclReport
from client_sdk.report import Ledger
from client_sdk.rules import keeps


@dataclass(frozen=True, slots=True)
class HclFacts:
    """What the paravisor says, as true as the hardware report is. ``user_data`` is None in old reports."""

    kind: int
    ak: rsa.RSAPublicKey
    user_data: bytes | None
    configuration: Mapping[str, Any]


@keeps("T1.report", "T1.rest", "T1.runtime", "T1.ak")
def verify_hcl(hcl: HclReport, report_data: bytes, *, ledger: Ledger) -> HclFacts:
    """Check that a hardware report is about this runtime data, and return what that says.

    ``report_data`` are the 64 bytes of the *verified* report: an SNP report's, or a TD quote's.

    Raises:
        VerificationError: T1.
    """
    what = "the hardware report in the HCL report is the verified one's"
    ledger.equal("T1.report", what, expected=report_data, got=hcl.report_data)
    digest = sha256(hcl.runtime_data).digest()
    what = "the hardware report names this runtime data, and so this attestation key"
    ledger.equal("T1.runtime", what, expected=digest, got=report_data[:32])
    ledger.equal("T1.rest", "the last 32 bytes of the report data are zero", expected=bytes(32), got=report_data[32:])
    if (ak := hcl.claims.keys.get(AK_KID)) is None:
        raise VerificationError("T1.ak", "the runtime data names an attestation key", expected=AK_KID, got="none")
    return HclFacts(hcl.kind, ak, hcl.claims.user_data, MappingProxyType(hcl.claims.configuration))


@keeps("T1.ak")
def verify_hcl_ak(facts: HclFacts, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, *, ledger: Ledger) -> None:
    """Check that the key which signed the quote is the paravisor's attestation key.

    Raises:
        VerificationError: T1.ak.
    """
    ledger.holds(
        "T1.ak",
        "the attestation key is the one that the hardware report vouches for",
        expected=AK_KID,
        got="the same key" if facts.ak == key else "another key",
        condition=facts.ak == key,
    )


@keeps("T1.user")
def verify_user_data(facts: HclFacts, expected: bytes, *, ledger: Ledger) -> None:
    """Check the 64 bytes that the guest gave to the paravisor: they bind its TLS key, GPU evidence and PCR 15.

    Raises:
        VerificationError: T1.user.
    """
    got = facts.user_data or b""
    ledger.holds(
        "T1.user",
        "the guest's own 64 bytes are the expected ones",
        expected=expected,
        got=got,
        condition=len(expected) == USER_DATA_SIZE and hmac.compare_digest(expected, got),
    )
