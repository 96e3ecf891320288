"""The programs of examples/ before a service that is simulated: what they send, and what they make of answers."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import subprocess
import sys
from unittest import mock

import pytest

from tests.client_sdk.conftest import impostor, pins, server  # noqa: F401 - fixtures
from tests.documentation.pages import ROOT
from tests.fakes.simulated_server import show_other_key

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
LETTER = {"age": 64, "department": "cardiology", "medicines": [{"name": "ramipril", "daily": 2}]}
SECRETS = (b"capital of Japan", b"Bisoprolol", b"with_vat")
QUESTIONS, LETTERS, CODE = "examples/data/questions.jsonl", "examples/data/letters", "examples/data/code"
ALL = pytest.mark.parametrize(
    "words",
    [("benchmark_models", QUESTIONS), ("structure_documents", LETTERS), ("complete_code", CODE, "basket.py")],
    ids=lambda words: words[0],
)


def example(name, origin, pins, *words, trust=None):  # noqa: F811
    """Run one as its own process would, but for the second that OpenAI's package takes to load."""
    argv = [f"{name}.py", origin, *words, *(pins.words if trust is None else trust)]
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = importlib.import_module(f"examples.{name}").main()
    return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())


def says(server, text, *, path=CHAT, finish="stop"):  # noqa: F811
    what = {"text": text} if path == COMPLETION else {"message": {"role": "assistant", "content": text}}
    choice = {"index": 0, "finish_reason": finish, **what}
    usage = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    body = {"id": "1", "object": "x", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    server.answer_with[path] = (200, {}, json.dumps(body).encode())


def test_a_benchmark_counts_what_is_right(server, pins):  # noqa: F811
    says(server, "It is TOKYO, I think.")
    done = example("benchmark_models", server.origin, pins, QUESTIONS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:4] == ["smollm2-135m-instruct", "1", "/", "2"]
    assert done.stdout.split()[-1] == "6"
    assert len(server.prompts) == 2


def test_a_benchmark_sends_no_right_answer(server, pins, tmp_path):  # noqa: F811
    (tmp_path / "q").write_text('{"question": "Which one?", "answers": ["the-right-one"]}\n')
    assert example("benchmark_models", server.origin, pins, str(tmp_path / "q")).returncode == 0
    assert b"the-right-one" not in b"".join(server.received)


def test_a_letter_becomes_data_of_the_form(server, pins):  # noqa: F811
    says(server, json.dumps(LETTER))
    done = example("structure_documents", server.origin, pins, LETTERS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"letter": "one.txt", **LETTER}
    (sent,) = map(json.loads, server.prompts)
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert sent["response_format"]["json_schema"]["schema"]["additionalProperties"] is False
    assert "Bisoprolol" in sent["messages"][1]["content"]


@pytest.mark.parametrize(
    ("text", "finish", "told"),
    [
        ("{", "stop", "no JSON"),
        (json.dumps(LETTER), "length", "not complete"),
        (json.dumps({**LETTER, "name": "somebody"}), "stop", "other fields"),
        (json.dumps({"age": 64}), "stop", "other fields"),
        (json.dumps([LETTER]), "stop", "other fields"),
        (json.dumps({**LETTER, "age": 640}), "stop", "not of the form's kind"),
        (json.dumps({**LETTER, "age": True}), "stop", "not of the form's kind"),
        (json.dumps({**LETTER, "department": "morgue"}), "stop", "not of the form's kind"),
        (json.dumps({**LETTER, "medicines": [{"name": "x"}]}), "stop", "not of the form's kind"),
        (json.dumps({**LETTER, "medicines": [{"name": "x", "daily": 7}]}), "stop", "not of the form's kind"),
    ],
)
def test_an_answer_of_another_form_is_no_data(server, pins, text, finish, told):  # noqa: F811
    says(server, text, finish=finish)
    done = example("structure_documents", server.origin, pins, LETTERS)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr


def test_code_comes_back_as_a_patch_and_nothing_is_written(server, pins):  # noqa: F811
    says(server, "return sum(with_vat(*item) for item in items)\n", path=COMPLETION)
    before = (ROOT / CODE / "basket.py").read_bytes()
    done = example("complete_code", server.origin, pins, CODE, "basket.py")
    assert done.returncode == 0, done.stderr
    changed = [line for line in done.stdout.splitlines() if line.startswith(("+", "-"))]
    assert changed[2:] == ["-    # COMPLETE", "+    return sum(with_vat(*item) for item in items)"]
    assert (ROOT / CODE / "basket.py").read_bytes() == before
    assert "VAT = " in json.loads(server.prompts[0])["prompt"]


def test_code_that_is_not_of_the_code_base_is_not_sent(server, pins, tmp_path):  # noqa: F811
    base = tmp_path / "base"
    (base / ".hidden").mkdir(parents=True)
    (base / "main.py").write_text("x = 1\n# COMPLETE\nbehind = 'the mark'\n")
    (base / "other.py").write_text("near = 1\n")
    (base / "long.py").write_text(f"far = '{'y' * 5000}'\n")
    (base / ".hidden/key.py").write_text("KEY = 'hidden'\n")
    (tmp_path / "outside.py").write_text("OUTSIDE = 1\n")
    (base / "link.py").symlink_to(tmp_path / "outside.py")
    says(server, "y = 2\n", path=COMPLETION)
    assert example("complete_code", server.origin, pins, str(base), "main.py").returncode == 0
    prompt = json.loads(server.prompts[0])["prompt"]
    assert "near" in prompt
    assert not any(word in prompt for word in ("far", "hidden", "OUTSIDE", "behind"))
    assert len(prompt) < 5000


@ALL
def test_an_impostor_gets_no_byte_of_the_data(server, impostor, pins, words):  # noqa: F811
    """It has the real machine's evidence, and a TLS key of its own."""
    show_other_key(server, impostor.tls_key, impostor.tls_certificate)
    name, *rest = words
    done = example(name, server.origin, pins, *rest)
    assert (done.returncode, done.stdout) == (1, "")
    assert "C3.1" in done.stderr
    assert server.rounds() > 0
    assert not any(secret in b"".join(server.received) for secret in SECRETS)


@ALL
def test_a_development_vm_is_refused_unless_it_is_asked_for(server, pins, words):  # noqa: F811
    name, *rest = words
    done = example(name, server.origin, pins, *rest, trust=pins.words[:-2])
    assert (done.returncode, done.stdout) == (1, "")
    assert "D1" in done.stderr
    assert server.prompts == []


@ALL
def test_a_service_that_fails_is_an_error_without_a_traceback(server, pins, words):  # noqa: F811
    for path in (CHAT, COMPLETION):
        server.answer_with[path] = (500, {}, b"{}")
    name, *rest = words
    done = example(name, server.origin, pins, *rest)
    assert done.returncode == 1
    assert "InternalServerError" in done.stderr
    assert "Traceback" not in done.stderr


def test_they_run_from_the_folder_of_the_source(server, pins):  # noqa: F811
    says(server, json.dumps(LETTER))
    argv = [sys.executable, "-m", "examples.structure_documents", server.origin, LETTERS, *pins.words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, json.loads(done.stdout)["letter"]) == (0, "one.txt")
