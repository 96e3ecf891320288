"""The command as programs meet it: a verified service, and nothing of a request anywhere else."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from contextlib import closing, suppress
from types import SimpleNamespace

import openai
import pytest

from client_sdk.cli import proxy as proxy_command
from client_sdk.cli.options import UsageError
from tests.client_sdk.proxy.conftest import CHAT
from tests.fakes.simulated_server import MODEL, serving, show_other_key
from tests.fakes.simulated_vm import SimulatedVm
from tests.ports import free_port

ANSWER = "The capital of France is Paris."


def test_openai_s_client_uses_it_over_tcp(proxy, server):
    running = proxy(server.origin, port=free_port())
    url = f"http://127.0.0.1:{running.where}/v1"
    with openai.OpenAI(base_url=url, api_key=running.secret.decode(), max_retries=0) as client:
        answer = client.chat.completions.create(**CHAT)
        stream = client.chat.completions.create(**CHAT, stream=True)
        assert answer.choices[0].message.content == ANSWER
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == ANSWER
        assert [model.id for model in client.models.list()] == [MODEL]
    assert len(server.prompts) == 2


def test_over_the_socket_file_and_it_is_gone_afterwards(proxy, server):
    running = proxy(server.origin)
    assert json.loads(running.chat().body)["choices"][0]["message"]["content"] == ANSWER
    code, out, err = running.end()
    assert (code, out, running.where.exists()) == (0, "", False)
    assert "secret question" not in err


def test_the_service_s_token_goes_up_and_the_caller_s_secret_does_not(proxy, server, tmp_path):
    (tmp_path / "token").write_text("upstream-token\n")
    running = proxy(server.origin, "--token-file", tmp_path / "token", port=free_port())
    answer = running.chat()
    assert answer.status == 200
    (headers,) = [head for head, (_, path, _) in zip(server.headers, server.requests, strict=True) if "chat" in path]
    assert headers["authorization"] == "Bearer upstream-token"
    assert running.secret not in b"".join(server.received)
    assert "upstream-token" not in str(answer.headers) + answer.body.decode() + "".join(running.end()[1:])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer upstream-token"}, 401),
        ({"authorization": None}, 401),
        ({"origin": "https://evil.example"}, 403),
        ({"host": "evil.example"}, 403),
    ],
    ids=lambda value: str(value)[:40],
)
def test_who_is_not_let_in_reaches_no_service_and_is_allowed_nothing(proxy, server, headers, status):
    running = proxy(server.origin, port=free_port(), VITRINE_TOKEN="upstream-token")
    before = len(server.requests)
    answer = running.ask("POST", "/v1/chat/completions", CHAT, **headers)
    assert answer.status == status
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert len(server.requests) == before


def test_a_preflight_of_a_web_page_is_answered_with_nothing_it_could_use(proxy, server):
    running = proxy(server.origin, port=free_port())
    asked = {"origin": "https://evil.example", "access_control_request_method": "POST"}
    answer = running.ask("OPTIONS", "/v1/chat/completions", **asked)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_impostor_at_the_start_is_refused_and_nothing_is_served(ends, server, impostor, tmp_path):
    show_other_key(server, impostor.tls_key, impostor.tls_certificate)
    code, said = ends(server.origin, "--socket", tmp_path / "run/p.sock")
    assert code == 1
    assert "REFUSED" in said.upper()
    assert "serving" not in said
    assert server.prompts == []


def test_an_impostor_later_gets_no_prompt_and_the_caller_is_told_the_rule(proxy, server, impostor):
    running = proxy(server.origin, "--max-age", 0.01)
    show_other_key(server, impostor.tls_key, impostor.tls_certificate)
    answer = running.chat()
    assert (answer.status, answer.code) == (502, "attestation_failed")
    assert "nothing was sent" in json.loads(answer.body)["error"]["message"]
    assert server.prompts == []


def test_a_verdict_that_ran_out_is_made_anew_by_itself(proxy, server):
    running = proxy(server.origin, "--max-age", 5)
    rounds = server.rounds()
    time.sleep(5.1)
    assert running.chat().status == 200
    assert server.rounds() > rounds


def test_a_service_that_is_gone_is_said_and_may_come_back(proxy, pins):
    port = free_port()
    vm = SimulatedVm()
    with serving(vm, port=port) as server:
        running = proxy(server.origin)
    answer = running.chat()
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "service_unreachable", "2")
    with serving(vm, port=port):
        assert running.chat().status == 200


def test_an_answer_that_breaks_off_breaks_off(proxy, server):
    running = proxy(server.origin)
    server.answer_with["/v1/chat/completions"] = (200, {"Content-Length": "1000"}, b"data: half")
    server.close_after = "/v1/chat/completions"
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        running.chat()


OTHER = {"id": "another", "object": "model", "created": 0, "owned_by": "vitrine"}


class TestManyServices:
    """Several services of one publisher behind one address."""

    @pytest.fixture
    def second(self):
        with serving(SimulatedVm("second")) as running:
            told = json.dumps({"object": "list", "data": [OTHER]}).encode()
            running.answer_with["/v1/models"] = (200, {"Content-Type": "application/json"}, told)
            yield running

    def test_a_model_leads_to_the_service_that_has_it(self, proxy, server, second):
        running = proxy(server.origin, second.origin)
        listed = json.loads(running.ask("GET", "/v1/models").body)["data"]
        assert [one["id"] for one in listed] == [MODEL, "another"]
        assert running.chat(model="another").status == 200
        assert running.chat().status == 200
        assert (len(server.prompts), len(second.prompts)) == (1, 1)

    def test_a_model_that_nobody_has_reaches_nobody(self, proxy, server, second):
        running = proxy(server.origin, second.origin)
        assert (running.chat(model="none").status, server.prompts, second.prompts) == (404, [], [])

    def test_each_gets_its_own_token(self, proxy, server, second, tmp_path):
        for name in ("one", "two"):
            (tmp_path / name).write_text(name)
        running = proxy(server.origin, second.origin, "--token-file", tmp_path / "one", tmp_path / "two")
        running.chat(model="another")
        running.chat()
        seen = [{head.get("authorization") for head in one.headers} - {None} for one in (server, second)]
        assert seen == [{"Bearer one"}, {"Bearer two"}]

    def test_one_impostor_among_them_and_nothing_starts(self, ends, server, second, impostor):
        show_other_key(second, impostor.tls_key, impostor.tls_certificate)
        code, said = ends(server.origin, second.origin)
        assert (code, "serving" in said) == (1, False)

    def test_where_two_have_a_model_one_that_is_refused_later_is_passed_over(self, proxy, server, second, impostor):
        del second.answer_with["/v1/models"]
        running = proxy(server.origin, second.origin, "--max-age", 5)
        assert running.ask("GET", "/v1/models").status == 200
        time.sleep(5.1)
        show_other_key(server, impostor.tls_key, impostor.tls_certificate)
        assert running.chat().status == 200
        assert (len(server.prompts), len(second.prompts)) == (0, 1)

    def test_a_request_that_may_have_been_read_is_sent_to_nobody_else(self, proxy, server, second):
        del second.answer_with["/v1/models"]
        running = proxy(server.origin, second.origin)
        running.ask("GET", "/v1/models")
        server.answer_with["/v1/chat/completions"] = (200, {"Content-Length": "bad"}, b"")
        answer = running.chat()
        assert (answer.status, answer.code) == (502, "service_error")
        assert (len(server.prompts), len(second.prompts)) == (1, 0)


USAGE = {
    "two tokens for one service": ("--token-file", "{t}", "{t}"),
    "no token in the file": ("--token-file", "{e}"),
    "no such file": ("--token-file", "{x}"),
    "a secret without a port": ("--secret-file", "{x}"),
    "socket and port": ("--socket", "{x}", "--port", "1"),
    "no port": ("--port", "70000"),
    "a port in words": ("--port", "http"),
    "a verification that holds for no time": ("--max-age", "0"),
    "a verification that holds for ever": ("--max-age", "inf"),
}


@pytest.mark.parametrize("fault", USAGE)
def test_what_cannot_be_is_said_before_anything_is_served(ends, server, tmp_path, fault):
    (tmp_path / "t").write_text("token")
    (tmp_path / "e").write_text("")
    words = [word.format(t=tmp_path / "t", e=tmp_path / "e", x=tmp_path / "x") for word in USAGE[fault]]
    code, said = ends(server.origin, *words)
    assert (code, "serving" in said) == (2, False)
    assert "Traceback" not in said


def test_without_its_library_it_says_what_to_install(monkeypatch):
    ours = ("client_sdk.proxy.serving", "client_sdk.cli.proxying")
    for name in [name for name in sys.modules if name.startswith(ours)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UsageError, match=r"pip install '\.\[proxy\]'"):
        proxy_command.run(SimpleNamespace())


def test_a_taken_port_is_usage(ends, server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = ends(server.origin, "--port", taken.getsockname()[1])
    assert code == 2
    assert "is taken; choose another with --port" in said


class UntilGone(dict):
    """Answers of a service that works until nobody waits for the answer."""

    def __init__(self, server):
        super().__init__()
        self.server, self.gone = server, threading.Event()

    def __contains__(self, path):
        return "chat" in path

    def __getitem__(self, path):
        with suppress(OSError):
            assert self.server.latest.recv(1) == b""
        self.gone.set()
        return 200, {}, b"{}"


def test_a_caller_that_leaves_ends_the_service_s_work(proxy, server):
    running = proxy(server.origin)
    server.answer_with = working = UntilGone(server)
    with closing(running.connection()) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
        while not server.prompts:
            time.sleep(0.05)
        assert not working.gone.wait(0.5)
    assert working.gone.wait(15)
    server.answer_with = {}
    assert running.chat().status == 200


def test_a_body_without_an_end_is_refused(proxy, server):
    running = proxy(server.origin)
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with closing(running.connection()) as connection:
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()
        with suppress(ConnectionError):  # it has answered, and reads no more
            for _ in range(40):
                connection.send(piece)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "body_too_large")
    assert server.prompts == []
