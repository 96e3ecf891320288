"""What Google refuses, in one sentence that says what to do.

Source of the reasons: https://cloud.google.com/compute/docs/reference/rest/v1 ("errors"),
https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation,
https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from provisioner.clouds.gcp.libraries import Libraries
from provisioner.errors import CloudError

# Not the id of an upload (x-guploader-uploadid): whoever has it may write.
_IDS = ("x-goog-request-id", "x-cloud-trace-context")
_QUERY = re.compile(r"\?[^\s'\")>]*")  # of an address: that of an upload carries the right to write
_TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})
_TRANSIENT_REASONS = frozenset({"ratelimitexceeded", "userratelimitexceeded", "backenderror", "connection"})
_LOGIN = "run `gcloud auth application-default login`, or name a key file in GOOGLE_APPLICATION_CREDENTIALS"
_PERMISSION = re.compile(r"'([a-z]+(?:\.[A-Za-z]+){2})' permission|does not have ([a-z]+(?:\.[A-Za-z]+){2}) access")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One refusal as Google worded it: HTTP status (0 without an answer), reason without case, message."""

    status: int
    reason: str
    message: str
    request_id: str | None = None
    retry_after: float | None = None

    @property
    def is_transient(self) -> bool:
        """Whether the same call may go well a little later."""
        return self.status in _TRANSIENT_STATUS or self.reason in _TRANSIENT_REASONS

    @property
    def is_unanswered(self) -> bool:
        """Whether no answer came at all."""
        return self.reason == "connection"

    @property
    def is_absent(self) -> bool:
        """Whether the thing asked for is not there (its zone or project is)."""
        return self.status == 404 and not _UNKNOWN_PLACE.search(self.message)

    @property
    def is_taken(self) -> bool:
        """Whether something of that name is there already."""
        return self.reason in ("alreadyexists", "resourcealreadyexists") or (self.status, self.reason) == (
            409,
            "conflict",
        )

    @property
    def is_in_use(self) -> bool:
        """Whether something else still needs it, or it is being changed at the moment."""
        return self.reason in ("resourceinusebyanotherresource", "resourcenotready")


class GcpError(CloudError):
    """Google refused; ``refusal`` is how it said so."""

    def __init__(self, what: str, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"{what}: {advice(refusal)}", request_id=refusal.request_id)


def normal(reason: str) -> str:
    """Write a reason in one way: Google spells it QUOTA_EXCEEDED in operations and quotaExceeded in answers."""
    return reason.replace("_", "").lower()


def of_exception(error: Exception, libraries: Libraries) -> Refusal:
    """Read what a library raised."""
    if isinstance(error, libraries.api_errors.GoogleAPICallError):
        told: Any = error
        errors: Any = told.errors
        first: Any = next(iter(errors), {}) if isinstance(errors, list | tuple) else {}
        reason = first.get("reason", "") if isinstance(first, Mapping) else ""
        return _answered(int(told.code or 0), str(reason), str(told.message), getattr(told.response, "headers", {}))
    if isinstance(error, libraries.auth_errors.DefaultCredentialsError):
        return Refusal(status=0, reason="nocredentials", message=": ".join(map(str, error.args)))
    if isinstance(error, libraries.auth_errors.RefreshError):
        return Refusal(status=0, reason="badcredentials", message=str(error))
    if isinstance(error, (libraries.auth_errors.GoogleAuthError, libraries.requests.exceptions.RequestException)):
        return Refusal(status=0, reason="connection", message=str(error))
    return Refusal(status=0, reason="nocredentials", message=f"{type(error).__name__}: {error}")


def of_response(response: Any) -> Refusal:
    """Read an answer of Cloud Storage that is no success."""
    try:
        error = response.json()["error"]
        reason, message = error["errors"][0]["reason"], error["message"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        reason, message = "", response.text[:200]
    return _answered(response.status_code, str(reason), str(message), response.headers)


def of_operation(error: Mapping[str, Any], status: int, operation: str) -> Refusal:
    """Read the first error of an operation that failed."""
    return Refusal(
        status=status,
        reason=normal(str(error.get("code", ""))),
        message=str(error.get("message", "")),
        request_id=operation,
    )


def _answered(status: int, reason: str, message: str, headers: Mapping[str, str]) -> Refusal:
    lower = {name.lower(): value for name, value in headers.items()}
    after = lower.get("retry-after", "")
    return Refusal(
        status=status,
        reason=normal(reason),
        message=message,
        request_id=next((lower[name] for name in _IDS if name in lower), None),
        retry_after=float(after) if re.fullmatch(r"[0-9]{1,9}", after) else None,
    )


_KEY_FILE = (
    "the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be used: name a service account's key file in JSON, or "
    "unset the variable and run `gcloud auth application-default login`"
)
_ORGANISATION = (
    "a policy of the organisation forbids it: ask who sets its policies, or change what the constraint is about"
)
_BILLING = "the project has no billing account that works: link one in the console (Billing), then run it again"
_QUOTA_PROJECT = (
    "these credentials name no project that calls are counted against, or one that they may not use: `gcloud auth "
    "application-default set-quota-project PROJECT`, with the role Service Usage Consumer there"
)
_BUCKET = "or the bucket is somebody else's, and its name cannot be had: choose another bucket"
_UNKNOWN_PLACE = re.compile(r"(?i)unknown (zone|region)|'projects/[^/']+(/(zones|regions)/[^/']+)?' was not found")
_CLOCK = "this machine's clock is wrong, so Google refuses its credentials: set it (`timedatectl set-ntp true`)"
_QUOTA = (
    "the project's quota is used up: ask for more in the console (IAM, Quotas), or choose another zone; spot machines "
    "with GPUs count against a quota of their own"
)
_STOCK_OUT = "Google has no such machine in this zone now: try again later, or another zone or provisioning"
_TAKEN = "something of this name is there already: choose another deploy_name (or bucket), or remove it yourself"
_SWITCH_ON = "the API is not switched on: `gcloud services enable compute.googleapis.com storage.googleapis.com`"
_ANY: frozenset[str] = frozenset()
# The first that matches counts: the reasons (any of them), the message, and what to do.
_ADVICE: tuple[tuple[AbstractSet[str], str, str], ...] = (
    ({"nocredentials"}, r"(?i)default credentials were not found", f"no credentials: {_LOGIN}"),
    ({"nocredentials"}, r"", _KEY_FILE),
    ({"badcredentials"}, r"(?i)reasonable timeframe|iat and exp", _CLOCK),
    ({"badcredentials"}, r"", f"the credentials have expired or were revoked: {_LOGIN}"),
    ({"billingdisabled", "billingnotenabled", "accountdisabled"}, r"", _BILLING),
    (_ANY, r"(?i)billing account|billing to be enabled", _BILLING),
    ({"userprojectdenied"}, r"", _QUOTA_PROJECT),
    (_ANY, r"(?i)requires a quota project|serviceUsageConsumer", _QUOTA_PROJECT),
    (_ANY, r"constraints/|(?i:organi[sz]ation policy)", _ORGANISATION),
    ({"accessnotconfigured", "servicedisabled"}, r"", _SWITCH_ON),
    ({"quotaexceeded"}, r"", _QUOTA),
    ({"zoneresourcepoolexhausted", "zoneresourcepoolexhaustedwithdetails", "stockout"}, r"", _STOCK_OUT),
    ({"alreadyexists", "resourcealreadyexists", "conflict"}, r"", _TAKEN),
    ({"resourceinusebyanotherresource"}, r"", "something else still uses it: remove that first"),
    ({"resourcenotready"}, r"", "it is being changed at the moment: run it again"),
    ({"connection"}, r"(?i)certificate verify", "the certificate is not trusted: a proxy in between, or a wrong clock"),
    ({"connection"}, r"", "Google cannot be reached: check this machine's network, then run it again"),
)


def advice(refusal: Refusal) -> str:
    """Say what to do about a refusal, with Google's own words behind it."""
    said = _QUERY.sub("?…", " ".join(refusal.message.split()))[:300]
    if refusal.status == 401:
        return f"the credentials are not accepted any more: {_LOGIN} ({said})"
    if match := _UNKNOWN_PLACE.search(refusal.message):
        kind = "zone" if match[1] or match[3] else "project"  # the region is made from the zone
        return f"there is no such {kind}, or not for these credentials: check {kind} in the inventory ({said})"
    if match := _PERMISSION.search(refusal.message):
        missing = match[1] or match[2]
        more = f", {_BUCKET}" if missing == "storage.buckets.get" else ""
        return f"the permission {missing} is missing: grant it in the project's IAM{more} ({said})"
    for reasons, pattern, text in _ADVICE:
        if (not reasons or refusal.reason in reasons) and re.search(pattern, refusal.message):
            return f"{text} ({said})"
    if refusal.is_transient:
        return f"Google does not answer as it should: run it again later, it goes on where it was ({said})"
    return f"{said.rstrip(' .:;') or f'Google answered {refusal.status}'}: correct what it names, then run it again"
