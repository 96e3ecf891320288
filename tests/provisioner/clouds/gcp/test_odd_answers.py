"""A Google that is broken or hostile: every answer that is not understood ends in our error, and in time."""

from __future__ import annotations

import json
import re

import pytest

from provisioner.clouds.answers import MisreadError
from provisioner.clouds.gcp.api import Limits
from provisioner.errors import CloudError
from tests.fakes.cloud_api import Answer, Fault
from tests.provisioner.clouds.gcp.conftest import CPU, GROUP
from tests.provisioner.clouds.gcp.test_doors import machine
from tests.provisioner.clouds.odd import BODIES, ERRORS, JSON, untyped

SHORT = Limits(answer=3.0, call=1.0, operation=1.0, settle=0.05, pause=0.01)
FOREVER = 1 << 30
ASKED = ("find", "groups", "names", "found", "open_doors")


def shape(call):
    """Name a kind of call; logging in is not among them."""
    if call.path.endswith("/token"):
        return "login"
    return f"{call.method} {re.sub(r'(prod|my-project)[a-z0-9.-]*|operation-[0-9]+', 'X', call.path)}"


def ask(lab, variables, what):
    cloud = lab.cloud(variables, limits=SHORT)
    return getattr(cloud, what)(*(() if what in ("names", "found") else ("prod",)))


def anywhere(lab, variables, answer):
    found = [untyped(lab.api, shape, lambda what=what: ask(lab, variables, what), answer) for what in ASKED]
    return [one for some in found for one in some if not one.startswith("login")]


@pytest.mark.clouds
@pytest.mark.parametrize("variables", [CPU, GROUP], ids=["one machine", "a group"])
def test_no_answer_ends_in_anything_but_our_error(lab, variables):
    lab.launch(variables)
    found = {name: anywhere(lab, variables, Answer(200, body, JSON)) for name, body in BODIES.items()}
    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize("body", ["half of it", "empty items", "an empty machine"])
def test_no_answer_of_some_ends_in_anything_but_our_error(lab, body):
    lab.launch(CPU)
    assert anywhere(lab, CPU, Answer(200, BODIES[body], JSON)) == []


@pytest.mark.clouds
@pytest.mark.parametrize("body", ERRORS)
def test_no_refusal_ends_in_anything_but_our_error(lab, body):
    lab.launch(CPU)
    assert anywhere(lab, CPU, Answer(403, ERRORS[body], JSON)) == []


def test_what_is_not_understood_says_which_call_and_what_to_do(lab):
    lab.launch(CPU)
    lab.api.faults[:] = [
        Fault(lambda call: "/aggregated/instances" in call.path, Answer(200, b"<html>", JSON), FOREVER)
    ]
    with pytest.raises(
        MisreadError, match=r"^Instances.aggregated_list: an answer that is not understood \(.*; run it"
    ):
        lab.cloud(limits=SHORT).find("prod")


@pytest.mark.parametrize("after", ["\xb2", "\u0663".encode().decode("latin-1"), "9" * 400, "-1", "soon"])
def test_a_pause_that_is_none_or_never_ends(lab, after):
    lab.launch(CPU)
    answer = Answer(503, b"{}", JSON | {"Retry-After": after})
    lab.api.faults[:] = [Fault(lambda call: not call.path.endswith("/token"), answer, FOREVER)]
    with pytest.raises(CloudError, match="Google does not answer as it should"):
        lab.cloud(limits=SHORT).found()


@pytest.mark.parametrize(
    ("part", "body"), [("/instances", {"items": {}}), ("/storage/v1/b", {"items": []})], ids=["machines", "buckets"]
)
@pytest.mark.parametrize("tokens", ["the same", "new ones"])
def test_pages_that_do_not_end(lab, part, body, tokens):
    lab.launch(CPU)
    numbers = iter(range(FOREVER))

    def matches(call):
        token = "x" if tokens == "the same" else str(next(numbers))
        fault.how = Answer(200, json.dumps(body | {"nextPageToken": token}).encode(), JSON)
        return call.path.endswith(part)

    fault = Fault(matches, "before", FOREVER)
    lab.api.faults[:] = [fault]
    with pytest.raises(MisreadError, match="the pages of a list do not end"):
        lab.cloud(limits=SHORT).found()


def test_what_can_be_read_is_destroyed_and_the_rest_is_told(lab):
    lab.launch(CPU)
    odd = Fault(lambda call: "/aggregated/addresses" in call.path, Answer(200, b'{"items": 7}', JSON), FOREVER)
    lab.api.faults[:] = [odd]
    with pytest.raises(CloudError, match=r"not everything could be deleted.*Addresses.aggregated_list: an answer that"):
        lab.destroy()
    assert [one for one in lab.project.leftovers() if "/instances/" in one or "/disks/" in one] == []
    assert [one for one in lab.project.leftovers() if "/addresses/" in one]
    lab.api.faults.clear()
    lab.destroy()
    assert lab.project.leftovers() == []


def test_what_a_terminal_would_obey_is_shown_as_text(lab):
    lab.launch(GROUP)
    said = {"code": "X", "message": "\x1b]0;pwned\x07\x1b[2J\u202e evil"}
    instance = "projects/my-project/zones/europe-west4-a/instances/prod-\x1b[31mzzz"
    absent = {"instance": instance, "lastAttempt": {"errors": {"errors": [said]}}}
    body = json.dumps({"managedInstances": [absent]}).encode()
    lab.api.faults[:] = [Fault(lambda call: "listManagedInstances" in call.path, Answer(200, body, JSON), FOREVER)]
    lines = []
    with pytest.raises(CloudError, match="not ready") as caught:
        lab.cloud(GROUP).wait_ready("prod", seconds=0, progress=lines.append)
    lab.api.faults[:] = [Fault(lambda call: "/aggregated/" in call.path, Answer(403, refusal(said), JSON), FOREVER)]
    with pytest.raises(CloudError) as refused:
        lab.cloud(GROUP).find("prod")
    for text in (*lines, str(caught.value), str(refused.value)):
        assert text.isprintable()
    assert "\\x1b[2J" in str(refused.value)


def refusal(said):
    return json.dumps({"error": {"code": 403, "message": said["message"], "errors": [{"reason": "x"}]}}).encode()


def test_a_machine_without_a_name_is_told_and_the_others_are_destroyed(lab):
    lab.launch(CPU)
    nameless = {"labels": dict(machine(lab)["labels"])}
    scopes = {"zones/europe-west4-a": {"instances": [nameless, machine(lab)]}}
    answer = Answer(200, json.dumps({"items": scopes}).encode(), JSON)
    lab.api.faults[:] = [Fault(lambda call: "/aggregated/instances" in call.path, answer, 1)]
    with pytest.raises(CloudError, match="instance europe-west4-a/: "):
        lab.destroy()
    assert [one for one in lab.project.leftovers() if "/instances/" in one] == []
