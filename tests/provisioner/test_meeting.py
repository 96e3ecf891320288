"""Meeting every machine behind one endpoint: none is forgotten, each that is refused is named."""

from __future__ import annotations

import itertools
import random

import pytest

from provisioner import meeting
from provisioner.acceptance import Target, Trust
from provisioner.errors import CloudError, MeasureError
from provisioner.meeting import UNREADABLE, AsClient, RefusedNodeError, connections, meet_all
from provisioner.target import Deployment

HERE = "https://127.0.0.1:1"


def in_turn(*machines):
    """A balancer that goes round; a machine whose name begins with ! is refused."""
    turn = itertools.cycle(machines)

    def verify(endpoint, *, progress):
        assert endpoint == HERE
        name = next(turn)
        if name.startswith("!"):
            raise RefusedNodeError(name, f"{name} has another PCR 11")
        return name

    return verify


def meet(verify, machines):
    return meet_all(HERE, machines, verify, progress=lambda _: None)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_all_are_met(count):
    names = tuple(f"key {number}" for number in range(count))
    assert meet(in_turn(*names), count) == names


def test_a_balancer_of_chance_leads_to_all_within_the_limit():
    chance = random.Random(7)  # noqa: S311 - the same chance each time

    def verify(_, *, progress):
        return f"key {chance.randrange(count)}"

    for count in (2, 3, 20):
        for _ in range(50):
            assert len(meet(verify, count)) == count


def test_a_machine_that_is_never_met_is_an_error_and_not_assumed_to_be_like_the_others():
    with pytest.raises(CloudError, match=r"22 connections met 1 of 2 machines; see in the cloud's console"):
        meet(in_turn("key 1"), 2)


@pytest.mark.parametrize("machines", [("!a", "b"), ("b", "!a"), ("!a", "!c"), ("!a",)])
def test_every_machine_that_is_refused_is_named(machines):
    with pytest.raises(MeasureError) as caught:
        meet(in_turn(*machines), len(machines))
    for name in machines:
        assert (f"the machine with TLS key {name}: {name} has another PCR 11" in str(caught.value)) == (name[0] == "!")


def test_a_refused_machine_is_not_outvoted_by_one_more_that_is_accepted():
    """A third machine behind the endpoint, and one of the three is wrong."""
    with pytest.raises(MeasureError, match="the machine with TLS key !a"):
        meet(in_turn("!a", "b", "c"), 2)


def test_refused_for_lack_of_collateral_and_accepted_when_it_is_there():
    answers = iter(["!b", "a", "b"])

    def verify(_, *, progress):
        name = next(answers)
        if name[0] == "!":
            raise RefusedNodeError(name[1:], "no VCEK")
        return name

    assert meet(verify, 2) == ("a", "b")


def test_a_machine_whose_key_cannot_be_read_is_refused_in_the_end():
    def verify(_, *, progress):
        raise RefusedNodeError(UNREADABLE, "no quote")

    with pytest.raises(MeasureError, match=r"TLS key \(unreadable\): no quote"):
        meet(verify, 2)


def test_nobody_answers():
    def verify(_, *, progress):
        raise CloudError("did not answer within 1 s")

    with pytest.raises(CloudError, match="did not answer"):
        meet(verify, 2)


def test_how_many_connections_are_made_is_bounded():
    assert [connections(count) for count in (1, 2, 100)] == [10, 22, 1461]


@pytest.fixture
def client(tmp_path, monkeypatch):
    """The real one, with the files that it was given counted."""
    asked = []

    def target(deployment, *, seconds, progress):
        asked.append(deployment.origin)
        return Target(deployment.origin, tmp_path / "r", tmp_path / "p", Trust("policy", tmp_path / "policy.toml"))

    monkeypatch.setattr(meeting, "target_of", target)
    told = Deployment(variables={}, root=tmp_path, origin="", candidate=True, simulated_cloud=None)
    return AsClient(deployment=told, seconds=1.0), asked


def test_the_real_client_names_a_machine_by_its_verified_key_and_reads_its_files_once(client, monkeypatch):
    verify, asked = client
    monkeypatch.setattr(meeting, "accept", lambda *_, **__: {"facts": {"tls_spki_sha256": "ab"}})
    assert [verify(HERE, progress=print), verify(HERE, progress=print)] == ["ab", "ab"]
    assert asked == [HERE]


def test_the_real_client_gathers_again_after_a_refusal(client, monkeypatch):
    verify, asked = client

    def refuse(*_, **__):
        raise MeasureError("PCR 4 differs")

    monkeypatch.setattr(meeting, "accept", refuse)
    for _ in range(2):
        with pytest.raises(RefusedNodeError, match="PCR 4 differs") as caught:
            verify(HERE, progress=print)
        assert caught.value.node == UNREADABLE
    assert asked == [HERE, HERE]
