"""The attester's socket: many callers, bad callers, slow callers, and one quote for all who wait."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from serving.attest.__main__ import listen
from serving.attest.server import Limits, Server
from serving.attest.service import Attester, Rate
from serving.attest.wire import MAX_LINE
from serving.errors import TpmError
from tests.serving.fixtures import Caller, ask, nonce


class Counting:
    """The real attester, seen from aside: how many nonces each quote held."""

    def __init__(self, attester):
        self.attester, self.batches, self.fail = attester, [], False
        self.gate = threading.Event()
        self.gate.set()

    def evidence(self, nonces):
        self.gate.wait(20)
        if self.fail:
            raise TpmError("quote: made to fail")
        self.batches.append(len(nonces))
        return self.attester.evidence(nonces)

    def activate(self, blob, secret):
        return self.attester.activate(blob, secret)


@pytest.fixture
def counting(tpm, sealed):
    return Counting(Attester(tpm, sealed, rate=Rate(), clock=time.monotonic))


@pytest.fixture
def limits():
    return Limits(connections=40, waiting_per_connection=64, unsent_per_connection=200_000, idle_seconds=60)


@pytest.fixture
def path(tmp_path, counting, limits):
    place = tmp_path / "attester.sock"
    server = Server(listen(place), counting, limits=limits, clock=time.monotonic)
    running = True

    def loop():
        while running:
            server.round(timeout=0.02)

    thread = threading.Thread(target=loop)
    thread.start()
    yield place
    running = False
    counting.gate.set()
    thread.join(20)
    server.close()


def test_one_caller_gets_evidence_for_its_nonce(path):
    found = Caller(path).send(ask(nonce(1))).evidence()
    assert (found.quote.place.index, found.quote.place.tree_size, found.quote.place.path) == (0, 1, ())
    assert found.platform == "local-qemu"


def test_two_callers_that_wait_together_share_one_quote(path, counting):
    counting.gate.clear()
    first = Caller(path).send(ask(nonce(0)))
    time.sleep(0.2)  # the first nonce is in the TPM by now
    second, third = Caller(path).send(ask(nonce(1))), Caller(path).send(ask(nonce(2)))
    time.sleep(0.2)
    counting.gate.set()
    assert first.evidence().quote.place.tree_size == 1
    found = [second.evidence(), third.evidence()]
    assert {answer.quote.place.tree_size for answer in found} == {2}
    assert found[0].quote.attest == found[1].quote.attest
    assert counting.batches == [1, 2]


def test_a_thousand_nonces_of_twenty_callers_need_few_quotes(path, counting):
    callers = [Caller(path).send(b"".join(ask(nonce(50 * i + j)) for j in range(50))) for i in range(20)]
    answers = [caller.evidence() for caller in callers for _ in range(50)]
    assert len(answers) == 1000
    assert sum(counting.batches) == 1000
    assert len(counting.batches) <= 60


def test_answers_keep_the_order_of_the_requests(path):
    caller = Caller(path).send(ask(nonce(1)) + b"nonsense\n" + ask(nonce(2)))
    kinds = [next(iter(caller.answer())) for _ in range(3)]
    assert kinds == ["evidence", "error", "evidence"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"op":"quote"}',
        b'{"op":"evidence"}',
        b'{"op":"evidence","nonce":""}',
        b'{"op":"evidence","nonce":5}',
        b'{"op":"evidence","nonce":"' + b"AB" * 32 + b'"}',
        b'{"op":"evidence","nonce":"' + b"ab" * 31 + b'"}',
        b'{"op":"evidence","nonce":"' + b"ab" * 33 + b'"}',
        b'{"op":"evidence","nonce":"' + b"ab" * 32 + b'","spki":"' + b"ab" * 32 + b'"}',
        b'{"op":"evidence","nonce":"' + b"ab" * 32 + b'","gpu":""}',
        b'{"op":"evidence","op":"activate","nonce":"' + b"ab" * 32 + b'"}',
        b'{"op":"extend","credential_blob":"","encrypted_secret":""}',
        b'{"op":"activate","credential_blob":"!","encrypted_secret":""}',
        b'{"op":"activate","credential_blob":"' + b"A" * 400 + b'","encrypted_secret":""}',
        b"[" * 200,
        b"\xff\xfe",
    ],
    ids=range(19),
)
def test_a_malformed_line_is_answered_and_the_connection_lives(path, line):
    caller = Caller(path).send(line + b"\n")
    assert caller.error() == "bad_request"
    assert caller.send(ask(nonce(1))).evidence().quote.place.tree_size == 1


def test_an_error_never_repeats_what_was_sent(path):
    answer = Caller(path).send(b'{"op":"evidence","nonce":"SECRETSECRET","my-SECRET-key":1}\n').answer()
    assert "SECRET" not in json.dumps(answer)


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_an_oversize_line_ends_the_connection_and_no_other(path, ending):
    other = Caller(path)
    caller = Caller(path).send(b"x" * (MAX_LINE + 1) + ending)
    assert caller.error() == "too_large"
    assert caller.answer() is None
    assert other.send(ask(nonce(1))).evidence()


def test_a_wrong_credential_is_refused_and_quotes_go_on(path):
    caller = Caller(path).send(b'{"op":"activate","credential_blob":"AAAA","encrypted_secret":"AAAA"}\n')
    assert caller.error() == "activation_refused"
    assert caller.send(ask(nonce(1))).evidence()


def test_a_flood_of_activations_is_held_off(path):
    caller = Caller(path).send(b'{"op":"activate","credential_blob":"AAAA","encrypted_secret":"AAAA"}\n' * 40)
    codes = [caller.error() for _ in range(40)]
    assert codes[:5] == ["activation_refused"] * 5
    assert "busy" in codes


def test_a_tpm_that_fails_is_told_to_everybody_who_waited_and_does_not_end_the_server(path, counting):
    counting.fail = True
    caller = Caller(path).send(ask(nonce(1)) * 2)
    assert [caller.error(), caller.error()] == ["unavailable", "unavailable"]
    counting.fail = False
    assert caller.send(ask(nonce(1))).evidence()


def test_a_caller_that_hangs_up_early_harms_nobody(path):
    for _ in range(5):
        gone = Caller(path).send(ask(nonce(1)))
        gone.close()
    assert Caller(path).send(ask(nonce(2))).evidence()


def test_a_caller_that_says_no_more_still_gets_its_answer(path):
    caller = Caller(path).send(ask(nonce(1)))
    caller.channel.shutdown(socket.SHUT_WR)
    assert caller.evidence()
    assert caller.answer() is None


def test_a_caller_that_reads_nothing_does_not_fill_the_memory(path, counting):
    greedy = Caller(path)
    greedy.channel.settimeout(0.5)
    with pytest.raises(TimeoutError):
        greedy.send(ask(nonce(1)) * 10_000)
    assert sum(counting.batches) < 1000
    assert Caller(path).send(ask(nonce(2))).evidence()


def test_callers_over_the_limit_wait_and_are_served_when_others_leave(path, limits):
    callers = [Caller(path) for _ in range(limits.connections)]
    assert callers[-1].send(ask(nonce(1))).evidence()
    late = Caller(path).send(ask(nonce(2)))
    late.channel.settimeout(0.3)
    with pytest.raises(TimeoutError):
        late.channel.recv(1)
    late.channel.settimeout(20)
    callers[0].close()
    assert late.channel.recv(1) == b"{"


class TestIdle:
    @pytest.fixture
    def limits(self):
        return Limits(idle_seconds=0.2)

    def test_an_idle_caller_is_dropped(self, path):
        caller = Caller(path).send(b'{"op":')
        assert caller.answer() is None
