"""What Azure's refusals mean, in one sentence with the next step.

Sources:
learn.microsoft.com/azure/azure-resource-manager/troubleshooting/{common-deployment-errors,error-resource-quota,
error-sku-not-available}, learn.microsoft.com/azure/quotas/view-quotas,
learn.microsoft.com/rest/api/storageservices/blob-service-error-codes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
)

from provisioner.clouds.answers import ODD, misread
from provisioner.errors import CloudError

_SKEW_SECONDS = 300.0
_LOGIN = "log in (`az login`), or set what azure.identity.DefaultAzureCredential reads"
_QUOTA = "ask for more of that quota (Usage + quotas in the portal), or choose another size, region or priority"
_CAPACITY = "the region has none of that size free now; try again later, or choose another location or priority"
# The API's codes, and what to do about each; the API's own words say which thing it was.
_STEPS = {
    "QuotaExceeded": _QUOTA,
    "SkuNotAvailable": "the subscription may not have that size in that location; choose another location or size",
    "AllocationFailed": _CAPACITY,
    "ZonalAllocationFailed": _CAPACITY,
    "OverconstrainedAllocationRequest": _CAPACITY,
    "LocationNotAvailableForResourceType": "choose a location from those that it lists",
    "InvalidLocation": "choose a location from those that it lists",
    "LocationNotAvailableForResourceGroup": "choose a location from those that it lists",
    "NoRegisteredProviderFound": "choose a location from those that it lists",
    "MissingSubscriptionRegistration": "register that provider with the subscription (`az provider register`)",
    "SubscriptionNotFound": "check `subscription`, and that this login may see it (`az account list`)",
    "ResourceGroupNotFound": "check `resource_group`; with resource_group_exists it has to be there already",
    "ResourceGroupBeingDeleted": "wait until it is gone, then run it again",
    "AnotherOperationInProgress": "something else changes it now; run it again in a minute",
    "RetryableError": "run it again in a minute",
    "TooManyRequests": "run it again in a few minutes",
    "RequestDisallowedByPolicy": "a policy of the organisation forbids it; ask who sets its policies",
    "ScopeLocked": "somebody locked it against changes; remove the lock",
    "InvalidResourceGroupLocation": "the group is elsewhere already; use its location, or another resource_group",
}
_FORBIDDEN = {"AuthorizationFailed", "LinkedAuthorizationFailed"}
_EXPIRED = {"ExpiredAuthenticationToken", "AuthenticationFailed", "InvalidAuthenticationToken"}
_QUERY = re.compile(r"\?[^\s'\")>]*")  # of an address: it may carry the right to write
_NOT_SET_UP = re.compile(r"unavailable|not found|not installed|could not be found|requires the|No accounts")
_ACTION = re.compile(r"action(?:\(s\))? '([^']+)'")


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the SDK raises while this is done, or an odd answer does, into a CloudError that says what to do.

    Nothing of what the SDK said goes along: addresses that carry the right to write are in it.
    """
    refused: CloudError | None = None
    try:
        yield
    except AzureError as error:
        refused = _told(what, error)
    except ODD as error:
        refused = misread(what, error)
    if refused is not None:
        raise refused


def _told(what: str, error: AzureError) -> CloudError:
    """Explain an error, whose own body may be odd too."""
    if isinstance(error, DecodeError):
        return misread(what, _first_line(error))
    try:
        return explain(what, error, now=datetime.now(UTC))
    except ODD as odd:
        return misread(what, odd)


def explain(what: str, error: AzureError, *, now: datetime) -> CloudError:
    """Say in one sentence what an error means and what to do."""
    if isinstance(error, HttpResponseError) and error.response is not None:
        return _refused(what, error, now)
    if isinstance(error, ClientAuthenticationError):
        return CloudError(f"{what}: no Azure credentials that work: {_credential(error)}; {_LOGIN}")
    if isinstance(error, ServiceRequestError):
        return CloudError(f"{what}: Azure cannot be reached ({_first_line(error)}); check the network, run it again")
    return CloudError(f"{what}: the connection ended ({_first_line(error)}); run it again, it goes on where it was")


def _credential(error: ClientAuthenticationError) -> str:
    """Say which credential failed and why.

    DefaultAzureCredential lists in its message each that it tried, one after a tab: those that are not set up here, and
    at the end the one that was set up and did not work. Where none was, the first line says all.
    """
    tried = [line.strip() for line in str(error).splitlines() if line.startswith("\t")]
    failed = [line for line in tried if not _NOT_SET_UP.search(line)]
    return failed[-1].rstrip(".;") if failed else _first_line(error)


def code_of(error: HttpResponseError) -> str:
    """Return the API's code of an error, or nothing."""
    code = getattr(error.error, "code", None)
    return str(code or _headers(error).get("x-ms-error-code") or "")


def _headers(error: HttpResponseError) -> Mapping[str, str]:
    return getattr(error.response, "headers", {})


def _refused(what: str, error: HttpResponseError, now: datetime) -> CloudError:
    headers = _headers(error)
    request = headers.get("x-ms-request-id") or headers.get("x-ms-correlation-request-id")
    said = _words(error)
    step = _skew(error.status_code, headers.get("Date"), now) or _step(code_of(error), said, error.status_code)
    return CloudError(f"{what}: {said}; {step}", request_id=request)


def _step(code: str, said: str, status: int | None) -> str:
    if code in _FORBIDDEN:
        action = _ACTION.search(said)
        return f"give this login a role with the action {action.group(1) if action else 'that it names'}"
    if code == "OperationNotAllowed" and "quota" in said.lower():
        return _QUOTA
    if code in _EXPIRED or status == 401:
        return f"the login is not valid any more; {_LOGIN}"
    return _STEPS.get(code) or _by_status(status)


def _by_status(status: int | None) -> str:
    if status == 409:
        return "something of that name, or using it, is there; look at it in the portal, then run it again"
    if status is not None and status >= 500:
        return "Azure itself failed; run it again, it goes on where it was"
    return "correct what it names, then run it again"


def _skew(status: int | None, date: str | None, now: datetime) -> str:
    """Say that this machine's clock is wrong, where a refused login and the API's own date show it."""
    if status not in (401, 403) or not date:
        return ""
    try:
        seconds = (now - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return ""
    if abs(seconds) <= _SKEW_SECONDS:
        return ""
    return f"this machine's clock is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}; set it (timedatectl)"


def _words(error: HttpResponseError) -> str:
    """Return the API's code and message on one line, with the innermost reason, which is the one that helps."""
    found = error.error
    if found is None:
        return _first_line(error)
    inner = [f"{detail.code}: {detail.message}" for detail in found.details or () if detail.code]
    text = f"{found.code}: {found.message}" + (f" ({'; '.join(inner)})" if inner else "")
    return _shown(" ".join(text.split()))


def _first_line(error: Exception) -> str:
    return _shown((str(error).strip() or type(error).__name__).splitlines()[0])


def _shown(text: str) -> str:
    return _QUERY.sub("?…", text).rstrip(".;")
