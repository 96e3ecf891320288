"""What llama.cpp keeps of a text after its answer, looked for in its memory: the policy of docs/hardening/memory.md."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import contextmanager
from pathlib import Path

from serving.engines.probe import Connection
from tests.canary import new_canary
from tests.process_memory import kept, kept_after
from tests.serving.engines import llamacpp, processes
from tests.serving.engines.asking import ask, post
from tests.serving.gateway.running import MODEL
from tests.serving.units import memory_settings, text

MODEL_FILE = "model.gguf"
PROGRAM = Path(__file__).resolve().parents[3] / "serving/engines/llamacpp.py"
ENGINE = "vitrine-engine-llamacpp@.service"
CLEARING = memory_settings("engine", ENGINE)
IDLE = 4
# Of the gateway's requests: one thread for each, and llama.cpp's eight more.
REQUESTS, THREADS = 2, 10
# The engine as it is, but for the seconds.
HASTY = f"""
import runpy
import serving.engines.llamacpp
serving.engines.llamacpp.IDLE_SECONDS = {IDLE}
runpy.run_module("serving.engines", run_name="__main__")
"""


@contextmanager
def engine(folder, environment):
    """Give process and socket of an engine that has not been asked anything."""
    site = folder / "site"
    site.mkdir()
    (site / "hasty.py").write_text(HASTY)
    packages = [site, os.environ["VITRINE_ENGINE"], "/usr/lib/python3/dist-packages"]
    weights = Path(os.environ["VITRINE_MODEL"])
    with processes.notified(folder) as (channel, told):
        how = {"packages": packages, "environment": told | environment, "module": "hasty", "requests": REQUESTS}
        process = processes.start(folder, llamacpp.ENTRY, weights, **how)
        processes.wait_ready(channel, process, llamacpp.SECONDS)
    try:
        yield process.pid, processes.socket_of(folder, MODEL)
    finally:
        process.kill()
        process.communicate(timeout=20)


def told(socket):
    """Send a canary through the engine, in a prompt that is much longer than it; return it."""
    canary = new_canary()
    numbers = json.loads(post(socket, "/tokenize", {"content": canary.text})[1])["tokens"]
    # Another one: the answer to that question was a text of its own, with the numbers in it.
    # Behind a new line, for behind a space a text's first word may have more tokens, or fewer, than alone.
    prompt = "one two three\n" * 20 + canary.text
    status, _ = post(socket, "/v1/completions", {"prompt": prompt, "max_tokens": 2, "stream": False})
    assert status == 200
    return canary.with_tokens(numbers)


def read_by_all_threads(socket):
    """Have each thread read something else: a connection takes one until it has been answered."""
    channels = [Connection(socket) for _ in range(THREADS)]
    for channel in channels:
        channel.connect()
    time.sleep(1)  # each has its thread now
    for channel in channels:
        channel.request("POST", "/tokenize", json.dumps({"content": " " * 20_000}))
    for channel in channels:
        assert channel.getresponse().status == 200
        channel.close()


@contextmanager
def held(pid):
    """Let nothing of it run, so that it cannot fall asleep while its memory is searched."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def asleep(pid):
    """Whether it has given back its weights: the next question wakes it."""
    return MODEL_FILE not in Path(f"/proc/{pid}/maps").read_text()


def until(condition, *of):
    deadline = time.monotonic() + IDLE + 60
    while not condition(*of):
        assert time.monotonic() < deadline, "it has not fallen asleep"
        time.sleep(0.1)


def test_of_an_idle_engines_last_text_nothing_is_left_once_it_is_asked_again(tmp_path):
    with engine(tmp_path, CLEARING) as (pid, socket):
        canary = told(socket)
        # The control: the search sees what an engine holds, its slot's prompt among it.
        with held(pid):
            assert any("32 bit" in form for form in kept(pid, canary))
        until(asleep, pid)
        assert ask(socket, "GET", "/lora-adapters")[0] == 200  # as the watchdog does
        read_by_all_threads(socket)
        assert kept_after(30, pid, canary) == {}
        assert post(socket, "/v1/completions", {"prompt": "Hi", "max_tokens": 1})[0] == 200


def test_without_the_settings_of_the_unit_what_is_freed_stays(tmp_path):
    with engine(tmp_path, {}) as (pid, socket):
        canary = told(socket)
        until(asleep, pid)
        ask(socket, "GET", "/lora-adapters")
        assert kept(pid, canary), "nothing had to be cleared: the test above proves nothing"


def test_a_sleeping_engine_has_given_back_its_cache(tmp_path):
    def anonymous(pid):
        return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])

    with engine(tmp_path, CLEARING) as (pid, socket):
        told(socket)
        awake = anonymous(pid)
        until(lambda: anonymous(pid) < awake / 2)


def test_the_engine_clears_what_it_frees_and_is_asked_more_rarely_than_it_forgets():
    assert CLEARING == {
        "GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0",
        "PYTHONMALLOC": "malloc",
    }
    (watchdog,) = re.findall(r"^WatchdogSec=(\d+)$", text("engine", ENGINE), re.MULTILINE)
    (idle,) = re.findall(r"^IDLE_SECONDS = (\d+)$", PROGRAM.read_text(), re.MULTILINE)
    # Else its questions would keep an idle engine awake for ever.
    assert 0 < int(idle) < int(watchdog) / 4
