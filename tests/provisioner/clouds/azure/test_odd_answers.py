"""An Azure that is broken or hostile: every answer that is not understood ends in our error, and in time."""

from __future__ import annotations

import json
import re
import socket
from types import SimpleNamespace

import pytest

from provisioner.clouds.answers import MisreadError
from provisioner.clouds.azure.api import Patience, Wire
from provisioner.clouds.azure.upload import Upload, upload
from provisioner.errors import CloudError
from tests.fakes.cloud_api import Answer, Fault
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.clouds.odd import BODIES, ERRORS, JSON, untyped

ASKED = ("find", "groups", "names", "found", "open_doors")
FOREVER = 1 << 30


def shape(call):
    """Name a kind of call."""
    path = re.sub(r"/operations/[^/?]+", "/operations/X", call.path)
    return f"{call.method} {re.sub(r'toy[-_a-z0-9.]*', 'X', path)}"


def ask(azure, what):
    return getattr(azure.remote(), what)(*(() if what in ("names", "found") else ("toy",)))


def anywhere(azure, answer):
    found = [untyped(azure.api, shape, lambda what=what: ask(azure, what), answer) for what in ASKED]
    return [one for some in found for one in some]


@pytest.mark.clouds
@pytest.mark.parametrize("replicas", [1, 2])
def test_no_answer_ends_in_anything_but_our_error(azure, deployed, replicas):
    azure.arm.restore(deployed(replicas))
    found = {name: anywhere(azure, Answer(200, body, JSON)) for name, body in BODIES.items()}
    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize("body", ["half of it", "empty items", "a list of properties"])
def test_no_answer_of_some_ends_in_anything_but_our_error(azure, deployed, body):
    azure.arm.restore(deployed(1))
    assert anywhere(azure, Answer(200, BODIES[body], JSON)) == []


@pytest.mark.clouds
@pytest.mark.parametrize("body", ERRORS)
def test_no_refusal_ends_in_anything_but_our_error(azure, deployed, body):
    azure.arm.restore(deployed(1))
    assert anywhere(azure, Answer(403, ERRORS[body], JSON)) == []


def test_what_is_not_understood_says_which_call_and_what_to_do(azure, deployed):
    azure.arm.restore(deployed(1))
    azure.api.faults[:] = [Fault(lambda call: call.path.endswith("/disks"), Answer(200, b"<html>", JSON), FOREVER)]
    with pytest.raises(CloudError, match=r"^list of disk: .*; run it again"):
        azure.remote().found()


def test_a_list_that_leads_to_itself(azure, deployed):
    azure.arm.restore(deployed(1))
    body = {"value": [], "nextLink": f"{azure.api.url}/subscriptions/x/providers/Microsoft.Compute/disks?x=1"}
    answer = Answer(200, json.dumps(body).encode(), JSON)
    azure.api.faults[:] = [Fault(lambda call: call.path.endswith("/disks"), answer, FOREVER)]
    before = len(azure.api.calls)
    with pytest.raises(MisreadError, match=r"list of disk: .*the pages of a list do not end"):
        azure.remote().found()
    assert len(azure.api.calls) - before < 50


@pytest.mark.parametrize(("said", "waits"), [("999999", 120.0), ("inf", 120.0), ("7", 7.0), ("-1", 0.0), ("²", None)])
def test_a_pause_is_no_longer_than_two_minutes(said, waits):
    response = SimpleNamespace(http_response=SimpleNamespace(headers={"Retry-After": said}))
    assert Patience().get_retry_after(response) == waits


def test_what_can_be_read_is_destroyed_and_the_rest_is_told(azure, deployed):
    azure.arm.restore(deployed(1))
    odd = Answer(200, b'{"value": [5]}', JSON)
    azure.api.faults[:] = [Fault(lambda call: call.path.endswith("/publicIPAddresses"), odd, FOREVER)]
    with pytest.raises(CloudError, match=r"not everything could be deleted.*list of publicIPAddress"):
        azure.destroy()
    left = {thing.kind for thing in azure.cloud.things.values()}
    assert not left & {"microsoft.compute/virtualmachines", "microsoft.compute/disks"}
    azure.api.faults.clear()
    azure.destroy()
    assert azure.cloud.things == {}


def test_what_a_terminal_would_obey_is_shown_as_text(azure, deployed):
    azure.arm.restore(deployed(1))
    body = json.dumps({"error": {"code": "X", "message": "\x1b]0;pwned\x07\u202e"}}).encode()
    azure.api.faults[:] = [Fault(lambda _: True, Answer(400, body, JSON), FOREVER)]
    with pytest.raises(CloudError) as caught:
        azure.remote().found()
    assert str(caught.value).isprintable()
    assert "\\x1b]0;pwned" in str(caught.value)


@pytest.mark.parametrize("how", ["nobody listens", "no such name"])
def test_the_address_of_an_upload_is_in_no_message_and_in_no_chain(tmp_path, how):
    (tmp_path / "a.raw").write_bytes(b"x" * 4096)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        host = "127.0.0.1" if how == "nobody listens" else "md-x.blob.storage.invalid"
        where = f"https://{host}:{taken.getsockname()[1]}/c/abcd?sv=2018&sr=b&sig=SECRET"
        wanted = Upload(source=tmp_path / "a.raw", size=1 << 20, address=where, name="disk toy")
        with pytest.raises(CloudError) as caught:
            upload(wanted, Wire(retries=0, backoff=0.01), progress=quiet)
    error = caught.value
    while error is not None:
        assert "SECRET" not in str(error)
        error = error.__cause__ or error.__context__
