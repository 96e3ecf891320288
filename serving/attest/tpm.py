"""The few TPM commands that the attester knows (tpm2-tss, ESAPI).

During boot: read PCRs, extend PCR 15, make the keys. After *sealed*: quote and activate, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tpm2_pytss import ESAPI, TSS2_Exception
from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_ECC, TPM2_SE, TPMA_OBJECT
from tpm2_pytss.types import (
    TPM2B_ECC_PARAMETER,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    TPMS_ECC_PARMS,
    TPMS_ECC_POINT,
    TPMS_SCHEME_HASH,
    TPMT_ECC_SCHEME,
    TPMT_HA,
    TPMT_KDF_SCHEME,
    TPMT_PUBLIC,
    TPMT_SYM_DEF,
    TPMT_SYM_DEF_OBJECT,
    TPMU_ASYM_SCHEME,
    TPMU_HA,
    TPMU_PUBLIC_ID,
    TPMU_PUBLIC_PARMS,
)
from tpm2_pytss.utils import NoSuchIndex, NVReadEK, create_ek_template

from serving.errors import TpmError

RUNTIME_PCR = 15
MAX_CREDENTIAL, MAX_SECRET = 132, 256
"""The buffers of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET hold no more."""
_MAX_READS = 16


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys of one TPM: handles stay in this process, ``ak_public`` is a TPMT_PUBLIC."""

    ak: ESYS_TR
    ak_public: bytes
    ek: ESYS_TR
    ek_certificate: bytes


@contextmanager
def _tpm_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except TSS2_Exception as error:
        raise TpmError(f"{doing}: the TPM answered 0x{error.rc:08x}") from error


class Tpm:
    """One open TPM. Not thread-safe: the attester has one thread."""

    def __init__(self, tcti: str) -> None:
        with _tpm_errors("open"):
            self._esys = ESAPI(tcti)

    def close(self) -> None:
        """Close the connection; transient keys of a resource manager go with it."""
        self._esys.close()

    def read_pcrs(self, indexes: tuple[int, ...]) -> tuple[tuple[int, bytes], ...]:
        """Read PCRs of the sha256 bank. Unsigned: only a quote proves them."""
        found: dict[int, bytes] = {}
        for _ in range(_MAX_READS):  # a TPM returns at most eight a call
            wanted = [index for index in indexes if index not in found]
            if not wanted:
                return tuple((index, found[index]) for index in indexes)
            found.update(self._read_some(wanted))
        raise TpmError("read PCRs: the TPM has no complete sha256 bank")

    def extend(self, digest: bytes) -> None:
        """Extend PCR 15 of the sha256 bank with a digest."""
        values = TPML_DIGEST_VALUES([TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=TPMU_HA(sha256=digest))])
        with _tpm_errors("extend PCR 15"):
            self._esys.pcr_extend(ESYS_TR.PCR15, values)

    def make_keys(self) -> Keys:
        """Make the attestation key and the endorsement key as transient primaries, and read the EK's certificate."""
        with _tpm_errors("make the attestation key"):
            ak, ak_public, *_ = self._esys.create_primary(
                TPM2B_SENSITIVE_CREATE(), TPM2B_PUBLIC(_ak_template()), ESYS_TR.ENDORSEMENT
            )
        with _tpm_errors("make the endorsement key"):
            try:
                certificate, template = create_ek_template("EK-RSA2048", NVReadEK(self._esys))
            except NoSuchIndex as error:
                raise TpmError("the TPM holds no endorsement certificate (NV 0x01c00002)") from error
            ek, *_ = self._esys.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.ENDORSEMENT)
        if not certificate:
            raise TpmError("the TPM holds no endorsement certificate (NV 0x01c00002)")
        return Keys(ak, bytes(ak_public.publicArea.marshal()), ek, bytes(certificate))

    def quote(self, keys: Keys, pcrs: tuple[int, ...], extra_data: bytes) -> tuple[bytes, bytes]:
        """Quote PCRs with the attestation key: TPMS_ATTEST and TPMT_SIGNATURE."""
        with _tpm_errors("quote"):
            attest, signature = self._esys.quote(keys.ak, _selection(pcrs), extra_data)
        return bytes(attest), bytes(signature.marshal())

    def activate(self, keys: Keys, credential_blob: bytes, encrypted_secret: bytes) -> bytes:
        """Recover the secret that somebody encrypted to the EK for a key of the AK's name.

        Raises:
            TpmError: when the blob is for another TPM, another key, or garbage.
        """
        if len(credential_blob) > MAX_CREDENTIAL or len(encrypted_secret) > MAX_SECRET:
            raise TpmError("activate: the credential is longer than any TPM makes one")
        with _tpm_errors("activate"):
            session = self._esys.start_auth_session(
                ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL), TPM2_ALG.SHA256
            )
            try:
                self._esys.policy_secret(ESYS_TR.ENDORSEMENT, session, b"", b"", b"", 0)
                secret = self._esys.activate_credential(
                    keys.ak,
                    keys.ek,
                    TPM2B_ID_OBJECT(credential_blob),
                    TPM2B_ENCRYPTED_SECRET(encrypted_secret),
                    session2=session,
                )
            finally:
                self._esys.flush_context(session)
        return bytes(secret)

    def _read_some(self, indexes: list[int]) -> dict[int, bytes]:
        with _tpm_errors("read PCRs"):
            _, chosen, digests = self._esys.pcr_read(_selection(tuple(indexes)))
        bits = int.from_bytes(bytes(chosen.pcrSelections[0].pcrSelect)[:3], "little") if chosen.count else 0
        read = [index for index in indexes if bits >> index & 1]
        if len(read) != digests.count:
            raise TpmError("read PCRs: the TPM's answer contradicts itself")
        return {index: bytes(digests.digests[i]) for i, index in enumerate(read)}


def _selection(indexes: tuple[int, ...]) -> TPML_PCR_SELECTION:
    return TPML_PCR_SELECTION.parse("sha256:" + ",".join(str(index) for index in indexes))


def _ak_template() -> TPMT_PUBLIC:
    """ECC P-256, ECDSA with SHA-256, restricted: it signs only what the TPM itself made (rule Q7)."""
    attributes = (
        TPMA_OBJECT.FIXEDTPM
        | TPMA_OBJECT.FIXEDPARENT
        | TPMA_OBJECT.SENSITIVEDATAORIGIN
        | TPMA_OBJECT.USERWITHAUTH
        | TPMA_OBJECT.RESTRICTED
        | TPMA_OBJECT.SIGN_ENCRYPT
    )
    scheme = TPMT_ECC_SCHEME(
        scheme=TPM2_ALG.ECDSA, details=TPMU_ASYM_SCHEME(ecdsa=TPMS_SCHEME_HASH(hashAlg=TPM2_ALG.SHA256))
    )
    parameters = TPMS_ECC_PARMS(
        symmetric=TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL),
        scheme=scheme,
        curveID=TPM2_ECC.NIST_P256,
        kdf=TPMT_KDF_SCHEME(scheme=TPM2_ALG.NULL),
    )
    return TPMT_PUBLIC(
        type=TPM2_ALG.ECC,
        nameAlg=TPM2_ALG.SHA256,
        objectAttributes=attributes,
        parameters=TPMU_PUBLIC_PARMS(eccDetail=parameters),
        unique=TPMU_PUBLIC_ID(ecc=TPMS_ECC_POINT(x=TPM2B_ECC_PARAMETER(), y=TPM2B_ECC_PARAMETER())),
    )
