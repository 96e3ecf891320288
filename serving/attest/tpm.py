"""The few TPM commands that the attester knows (tpm2-tss, ESAPI).

During boot: read PCRs, extend PCR 15, make or find the keys, read what a cloud left in NV indices and write 64 bytes
to one. After *sealed*: quote and activate, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from tpm2_pytss import ESAPI, TSS2_Exception
from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_CAP, TPM2_ECC, TPM2_SE, TPMA_NV, TPMA_OBJECT
from tpm2_pytss.types import (
    TPM2B_ECC_PARAMETER,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_NV_PUBLIC,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    TPMS_ECC_PARMS,
    TPMS_ECC_POINT,
    TPMS_NV_PUBLIC,
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

from serving.errors import TpmBusyError, TpmError, TpmLostError

RUNTIME_PCR = 15
MAX_CREDENTIAL, MAX_SECRET = 132, 256
"""The buffers of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET hold no more."""
_MAX_READS = 16
_MAX_NV, _NV_CHUNK = 16 * 1024, 512
# TPM 2.0 Part 2, 6.6.3, without the bits of the parameter: what a TPM says when it cannot do it now.
_NOT_NOW = frozenset({0x901, 0x902, 0x903, 0x904, 0x908, 0x909, 0x90A, 0x920, 0x921, 0x922, 0x923})
_LAYER, _WAY = 0xFF0000, 0x0A0000  # of a response code; the TCTI's: what leads to the TPM
_BROKEN_OFF = 0x070007  # ESAPI, after an answer that never came or was none: it takes no command any more
_OWNERS = TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE


@dataclass(frozen=True, slots=True)
class Key:
    """A key in the TPM: its handle stays in this process; ``public`` is its TPMT_PUBLIC, ``pem`` its public key."""

    handle: ESYS_TR
    public: bytes
    pem: bytes

    @property
    def name(self) -> bytes:
        """The TPM's Name of a key whose name algorithm is SHA-256: the only one that clients take."""
        return b"\x00\x0b" + sha256(self.public).digest()


@contextmanager
def _tpm_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except TSS2_Exception as error:
        raise _kind(error.rc)(f"{doing}: the TPM answered 0x{error.rc:08x}") from error


def _kind(code: int) -> type[TpmError]:
    """Sort a response code. 0x101, "failure", is no sign of one: libtpms has it for a credential that is garbage."""
    if code & _LAYER == _WAY or code == _BROKEN_OFF:
        return TpmLostError
    return TpmBusyError if code in _NOT_NOW else TpmError


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

    def has(self, handle: int) -> bool:
        """Tell whether there is an NV index or a persistent key of this number."""
        with _tpm_errors(f"look for {handle:#010x}"):
            _, found = self._esys.get_capability(TPM2_CAP.HANDLES, handle, 1)
        listed = found.data.handles
        return listed.count > 0 and int(listed.handle[0]) == handle

    def read_nv(self, index: int) -> bytes:
        """Read an NV index whole, by whatever authorisation without a secret it takes."""
        with _tpm_errors(f"read NV {index:#010x}"):
            handle, area = self._nv(index)
            if area.dataSize > _MAX_NV:
                raise TpmError(f"NV {index:#010x} has {area.dataSize} bytes")
            owner = ESYS_TR.OWNER if area.attributes & TPMA_NV.OWNERREAD else handle
            parts = []
            for offset in range(0, area.dataSize, _NV_CHUNK):
                size = min(_NV_CHUNK, area.dataSize - offset)
                parts.append(bytes(self._esys.nv_read(handle, size, offset, owner)))
        return b"".join(parts)

    def write_nv(self, index: int, data: bytes) -> None:
        """Write an NV index from its start; it is defined first where it is not there."""
        with _tpm_errors(f"write NV {index:#010x}"):
            if not self.has(index):
                area = TPMS_NV_PUBLIC(
                    nvIndex=index, nameAlg=TPM2_ALG.SHA256, attributes=_OWNERS | TPMA_NV.NO_DA, dataSize=len(data)
                )
                self._esys.nv_define_space(None, TPM2B_NV_PUBLIC(nvPublic=area), ESYS_TR.OWNER)
            handle, area = self._nv(index)
            owner = ESYS_TR.OWNER if area.attributes & TPMA_NV.OWNERWRITE else handle
            self._esys.nv_write(handle, data, 0, owner)

    def persistent(self, handle: int) -> Key:
        """Return a key that was made persistent."""
        with _tpm_errors(f"find key {handle:#010x}"):
            found = self._esys.tr_from_tpmpublic(handle)
            public, *_ = self._esys.read_public(found)
        return _key(found, public)

    def make_primary(self, template: bytes, where: str) -> Key:
        """Make the endorsement primary of a template, a TPMT_PUBLIC.

        Raises:
            TpmError: the template cannot be read, or the TPM makes no key of it.
        """
        with _tpm_errors(f"make the key of {where}"):
            try:
                public, consumed = TPMT_PUBLIC.unmarshal(template)
            except ValueError as error:
                raise TpmError(f"{where} cannot be read") from error
            if template[consumed:].strip(b"\0"):
                raise TpmError(f"{where} goes on behind its end")
            return self._primary(TPM2B_PUBLIC(publicArea=public))

    def make_ak(self) -> Key:
        """Make an attestation key of our own, as a transient primary."""
        with _tpm_errors("make the attestation key"):
            return self._primary(TPM2B_PUBLIC(_ak_template()))

    def make_ek(self) -> tuple[Key, bytes]:
        """Make the endorsement key as a transient primary; return it with its certificate.

        Raises:
            TpmError: the TPM refuses, or holds no certificate.
        """
        with _tpm_errors("make the endorsement key"):
            try:
                certificate, template = create_ek_template("EK-RSA2048", NVReadEK(self._esys))
            except NoSuchIndex as error:
                raise TpmError("the TPM holds no endorsement certificate (NV 0x01c00002)") from error
            key = self._primary(template)
        if not certificate:
            raise TpmError("the TPM holds no endorsement certificate (NV 0x01c00002)")
        return key, bytes(certificate)

    def quote(self, ak: Key, pcrs: tuple[int, ...], extra_data: bytes) -> tuple[bytes, bytes]:
        """Quote PCRs with the attestation key: TPMS_ATTEST and TPMT_SIGNATURE."""
        with _tpm_errors("quote"):
            attest, signature = self._esys.quote(ak.handle, _selection(pcrs), extra_data)
        return bytes(attest), bytes(signature.marshal())

    def activate(self, ak: Key, ek: Key, credential_blob: bytes, encrypted_secret: bytes) -> bytes:
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
                    ak.handle,
                    ek.handle,
                    TPM2B_ID_OBJECT(credential_blob),
                    TPM2B_ENCRYPTED_SECRET(encrypted_secret),
                    session2=session,
                )
            finally:
                self._esys.flush_context(session)
        return bytes(secret)

    def _primary(self, template: TPM2B_PUBLIC) -> Key:
        handle, public, *_ = self._esys.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.ENDORSEMENT)
        return _key(handle, public)

    def _nv(self, index: int) -> tuple[ESYS_TR, TPMS_NV_PUBLIC]:
        handle = self._esys.tr_from_tpmpublic(index)
        area, _ = self._esys.nv_read_public(handle)
        return handle, area.nvPublic

    def _read_some(self, indexes: list[int]) -> dict[int, bytes]:
        with _tpm_errors("read PCRs"):
            _, chosen, digests = self._esys.pcr_read(_selection(tuple(indexes)))
        bits = int.from_bytes(bytes(chosen.pcrSelections[0].pcrSelect)[:3], "little") if chosen.count else 0
        read = [index for index in indexes if bits >> index & 1]
        if len(read) != digests.count:
            raise TpmError("read PCRs: the TPM's answer contradicts itself")
        return {index: bytes(digests.digests[i]) for i, index in enumerate(read)}


def _key(handle: ESYS_TR, public: TPM2B_PUBLIC) -> Key:
    return Key(handle, bytes(public.publicArea.marshal()), bytes(public.to_pem()))


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
