"""The rules of serving.engines.vllm_rules seen on the running processes, and what these do not do."""

from __future__ import annotations

import json
import socket
from itertools import chain
from pathlib import Path

import pytest

from serving.engines.vllm_rules import ENVIRONMENT, FLAGS, NEVER_FLAGS, NEVER_VARIABLES
from tests.serving.engines import processes
from tests.serving.engines.asking import ask, post
from tests.serving_vllm.conftest import ADAPTER, NAME
from tests.serving_vllm.versions import release

CANARY = "xyzzy-plugh-4711"
# Addresses as proc(5) has them, in the CPU's byte order: of the loopback, and none, which is every one to who listens.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
NONE = {"00000000", "0" * 32}
CONFINED = "roles/service_sandbox/files/tree/usr/lib/systemd/system/vitrine-.service.d/10-sandbox.conf"


@pytest.fixture(scope="module")
def members(engine):
    """Every process of the engine: vLLM's server and core are among them. With one device the core is the worker."""
    found = processes.family(engine.process.pid)
    titles = " ".join(" ".join(processes.words(pid)) for pid in found)
    assert "vllm.entrypoints.openai.api_server" in titles
    assert "VLLM::EngineCore" in titles
    return found


@pytest.mark.parametrize("rule", [rule for rule in FLAGS if rule.since <= release()], ids=lambda rule: rule.words[0])
def test_a_flag_that_protects_is_on_the_command_line(engine, rule):
    line = processes.words(processes.server_of(engine.process.pid))
    assert any(tuple(line[i : i + len(rule.words)]) == rule.words for i in range(len(line))), rule.why


@pytest.mark.parametrize("rule", NEVER_FLAGS, ids=lambda rule: rule.words[0])
def test_a_flag_that_leaks_is_not(engine, rule):
    line = processes.words(processes.server_of(engine.process.pid))
    assert not [word for word in line if word.split("=")[0] == rule.words[0]], rule.why


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_variable_that_protects_is_set(engine, name):
    found = processes.variables(processes.server_of(engine.process.pid))
    assert found[name] == ENVIRONMENT[name].words[0], ENVIRONMENT[name].why


@pytest.mark.parametrize("rule", NEVER_VARIABLES, ids=lambda rule: rule.words[0])
def test_a_variable_that_leaks_is_not(engine, rule):
    """Core and workers inherit the server's; theirs cannot be read, because they write their titles over them."""
    found = processes.variables(processes.server_of(engine.process.pid))
    assert found
    assert rule.words[0] not in found, rule.why


def test_no_process_has_an_output(members):
    for pid in members[1:]:
        assert processes.outputs(pid) == {"/dev/null"}


def test_sockets_of_the_internet_are_on_the_loopback_but_for_torchs_store(members):
    """By that store torch's processes find each other. It listens on every address, whatever vLLM is told; the unit's
    network has the loopback alone."""
    found = [each for pid in members for each in processes.internet(pid)]
    assert [each for each in found if not {*each[1:3]} <= LOOPBACK | NONE] == []
    everywhere = [table for table, address, _, state in found if state == processes.LISTEN and address in NONE]
    assert everywhere == ["tcp6"]
    assert "\nPrivateNetwork=yes\n" in (processes.ROOT / CONFINED).read_text()


def test_nobody_listens_for_http_but_on_the_one_socket(members, engine):
    """Every port that listens is asked; none of them speaks HTTP."""
    ports = set()
    for pid in members:
        links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        tables = [Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
        for fields in map(str.split, chain(*tables)):
            if fields[3] == processes.LISTEN and f"socket:[{fields[9]}]" in links:
                ports.add(int(fields[1].split(":")[1], 16))
    assert ports
    assert [port for port in ports if speaks_http(port)] == []


def speaks_http(port):
    with socket.create_connection(("127.0.0.1", port), timeout=2) as caller:
        caller.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        try:
            return caller.recv(5) == b"HTTP/"
        except OSError:
            return False


OFF = (
    *(("GET", route) for route in ("/docs", "/redoc", "/openapi.json", "/server_info", "/is_sleeping")),
    *(("POST", route) for route in ("/sleep", "/wake_up", "/collective_rpc", "/reset_prefix_cache", "/pause")),
    *(
        ("POST", route)
        for route in ("/start_profile", "/stop_profile", "/update_weights", "/init_weights_update_group")
    ),
    *(("POST", route) for route in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")),
)


@pytest.mark.parametrize(("method", "route"), OFF)
def test_a_route_that_tells_or_changes_is_off(engine, method, route):
    status, _ = ask(engine.socket, method, route, {})
    assert status == 404


def test_an_answer_says_nothing_of_version_configuration_or_cache(engine):
    _, data = post(engine.socket, "/v1/completions", {"prompt": "Hi", "max_tokens": 1})
    answer = json.loads(data)
    assert answer["system_fingerprint"] is None
    assert answer["usage"]["prompt_tokens_details"] is None


@pytest.mark.parametrize(
    "content",
    [
        {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x.png"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "audio_url", "audio_url": {"url": "http://127.0.0.1:9/x.wav"}},
    ],
)
def test_nothing_is_fetched(engine, content):
    body = {"model": NAME, "messages": [{"role": "user", "content": [content]}], "max_tokens": 1}
    status, data = post(engine.socket, "/v1/chat/completions", body)
    assert status == 400
    assert b"root:" not in data


def test_a_program_of_a_caller_is_not_taken(engine):
    body = {"model": NAME, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    assert post(engine.socket, "/v1/chat/completions", body)[0] == 200
    assert post(engine.socket, "/v1/chat/completions", body | {"chat_template": "{{ 7 * 7 }}"})[0] == 400


def test_what_is_written_stays_in_one_folder_and_holds_no_prompt(engine, members):
    for name in (NAME, ADAPTER):
        for stop in ([CANARY], ["x"]):
            body = {"model": name, "prompt": f"{CANARY} is a word", "max_tokens": 4, "stop": stop}
            assert post(engine.socket, "/v1/completions", body)[0] == 200
    refused = {"model": NAME, "prompt": CANARY, "max_tokens": 4, "top_p": 7, "stop": [CANARY]}
    assert post(engine.socket, "/v1/completions", refused)[0] == 400
    (folder,) = engine.temporary.iterdir()
    for pid in members[1:]:
        elsewhere = {
            path for path in processes.written(pid) if not path.startswith((str(folder), "/dev/shm/", "/memfd:"))
        }
        assert elsewhere == set()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, "vLLM is known to write two: where none are found, nothing was looked at"
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
