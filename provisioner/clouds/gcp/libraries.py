"""Google's libraries, loaded when a cloud is asked and no earlier: they take seconds, and a plan needs none of them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from provisioner.errors import CloudError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True)
class Libraries:
    """The modules in use, and what they raise when something cannot be had."""

    compute: Any
    options: Any
    api_errors: Any
    auth: Any
    auth_errors: Any
    transport: Any
    requests: Any
    json_format: Any

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """Everything that a call raises for reasons outside this machine's code."""
        return (
            self.api_errors.GoogleAPICallError,
            self.auth_errors.GoogleAuthError,
            self.requests.exceptions.RequestException,
        )


def load() -> Libraries:
    """Load them.

    Raises:
        CloudError: they are not installed.
    """
    try:
        return Libraries(
            compute=import_module("google.cloud.compute_v1"),
            options=import_module("google.api_core.client_options"),
            api_errors=import_module("google.api_core.exceptions"),
            auth=import_module("google.auth"),
            auth_errors=import_module("google.auth.exceptions"),
            transport=import_module("google.auth.transport.requests"),
            requests=import_module("requests"),
            json_format=import_module("google.protobuf.json_format"),
        )
    except ImportError as error:
        raise CloudError(f"Google's libraries are missing ({error}): pip install '.[gcp]'") from error
