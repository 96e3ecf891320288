"""What the proxy itself says when it does not forward, in OpenAI's form, so that clients raise what their users know.

Texts are constants or the verifier's own words about a service; none repeats a byte of a request.
"""

from __future__ import annotations

import json

from client_sdk.errors import AttestationError, FetchError


class Refusal(Exception):  # noqa: N818 - an answer, not an error of the proxy's
    """A request that is answered here. ``retry_after`` is in seconds."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after
        super().__init__(message)

    @property
    def body(self) -> bytes:
        """The answer's body."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The answer's headers."""
        found = json_headers(self.body)
        if self.retry_after is not None:
            found.append((b"retry-after", str(self.retry_after).encode()))
        return found


def json_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that is made here."""
    return [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]


def not_admitted(error: AttestationError) -> Refusal:
    """Tell that no machine of the service may have the request: nothing of it has left."""
    if isinstance(error, FetchError):
        wait = error.retry_after or 2
        return Refusal(503, "service_unreachable", f"Nothing was sent: {error}", retry_after=wait)
    return Refusal(502, "attestation_failed", f"The service was refused, and nothing was sent: {error}")


def no_such_model() -> Refusal:
    """Tell that none of the services has the model."""
    return Refusal(404, "model_not_found", "No service behind this proxy has this model; GET /v1/models lists them.")
