"""Several real VMs behind one address: a real balancer passes TCP through, machines die, impostors take their place."""

from __future__ import annotations

import asyncio
import os
import signal

import openai
import pytest

from client_sdk import AsyncClient, Client, Publisher, SimulatedPlatform, VerificationError
from client_sdk.evidence import Evidence
from client_sdk.origin import Origin
from client_sdk.rounds import gather
from tests.e2e.fleet import IMPOSTORS, ask, ask_async, balanced, only_attestation
from tests.e2e.machine import vitrine
from tests.fakes.simulated_server import serving
from tests.ports import free_port

NODES, AT_ONCE = 3, 6


def arguments(vm):
    return {
        "releases": vm.release,
        "publisher": Publisher(keys=(vm.publisher,)),
        "policy": SimulatedPlatform(tpm_ca=vm.tpm_ca),
        "timeout": 600,
        "attestation_timeout": 120,
    }


def port(origin: str) -> int:
    return Origin.parse(origin).port


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_an_impostor_behind_the_balancer_gets_no_prompt_and_the_vm_answers(vm, tmp_path, kind):
    with (
        serving(IMPOSTORS[kind](vm.origin)) as impostor,
        balanced(tmp_path, port(vm.origin), port(impostor.origin)) as at,
    ):
        with Client(at, **arguments(vm)) as client:
            tally = ask(client, 4, at_once=1)
            tally.show(kind, client)
            assert tally.answered == 4
            assert len(client.attestations) == 1
            assert {refused.report.verdict for refused in client.refused} == {"refused"}
            assert client.refused[0].node.spki not in client.attestations
        only_attestation(impostor)


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_with_nobody_else_behind_the_balancer_the_error_names_the_impostor(vm, tmp_path, kind):
    with serving(IMPOSTORS[kind](vm.origin)) as impostor, balanced(tmp_path, port(impostor.origin)) as at:
        with pytest.raises(VerificationError, match=r"it was the node with TLS key [0-9a-f]{64}"):
            Client(at, **arguments(vm))
        only_attestation(impostor)


def test_nobody_behind_the_balancer_is_no_verdict(vm, tmp_path):
    with balanced(tmp_path, free_port()) as at:
        assert vitrine("verify", at, *vm.pins).status == 3


@pytest.fixture
def vms(boot):
    """Three machines that booted from the same image under the same release."""
    machines = [boot(label=f"fleet{number}") for number in range(NODES)]
    for machine in machines:
        words = ("--wait", "900", "--timeout", "120", "--max-tokens", "1")
        outcome = vitrine("ask", machine.origin, "Hello", *machine.pins, *words, seconds=1200)
        assert outcome.status == 0, outcome.err[-2000:]
    return machines


def identities(vm) -> tuple[bytes, bytes, bytes]:
    evidence = Evidence.from_json(gather(Origin.parse(vm.origin), timeout=120).evidence)
    return evidence.ek_certificates[0], evidence.ak_public, evidence.tls_certificate


def kill(vm) -> None:
    """End a VM as a power cut does: nobody closes its connections in order."""
    os.kill(vm.vm.pid, signal.SIGKILL)


def load_async(at, vm, count):
    async def talk():
        client = await asyncio.to_thread(AsyncClient, at, **arguments(vm))
        async with client:
            return await ask_async(client, count, at_once=AT_ONCE), client

    return asyncio.run(talk())


@pytest.mark.slow
def test_three_machines_of_which_one_dies_and_is_replaced_by_impostors(vms, tmp_path):
    told = [identities(vm) for vm in vms]
    for name, values in zip(("EK", "AK", "TLS key"), zip(*told, strict=True), strict=True):
        assert len(set(values)) == NODES, f"machines share an {name}"
    first, *others = vms
    with balanced(tmp_path, *(port(vm.origin) for vm in vms)) as at, Client(at, **arguments(first)) as client:
        all_answer(client, at, first)
        nodes = set(client.attestations)
        one_dies_under_load(client, first)
        for kind in IMPOSTORS:
            with serving(IMPOSTORS[kind](others[0].origin), port=port(first.origin)) as impostor:
                replaced(client, at, others[0], kind)
                only_attestation(impostor)
        assert set(client.attestations) == nodes, "verdicts of the genuine ones hold, and there is no other"


def all_answer(client, at, vm):
    tally = ask(client, 24, at_once=AT_ONCE)
    tally.show("three machines, Client", client)
    assert tally.answered == tally.sent
    tally, asynchronous = load_async(at, vm, 24)
    tally.show("three machines, AsyncClient", asynchronous)
    assert tally.answered == tally.sent
    assert set(client.attestations) == set(asynchronous.attestations)
    assert len(client.attestations) == NODES
    assert client.refused == asynchronous.refused == ()


def one_dies_under_load(client, vm):
    """Requests that the machine had may be lost, and are not sent again; all others are answered by the rest."""
    dead = []

    def when(answered):
        if answered == 6 and not dead:
            kill(vm)
            dead.append(vm)

    tally = ask(client, 24, at_once=AT_ONCE, when=when)
    tally.show("one machine is killed", client)
    assert dead
    assert len(tally.errors) <= AT_ONCE
    assert {type(error) for error in tally.errors} <= {openai.APIConnectionError, openai.APITimeoutError}
    tally = ask(client, 12, at_once=AT_ONCE)
    tally.show("and stays away", client)
    assert tally.answered == tally.sent


def replaced(client, at, vm, kind):
    """A request that meets the impostor goes to another node, or is refused where all its connections led there."""
    refusals = len(client.refused)
    tally = ask(client, 12, at_once=AT_ONCE)
    tally.show(f"{kind}, Client", client)
    assert len(client.refused) > refusals
    assert {type(error) for error in tally.errors} <= {VerificationError}
    assert tally.answered > len(tally.errors)
    tally, asynchronous = load_async(at, vm, 12)
    tally.show(f"{kind}, AsyncClient", asynchronous)
    assert {type(error) for error in tally.errors} <= {VerificationError}
    assert tally.answered > len(tally.errors)
    assert {refused.report.verdict for refused in asynchronous.refused} == {"refused"}
