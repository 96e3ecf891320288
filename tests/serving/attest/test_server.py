"""The attester's socket: many callers, bad callers, slow callers, and a TPM that has enough of it."""

from __future__ import annotations

import base64
import json
import socket

import pytest
from tpm2_pytss.types import TPMS_ATTEST

from client_sdk.binding import Place, extra_data, merkle_tree
from client_sdk.evidence import Evidence, Quote
from serving.attest.server import Limits
from serving.attest.service import Attester, Rate
from serving.attest.wire import MAX_LINE
from serving.errors import TpmBusyError
from tests.serving.attest.served import served
from tests.serving.fixtures import Caller, ask, nonce

NONCES = base64.b64encode(bytes(32))


class Counting:
    """The real attester, seen from aside: how many nonces each quote held."""

    def __init__(self, attester):
        self.attester, self.batches, self.fail = attester, [], False
        self.evidence = attester.evidence

    def quote(self, nonces):
        if self.fail:
            raise TpmBusyError("quote: made to fail")
        self.batches.append(len(nonces))
        return self.attester.quote(nonces)

    def activate(self, blob, secret):
        return self.attester.activate(blob, secret)


@pytest.fixture
def counting(tpm, sealed):
    """Its clock stands still, so that nothing is allowed anew while a slow machine works."""
    return Counting(Attester(tpm, sealed, rate=Rate(), clock=lambda: 0.0))


@pytest.fixture
def limits():
    return Limits(connections=40, unsent_per_connection=200_000, idle_seconds=60)


@pytest.fixture
def path(tmp_path, counting, limits):
    with served(tmp_path / "attester.sock", counting, limits):
        yield tmp_path / "attester.sock"


def signed(attest):
    return bytes(TPMS_ATTEST.unmarshal(attest)[0].extraData)


def test_a_caller_gets_what_all_evidence_shares_and_a_quote_over_its_nonces(path, sealed):
    caller = Caller(path).send(b'{"op":"evidence"}\n')
    shared = Evidence.from_json(json.dumps(caller.answer()["evidence"]).encode())
    assert (shared.platform, shared.quote) == ("local-qemu", Quote(b"", b"", Place(0, 1, ())))
    attest, _ = caller.send(ask(nonce(1), nonce(2))).quote()
    root, _ = merkle_tree((nonce(1), nonce(2)))
    assert signed(attest) == extra_data(root, 2, sealed.spki, b"")


@pytest.mark.parametrize("count", [1, 4096])
def test_a_line_is_one_quote(path, counting, count):
    assert Caller(path).send(ask(*map(nonce, range(count)))).quote()
    assert counting.batches == [count]


def test_answers_keep_the_order_of_the_requests(path):
    caller = Caller(path).send(ask(nonce(1)) + b"nonsense\n" + b'{"op":"evidence"}\n')
    assert [next(iter(caller.answer())) for _ in range(3)] == ["attest", "error", "evidence"]


def test_a_caller_with_many_questions_is_answered_one_in_turn_with_others(path, counting):
    greedy = Caller(path).send(ask(nonce(1)) * 60)
    assert greedy.quote()
    other = Caller(path).send(ask(nonce(2)))
    assert other.quote()
    assert len(counting.batches) < 50
    assert len([greedy.quote() for _ in range(59)]) == 59


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"op":5}',
        b'{"op":["quote"]}',
        b'{"op":"quote"}',
        b'{"op":"quote","nonces":""}',
        b'{"op":"quote","nonces":5}',
        b'{"op":"quote","nonces":["' + NONCES + b'"]}',
        b'{"op":"quote","nonces":"' + b"ab" * 32 + b'!"}',
        b'{"op":"quote","nonces":"' + base64.b64encode(bytes(31)) + b'"}',
        b'{"op":"quote","nonces":"' + base64.b64encode(bytes(33)) + b'"}',
        b'{"op":"quote","nonces":"' + base64.b64encode(bytes(4097 * 32)) + b'"}',
        b'{"op":"quote","nonces":"' + NONCES + b'","spki":"' + b"ab" * 32 + b'"}',
        b'{"op":"quote","nonces":"' + NONCES + b'","gpu":""}',
        b'{"op":"quote","op":"activate","nonces":"' + NONCES + b'"}',
        b'{"op":"quote","root":"' + NONCES + b'"}',
        b'{"op":"evidence","nonce":"' + b"ab" * 32 + b'"}',
        b'{"op":"extend","credential_blob":"","encrypted_secret":""}',
        b'{"op":"activate","credential_blob":"!","encrypted_secret":""}',
        b'{"op":"activate","credential_blob":"' + b"A" * 400 + b'","encrypted_secret":""}',
        b"[" * 200,
        b"\xff\xfe",
    ],
    ids=range(24),
)
def test_a_malformed_line_is_answered_and_the_connection_lives(path, line):
    caller = Caller(path).send(line + b"\n")
    assert caller.error() == "bad_request"
    assert caller.send(ask(nonce(1))).quote()


def test_an_error_never_repeats_what_was_sent(path):
    answer = Caller(path).send(b'{"op":"quote","nonces":"SECRETSECRET","my-SECRET-key":1}\n').answer()
    assert "SECRET" not in json.dumps(answer)


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_an_oversize_line_ends_the_connection_and_no_other(path, ending):
    other = Caller(path)
    caller = Caller(path).send(b"x" * (MAX_LINE + 1) + ending)
    assert caller.error() == "too_large"
    assert caller.answer() is None
    assert other.send(ask(nonce(1))).quote()


def test_a_wrong_credential_is_refused_and_quotes_go_on(path):
    caller = Caller(path).send(b'{"op":"activate","credential_blob":"AAAA","encrypted_secret":"AAAA"}\n')
    assert caller.error() == "activation_refused"
    assert caller.send(ask(nonce(1))).quote()


def test_a_flood_of_activations_is_held_off(path):
    caller = Caller(path).send(b'{"op":"activate","credential_blob":"AAAA","encrypted_secret":"AAAA"}\n' * 40)
    codes = [caller.error() for _ in range(40)]
    assert codes == ["activation_refused"] * Rate().burst + ["busy"] * (40 - Rate().burst)


def test_a_tpm_that_is_busy_is_told_and_does_not_end_the_server(path, counting):
    counting.fail = True
    caller = Caller(path).send(ask(nonce(1)) * 2)
    assert [caller.error(), caller.error()] == ["unavailable", "unavailable"]
    counting.fail = False
    assert caller.send(ask(nonce(1))).quote()


def test_a_caller_that_hangs_up_early_harms_nobody(path):
    for _ in range(5):
        gone = Caller(path).send(ask(nonce(1)))
        gone.close()
    assert Caller(path).send(ask(nonce(2))).quote()


def test_a_caller_that_says_no_more_still_gets_its_answer(path):
    caller = Caller(path).send(ask(nonce(1)))
    caller.channel.shutdown(socket.SHUT_WR)
    assert caller.quote()
    assert caller.answer() is None


def test_a_caller_that_reads_nothing_does_not_fill_the_memory(path, counting):
    greedy = Caller(path)
    greedy.channel.settimeout(0.5)
    with pytest.raises(TimeoutError):
        greedy.send((b'{"op":"evidence"}\n' * 20 + ask(nonce(1))) * 2000)
    assert sum(counting.batches) < 1000
    assert Caller(path).send(ask(nonce(2))).quote()


def test_callers_over_the_limit_wait_and_are_served_when_others_leave(path, limits):
    callers = [Caller(path) for _ in range(limits.connections)]
    assert callers[-1].send(ask(nonce(1))).quote()
    late = Caller(path).send(ask(nonce(2)))
    late.channel.settimeout(0.3)
    with pytest.raises(TimeoutError):
        late.channel.recv(1)
    late.channel.settimeout(20)
    callers[0].close()
    assert late.channel.recv(1) == b"{"


def test_there_are_descriptors_for_every_caller_that_is_let_in():
    assert Limits().connections + 100 < 1024  # what systemd gives a unit that names no LimitNOFILE


class TestIdle:
    @pytest.fixture
    def limits(self):
        return Limits(idle_seconds=0.2)

    def test_an_idle_caller_is_dropped(self, path):
        caller = Caller(path).send(b'{"op":')
        assert caller.answer() is None
