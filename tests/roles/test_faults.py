"""What the units say about a process that is killed, out of memory, or out of descriptors."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from serving.gateway.limits import Limits

ROLES = Path(__file__).resolve().parents[2] / "roles"
UNITS = "files/tree/usr/lib/systemd/system"
SANDBOX = ROLES / "service_sandbox" / UNITS / "vitrine-.service.d/10-sandbox.conf"
ATTESTER = "attester", "vitrine-attester.service.j2"
GATEWAY = "gateway", "vitrine-gateway.service.j2"
ENGINE = "engine", "vitrine-engine-.service.d/20-engine.conf"
SELFCHECK = "attester", "vitrine-selfcheck.service"


def unit(role, name):
    """The unit as it is in the end: its own file, the sandbox, and what it needs beyond that."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    needs = ROLES / role / UNITS / f"{name.removesuffix('.j2')}.d/20-needs.conf"
    for path in (ROLES / role / UNITS / name, SANDBOX, needs):
        if path.is_file():
            parser.read_string(path.read_text())
    return parser["Unit"], parser["Service"]


def test_when_memory_is_short_engines_go_first_and_the_attester_last():
    order = [int(unit(*where)[1].get("OOMScoreAdjust", 0)) for where in (ATTESTER, GATEWAY, ENGINE)]
    assert order == sorted(set(order))


@pytest.mark.parametrize("where", [GATEWAY, ENGINE])
def test_what_can_start_again_does_so_for_ever(where):
    about, service = unit(*where)
    assert (service["Restart"], about["StartLimitIntervalSec"]) == ("always", "0")
    assert "FailureAction" not in about


def test_an_engine_of_many_processes_ends_whole():
    _, service = unit(*ENGINE)
    assert (service["OOMPolicy"], service["KillMode"]) == ("kill", "control-group")


@pytest.mark.parametrize("name", ["llamacpp", "vllm"])
def test_an_engine_that_is_stuck_is_ended_and_no_sooner_than_an_honest_prompt_takes(name):
    _, service = unit("engine", f"vitrine-engine-{name}@.service.j2")
    assert int(service["WatchdogSec"]) > Limits().engine_silence_seconds
    assert int(service["WatchdogSec"]) <= Limits().engine_total_seconds
    assert unit(*ENGINE)[1]["Type"] == "notify"


@pytest.mark.parametrize("where", [ATTESTER, SELFCHECK])
def test_what_cannot_start_again_ends_the_machine(where):
    about, service = unit(*where)
    assert (service.get("Restart", "no"), about["FailureAction"]) == ("no", "poweroff-force")


def test_the_gateway_ends_with_the_attester_and_does_not_take_the_engines_memory():
    about, service = unit(*GATEWAY)
    assert about["BindsTo"] == "vitrine-attester.service"
    assert service["MemoryMax"] == "2G"


def test_there_are_descriptors_for_every_connection_that_is_let_in():
    _, service = unit(*GATEWAY)
    limits = Limits()
    assert int(service["LimitNOFILE"]) >= 2 * (limits.connections + limits.requests + limits.activations)


@pytest.mark.parametrize("where", [ATTESTER, GATEWAY, ENGINE, SELFCHECK])
def test_whoever_is_killed_leaves_no_memory_behind(where):
    _, service = unit(*where)
    assert (service["LimitCORE"], service["StandardError"]) == ("0", "null")
