"""What a sealed machine answers: quotes over nonces, and activated credentials.

From outside come nonces and credentials only. The TLS key and the GPU evidence under a quote are this boot's own,
frozen at *sealed*; no caller can name others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from client_sdk.binding import Place, extra_data, merkle_tree
from client_sdk.evidence import PCRS, Quote
from serving.attest.boot import Sealed
from serving.attest.tpm import Tpm
from serving.errors import RequestError, TpmError

_DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Rate:
    """How many activations may follow each other at once, and how many a second after that."""

    burst: int = 32
    per_second: float = 8.0


class Attester:
    """Answers from one sealed boot. One thread, one TPM command at a time."""

    def __init__(self, tpm: Tpm, sealed: Sealed, *, rate: Rate, clock: Callable[[], float]) -> None:
        self._tpm, self._sealed, self._rate, self._clock = tpm, sealed, rate, clock
        self._tokens, self._filled = float(rate.burst), clock()

    def evidence(self, nonces: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return evidence as JSON for each nonce; all of them share one quote.

        Raises:
            TpmError: when the TPM refuses, or a PCR has changed since *sealed*.
        """
        root, places = merkle_tree(nonces)
        wanted = extra_data(root, len(nonces), self._sealed.spki, self._sealed.gpu)
        attest, signature = self._tpm.quote(self._sealed.identity.ak, PCRS, wanted)
        # The digest of the PCRs ends a TPMS_ATTEST: a TPM2B of 32 bytes.
        if attest[-_DIGEST_SIZE - 2 :] != _DIGEST_SIZE.to_bytes(2, "big") + self._sealed.pcr_digest:
            raise TpmError("quote: a PCR has changed since sealed")
        return tuple(self._answer(attest, signature, place) for place in places)

    def activate(self, credential_blob: bytes, encrypted_secret: bytes) -> bytes:
        """Recover an activation secret.

        Raises:
            RequestError: when callers ask too often, a cloud certified the attestation key, so that there is nothing
                to activate, or the credential is not for this TPM and key.
        """
        self._take_token()
        ak, ek = self._sealed.identity.ak, self._sealed.identity.ek
        if ek is None:
            message = "a cloud certified this machine's attestation key: there is nothing to activate"
            raise RequestError("activation_refused", message)
        try:
            return self._tpm.activate(ak, ek, credential_blob, encrypted_secret)
        except TpmError as error:
            message = "the credential is not for this machine's endorsement and attestation keys"
            raise RequestError("activation_refused", message) from error

    def _answer(self, attest: bytes, signature: bytes, place: Place) -> bytes:
        return replace(self._sealed.evidence, quote=Quote(attest, signature, place)).to_json()

    def _take_token(self) -> None:
        now = self._clock()
        earned = (now - self._filled) * self._rate.per_second
        self._tokens, self._filled = min(float(self._rate.burst), self._tokens + earned), now
        if self._tokens < 1:
            raise RequestError("busy", "too many activations; try again in a few seconds", status=429)
        self._tokens -= 1
