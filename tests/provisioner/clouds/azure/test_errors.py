"""All that Azure, the login or the operator's machine can say no with: one sentence, the step, the request's id."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import certifi
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import AzureDeveloperCliCredential, ChainedTokenCredential, CredentialUnavailableError

from provisioner.clouds.azure import vendor
from provisioner.clouds.azure.names import Place
from provisioner.errors import CloudError
from tests.fakes.azure.effects import VM
from tests.fakes.azure.things import SUBSCRIPTION
from tests.fakes.cloud_api import Answer, Fault
from tests.fakes.loopback import LeftLoopbackError
from tests.provisioner.clouds.conftest import quiet


def refusal(azure, **changes):
    with pytest.raises(CloudError) as raised:
        azure.apply(azure.spec(**changes))
    text = str(raised.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def answer(status, code, message, **headers):
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Answer(status, body, {"Content-Type": "application/json", "x-ms-request-id": "abc-123", **headers})


def says(azure, status, code, message="it says so", **headers):
    azure.api.faults.append(Fault(lambda call: call.method == "PUT", answer(status, code, message, **headers), skip=1))
    return refusal(azure)


class NoLogin:
    def get_token(self, *_scopes, **_options):
        raise CredentialUnavailableError(message="DefaultAzureCredential failed to retrieve a token")


class WrongLogin:
    def get_token(self, *_scopes, **_options):
        raise ClientAuthenticationError(message="AADSTS7000215: Invalid client secret provided.")


def test_no_login(azure):
    azure.credential = NoLogin()
    assert re.search(
        r"no Azure credentials that work: DefaultAzureCredential failed.*log in \(`az login`\)", refusal(azure)
    )
    assert azure.api.calls == []


def test_a_wrong_secret(azure):
    azure.credential = WrongLogin()
    assert "AADSTS7000215: Invalid client secret provided; log in (`az login`)" in refusal(azure)


HISTORY = """DefaultAzureCredential failed to retrieve a token from the included credentials.
Attempted credentials:
\tWorkloadIdentityCredential: WorkloadIdentityCredential authentication unavailable. See the guide.
\tAzureCliCredential: Azure CLI not found on path
\tAzurePowerShellCredential: PowerShell is not installed
\tAzureDeveloperCliCredential: Azure Developer CLI could not be found. Please visit https://aka.ms/azure-dev
"""
MITIGATE = "To mitigate this issue, please refer to the troubleshooting guidelines."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "EnvironmentCredential: AADSTS7000222: The client secret has expired.",
            "AADSTS7000222: The client secret",
        ),
        ("AzureCliCredential: Please run 'az login' to set up an account", "AzureCliCredential: Please run 'az login'"),
        ("", "DefaultAzureCredential failed to retrieve a token"),
    ],
)
def test_of_many_credentials_the_one_that_failed_is_named(azure, line, said):
    class Chain:
        def get_token(self, *_scopes, **_options):
            raise ClientAuthenticationError(message=HISTORY + (f"\t{line}\n" if line else "") + MITIGATE)

    azure.credential = Chain()
    text = refusal(azure)
    assert f"no Azure credentials that work: {said}" in text.replace("EnvironmentCredential: ", "")
    assert "PowerShell" not in text


def test_the_sdks_own_chain_names_the_one_that_failed(azure):
    """Held to the library that is installed: how it writes its list may change."""

    class Broken:
        def get_token(self, *_scopes, **_options):
            raise ClientAuthenticationError(message="AADSTS7000215: Invalid client secret provided.")

    azure.credential = ChainedTokenCredential(AzureDeveloperCliCredential(), Broken())
    assert "no Azure credentials that work: Broken: AADSTS7000215: Invalid client secret provided; " in refusal(azure)


def test_a_network_that_is_dead_is_said_once_while_it_is_asked_again(azure):
    azure.retries = 4
    azure.api.faults.append(Fault(lambda call: call.method == "PUT", "before", times=3))
    azure.apply()
    assert azure.said == [f"{azure.api.url.removeprefix('https://')} cannot be reached: tries again for minutes"]


def test_a_login_that_has_expired(azure):
    azure.arm.tokens = {"another"}
    text = refusal(azure)
    assert "ExpiredAuthenticationToken" in text
    assert "the login is not valid any more; log in (`az login`)" in text
    assert re.search(r"\(request request-\d+\)$", text)


def test_a_login_that_expires_in_the_middle(azure):
    azure.api.faults.append(
        Fault(lambda call: call.method == "PUT", answer(401, "ExpiredAuthenticationToken", "late"), skip=4)
    )
    assert "the login is not valid any more" in refusal(azure)
    azure.apply()
    assert azure.has(azure.spec())


@pytest.mark.parametrize(("offset", "how"), [(-3600, "ahead"), (3600, "behind")])
def test_a_clock_that_is_wrong_is_found_out(azure, monkeypatch, offset, how):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=offset), usegmt=True)
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: date)
    text = says(azure, 401, "InvalidAuthenticationToken", "Lifetime validation failed.")
    assert re.search(rf"this machine's clock is 3[56]\d\d s {how}; set it \(timedatectl\) \(request abc-123\)$", text)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_refused_login_with_a_useless_date_is_a_refused_login(azure, monkeypatch, date):
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: date)
    assert "the login is not valid any more" in says(azure, 401, "InvalidAuthenticationToken", "no")


def test_a_missing_permission_names_the_action(azure):
    azure.apply()
    azure.destroy()
    azure.arm.allowed = frozenset(azure.arm.actions) - {"microsoft.compute/virtualmachines/write"}
    text = refusal(azure)
    assert "give this login a role with the action microsoft.compute/virtualmachines/write" in text


def test_a_location_that_there_is_none_of(azure):
    text = refusal(azure, location="atlantis")
    assert "The provided location 'atlantis' is not available" in text
    assert "choose a location from those that it lists" in text


def test_a_quota_of_nothing(azure):
    azure.cloud.quota["Standard_NCC40ads_H100_v5"] = 0
    text = refusal(azure)
    assert "Current Limit: 0, Additional Required: 40" in text
    assert "ask for more of that quota" in text


def test_a_quota_that_is_too_small_for_the_set(azure):
    azure.cloud.quota["Standard_DC4as_v5"] = 8
    assert "Additional Required: 12" in refusal(azure, size="Standard_DC4as_v5", replicas=3)
    azure.apply(azure.spec(size="Standard_DC4as_v5", replicas=2))


def test_no_capacity_leaves_nothing_that_the_next_run_does_not_take_up(azure):
    azure.cloud.no_capacity.add("Standard_NCC40ads_H100_v5")
    text = refusal(azure)
    assert "AllocationFailed" in text
    assert "the region has none of that size free now" in text
    assert azure.thing(VM).state == "Failed"
    azure.cloud.no_capacity.clear()
    azure.apply()
    assert azure.has(azure.spec())


def test_no_capacity_then_destroy_leaves_nothing(azure):
    azure.cloud.no_capacity.add("Standard_NCC40ads_H100_v5")
    refusal(azure)
    azure.destroy()
    assert azure.cloud.things == {}


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (409, "SkuNotAvailable", "the subscription may not have that size in that location"),
        (409, "ZonalAllocationFailed", "the region has none of that size free now"),
        (409, "QuotaExceeded", "ask for more of that quota"),
        (409, "MissingSubscriptionRegistration", "register that provider"),
        (409, "AnotherOperationInProgress", "run it again in a minute"),
        (409, "Conflict", "something of that name, or using it, is there"),
        (409, "ScopeLocked", "remove the lock"),
        (403, "RequestDisallowedByPolicy", "ask who sets its policies"),
        (429, "TooManyRequests", "run it again in a few minutes"),
        (500, "InternalServerError", "Azure itself failed; run it again"),
        (503, "ServiceUnavailable", "Azure itself failed; run it again"),
        (400, "SomethingNew", "correct what it names"),
    ],
)
def test_what_azure_says_comes_with_the_step_and_the_requests_id(azure, status, code, said):
    text = says(azure, status, code)
    assert f"{code}: it says so; " in text
    assert said in text
    assert text.endswith("(request abc-123)")


def test_an_error_in_no_shape_at_all(azure):
    azure.api.faults.append(Fault(lambda call: call.method == "PUT", Answer(502, b"<html>Bad gateway</html>"), skip=1))
    assert "Azure itself failed; run it again" in refusal(azure)


def test_the_innermost_reason_is_said(azure):
    details = [{"code": "PropertyChangeNotAllowed", "message": "not that one"}]
    body = json.dumps({"error": {"code": "BadRequest", "message": "see below", "details": details}}).encode()
    azure.api.faults.append(
        Fault(lambda call: call.method == "PUT", Answer(400, body, {"Content-Type": "application/json"}))
    )
    assert "BadRequest: see below (PropertyChangeNotAllowed: not that one)" in refusal(azure)


def test_a_subscription_that_there_is_none_of_is_not_taken_for_nothing_there(azure):
    """Else `destroy` would say that there is nothing to destroy."""
    place = Place(SUBSCRIPTION.replace("feed", "beef"), "vitrine-toy")
    with pytest.raises(CloudError, match=r"SubscriptionNotFound.*check `subscription`"):
        azure.session(place).names()


def test_a_group_that_should_be_there_and_is_not(azure):
    assert "check `resource_group`" in refusal(azure, resource_group_exists=True)


def test_azure_cannot_be_reached(azure):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{nobody.getsockname()[1]}"
    azure.api = type("Gone", (), {"url": url, "ca_file": azure.api.ca_file, "calls": [], "faults": []})()
    with pytest.raises(CloudError, match=r"Azure cannot be reached .*check the network, run it again"):
        azure.apply()


def test_a_server_that_is_not_azure_is_not_spoken_to(azure):
    """Its certificate is of another authority, as an interceptor's would be."""
    session = azure.session
    azure.api = type(
        "Other", (), {"url": azure.api.url, "ca_file": certifi.where(), "calls": azure.api.calls, "faults": []}
    )()
    with pytest.raises(CloudError, match=r"cannot be reached .*CERTIFICATE_VERIFY_FAILED"):
        session().names()


def test_a_size_that_the_schema_does_not_know_but_the_cloud_does_is_sent(azure):
    azure.apply()
    assert azure.thing(VM).properties["hardwareProfile"]["vmSize"] == "Standard_NCC40ads_H100_v5"


def test_the_real_session_would_leave_this_machine_and_is_stopped(azure, monkeypatch):
    """What these tests are held to: the default endpoints are the cloud's, and nothing here may reach them."""
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "11111111-1111-1111-1111-111111111111")
    with pytest.raises(
        (LeftLoopbackError, CloudError), match=r"wanted to reach|cannot be reached|no Azure credentials"
    ):
        vendor.connect(azure.spec().place, progress=quiet).names()
    assert azure.api.calls == []


def test_destroy_says_what_stays_and_deletes_the_rest(azure):
    azure.apply()
    azure.api.faults.append(
        Fault(
            lambda call: call.method == "DELETE" and "loadBalancers" in call.path,
            answer(409, "ScopeLocked", "locked"),
            times=9,
        )
    )
    with pytest.raises(
        CloudError, match=r"not everything could be deleted, run it again: loadBalancer toy-balancer: .*ScopeLocked"
    ):
        azure.destroy()
    assert azure.cloud.of(VM) == []
    azure.api.faults.clear()
    azure.destroy(quiet)
    assert azure.cloud.things == {}
