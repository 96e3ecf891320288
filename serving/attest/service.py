"""What a sealed machine answers: quotes over nonces, and activated credentials.

From outside come nonces and credentials only. The TLS key and the GPU evidence under a quote are this boot's own,
frozen at *sealed*; no caller can name others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from client_sdk.binding import extra_data, merkle_tree
from client_sdk.evidence import PCRS
from serving.attest.boot import Sealed
from serving.attest.tpm import Tpm
from serving.errors import RequestError, TpmBusyError, TpmError, TpmLostError

_SIGNER = 6
"""Where the signer's name begins in a TPMS_ATTEST (TPM 2.0 Part 2, 10.12.8): a TPM2B, and behind it extraData."""


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
        self.evidence = sealed.evidence.to_json()

    def quote(self, nonces: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Return one quote for all nonces: TPMS_ATTEST and TPMT_SIGNATURE.

        Raises:
            TpmBusyError: not now.
            TpmLostError: the TPM refuses for good, answers something else, or a PCR has changed since *sealed*.
        """
        root, _ = merkle_tree(nonces)
        wanted = extra_data(root, len(nonces), self._sealed.spki, self._sealed.gpu)
        try:
            attest, signature = self._tpm.quote(self._sealed.identity.ak, PCRS, wanted)
        except (TpmBusyError, TpmLostError):
            raise
        except TpmError as error:  # nothing in the command is a caller's
            raise TpmLostError(str(error)) from error
        self._require_sealed(attest, wanted)
        return attest, signature

    def activate(self, credential_blob: bytes, encrypted_secret: bytes) -> bytes:
        """Recover an activation secret.

        Raises:
            RequestError: when callers ask too often, a cloud certified the attestation key, so that there is nothing
                to activate, the TPM cannot do it now, or the credential is not for this TPM and key.
            TpmLostError: the TPM is gone.
        """
        self._take_token()
        ak, ek = self._sealed.identity.ak, self._sealed.identity.ek
        if ek is None:
            message = "a cloud certified this machine's attestation key: there is nothing to activate"
            raise RequestError("activation_refused", message)
        try:
            return self._tpm.activate(ak, ek, credential_blob, encrypted_secret)
        except TpmBusyError as error:
            raise RequestError("unavailable", "the TPM cannot activate now", status=503) from error
        except TpmLostError:
            raise
        except TpmError as error:
            message = "the credential is not for this machine's endorsement and attestation keys"
            raise RequestError("activation_refused", message) from error

    def _require_sealed(self, attest: bytes, wanted: bytes) -> None:
        """Require of a quote what clients will: this question, and the PCRs of *sealed*. Signatures are theirs."""
        extra = _SIGNER + 2 + int.from_bytes(attest[_SIGNER : _SIGNER + 2], "big")
        if attest[extra : extra + 2 + len(wanted)] != len(wanted).to_bytes(2, "big") + wanted:
            raise TpmLostError("quote: the TPM answered another question")
        # The digest of the PCRs ends a TPMS_ATTEST: a TPM2B of 32 bytes.
        if not attest.endswith(len(self._sealed.pcr_digest).to_bytes(2, "big") + self._sealed.pcr_digest):
            raise TpmLostError("quote: a PCR has changed since sealed")

    def _take_token(self) -> None:
        now = self._clock()
        earned = (now - self._filled) * self._rate.per_second
        self._tokens, self._filled = min(float(self._rate.burst), self._tokens + earned), now
        if self._tokens < 1:
            raise RequestError("busy", "too many activations; try again in a few seconds", status=429)
        self._tokens -= 1
