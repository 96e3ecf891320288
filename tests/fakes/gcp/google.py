"""Google's APIs as one handler: tokens, Compute Engine, Cloud Storage."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.fakes.cloud_api import Answer, RefusedError
from tests.fakes.gcp import discovery
from tests.fakes.gcp.compute import Compute
from tests.fakes.gcp.refusal import refusal
from tests.fakes.gcp.storage import Storage

TOKEN = "the-token"


class Google:
    """``clock`` is how far Google's clock is ahead of this machine's; ``revoked``: the key is none any more."""

    def __init__(self, project, public_key=None):
        self.project, self.public_key, self.clock, self.revoked = project, public_key, 0.0, False
        self._compute, self._storage = Compute(project), Storage(project)

    def __call__(self, call):
        try:
            if call.path == "/token":
                return self._token(call)
            self._authenticate(call)
            return (self._compute if call.path.startswith(discovery.PREFIX) else self._storage)(call)
        except RefusedError as refused:
            return refusal(refused.status, refused.code, refused.message)

    def _authenticate(self, call):
        lower = {name.lower(): value for name, value in call.headers.items()}
        token = lower.get("authorization", "").removeprefix("Bearer ")
        if token not in self.project.tokens and not self._is_own_word(token):
            raise RefusedError(401, "authError", "Request had invalid authentication credentials.")

    def _is_own_word(self, token):
        """Whether a service account signed it itself: https://google.aip.dev/auth/4111, which the SDK prefers."""
        signed, _, signature = token.rpartition(".")
        if self.revoked or self.public_key is None or signed.count(".") != 1:
            return False
        try:
            self.public_key.verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return abs(time.time() + self.clock - json.loads(_decode(signed.split(".")[1]))["iat"]) <= 300

    def _token(self, call):
        """https://developers.google.com/identity/protocols/oauth2/service-account#jwt-auth."""
        (assertion,) = parse_qs(call.body.decode())["assertion"]
        issued = json.loads(_decode(assertion.split(".")[1]))["iat"]
        if self.revoked:
            return _grant("Account has been deleted or its key was revoked.")
        if abs(time.time() + self.clock - issued) > 300:
            return _grant("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                          "Check your iat and exp values in the JWT claim.")  # fmt: skip
        return _json(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})


def _decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _grant(description):
    return _json(400, {"error": "invalid_grant", "error_description": description})


def _json(status, body):
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})
