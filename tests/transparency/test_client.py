"""The real clients and commands: a tampered log, a hidden release, a rollback and a revoked release get no prompt."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk import (
    AsyncClient,
    Client,
    EvidenceError,
    PolicyError,
    Publisher,
    VerificationError,
    attest,
    attested,
    verify_stored,
)
from client_sdk.cli import main
from client_sdk.fields import format_instant
from client_sdk.fleet import Fleet
from client_sdk.transparency.client.memory import Memory
from tests.fakes.judging import stream
from tests.fakes.simulated_server import MODEL
from tests.fakes.simulated_vm import NOW, SimulatedVm, measurement, publisher_key, release, signed
from tests.transparency.logs import LOG, W1, W2, W3, FakeLog, others, pinned

QUESTION = [{"role": "user", "content": "a secret"}]
ONE = signed(release(1))
OTHER_IMAGE = replace(measurement(), image_authenticode=b"\x07" * 32)


@pytest.fixture
def log():
    return FakeLog(others(5)).add(ONE, *others(3, b"later"))


@pytest.fixture
def options(log, pins):
    """What a careful caller gives the library; the release is in the log."""
    pins.release.write_bytes(log.bundle(ONE).to_json())
    return pins.options | {"publisher": pinned()}


@pytest.fixture
def words(log, pins, tmp_path):
    """What a careful caller gives the command: keys as texts, and as files."""
    pins.release.write_bytes(log.bundle(ONE).to_json())
    (tmp_path / "w2.vkey").write_text(f"{W2.verifier}\n")
    witnesses = ("--witness", str(W1.verifier), str(tmp_path / "w2.vkey"), "--witness", str(W3.verifier))
    limits = ("--witness-quorum", "2", "--max-checkpoint-age", "7d", "--state", str(tmp_path / "state"))
    return (*pins.words, "--log", str(LOG.verifier), *witnesses, *limits)


@pytest.fixture
def run(capsys):
    def _run(*argv):
        try:
            code = main([str(word) for word in argv])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err, all=said.out + said.err)

    return _run


def ask(client):
    return client.chat.completions.create(model=MODEL, messages=QUESTION).choices[0].message.content


def test_control_a_client_with_all_of_it(server, options, tmp_path):
    with Client(server.origin, **options, memory=tmp_path / "state") as client:
        assert "Paris" in ask(client)
        facts = client.attestation.as_dict()["facts"]
    assert facts["transparency"].startswith("in the log log.example/releases of 9 entries, seen by w1.example")
    assert facts["memory"].startswith("new")
    with Client(server.origin, **options, memory=str(tmp_path / "state")) as client:
        assert client.attestation.as_dict()["facts"]["memory"].startswith("kept since")


def test_control_a_bare_release_without_a_log(server, pins):
    """Callers of before go on as they did; the report says what that is worth."""
    with Client(server.origin, **pins.options) as client:
        assert "Paris" in ask(client)
        report = client.attestation
    assert "publisher trusted alone" in dict(report.facts)["transparency"]
    assert any("R5" in rules and "publisher trusted alone" in why for rules, why in report.not_run)


def tampered(log):
    forged = FakeLog([b"forged", *log.entries[1:]])
    return forged.bundle(ONE, checkpoint=log.checkpoint()).to_json()


def hidden(log):
    return replace(log.bundle(ONE), envelope=signed(release(2))).to_json()


ATTACKS = {
    "a tampered log": (tampered, "R2.inclusion"),
    "a hidden release": (hidden, "R2.inclusion"),
    "a release alone": (lambda _log: ONE, "R2.log"),
    "a view that no witness saw": (lambda log: log.bundle(ONE, by=()).to_json(), "R2.witnesses"),
    "a stale bucket": (lambda log: log.bundle(ONE, ages=(10**6,) * 2).to_json(), "R2.age"),
    "a witness's clock": (lambda log: log.bundle(ONE, ages=(-(10**6),) * 2).to_json(), "R2.future"),
    "a log re-signed by another key": (
        lambda log: replace(log, signer=replace(LOG, seed=b"x" * 32)).bundle(ONE).to_json(),
        "R2.checkpoint",
    ),
    "a checkpoint under another signature": (
        lambda log: log.bundle(ONE, checkpoint=log.checkpoint().replace(b"\n9\n", b"\n9\nmore\n")).to_json(),
        "R2.note",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_no_client_is_made_and_no_connection_either_for(server, options, log, attack, kind):
    make, rule = ATTACKS[attack]
    with pytest.raises(VerificationError) as caught:
        kind(server.origin, **options | {"releases": make(log)})
    assert (caught.value.rule, server.connections) == (rule, 0)


def test_a_rollback_of_release_and_of_log(server, options, log, tmp_path):
    memory = tmp_path / "state"
    two = signed(release(2))
    newer = FakeLog([*log.entries, two])
    attest(server.origin, **options | {"releases": newer.bundle(two).to_json()}, memory=memory)
    met = server.connections
    with pytest.raises(VerificationError, match=r"R3\.number"):
        attest(server.origin, **options | {"releases": newer.bundle(ONE).to_json()}, memory=memory)
    with pytest.raises(VerificationError, match=r"R3\.tree"):
        Client(server.origin, **options, memory=Memory(memory))
    split = FakeLog([b"forged", *newer.entries[1:]])
    with pytest.raises(VerificationError, match=r"R3\.view"):
        Client(server.origin, **options | {"releases": split.bundle(two).to_json()}, memory=memory)
    assert server.connections == met


def revoking(**changes):
    """Return a release of another image that revokes the first: the service still runs the first."""
    return replace(release(2, OTHER_IMAGE), revokes=(1,), supersedes=1, **changes)


def test_a_service_that_runs_a_revoked_release_though_its_quote_is_right(server, options, log):
    """Evidence, signatures and log are all genuine; the error says what runs, who revoked it, and what to expect."""
    two = signed(revoking())
    log.add(two)
    files = (log.bundle(ONE).to_json(), log.bundle(two).to_json())
    with pytest.raises(VerificationError) as caught:
        Client(server.origin, **options | {"releases": files})
    error = caught.value
    assert error.rule == "R3.revoked"
    assert "expected release 2, got release 1 is revoked by release 2, its successor" in str(error)
    assert [check.id for check in error.checks if not check.passed] == ["R3.revoked"]
    assert {"C2.2", "Q3", "R2.inclusion", "L10.2"} <= {check.id for check in error.checks if check.passed}
    assert server.prompts == []


def test_a_service_that_runs_something_else_is_not_told_as_revoked(server, options, log):
    gone = signed(release(1, replace(OTHER_IMAGE, image_authenticode=b"\x08" * 32)))
    two = signed(revoking())
    log.add(gone, two)
    with pytest.raises(PolicyError, match=r"L10\.2") as caught:
        Client(server.origin, **options | {"releases": (log.bundle(gone).to_json(), log.bundle(two).to_json())})
    assert "revoked" not in str(caught.value)


def test_a_revoked_release_alone_by_what_is_remembered(server, options, log, tmp_path):
    two = signed(revoking())
    log.add(two)
    memory = tmp_path / "state"
    with pytest.raises(VerificationError):
        attest(server.origin, **options | {"releases": log.bundle(two).to_json()} | {"policy": None}, memory=memory)
    met = server.connections
    with pytest.raises(VerificationError, match="release 1 is revoked by release 2, its successor"):
        attest(server.origin, **options | {"releases": log.bundle(ONE).to_json()}, memory=memory)
    assert server.connections == met


def test_an_async_client(server, options, tmp_path):
    async def talk():
        client = await asyncio.to_thread(AsyncClient, server.origin, **options, memory=tmp_path / "state")
        async with client:
            return (await client.chat.completions.create(model=MODEL, messages=QUESTION)).choices[0].message.content

    assert "Paris" in asyncio.run(talk())


def test_a_memory_that_cannot_be_used(server, options, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceError, match="memory"):
        Client(server.origin, **options, memory=tmp_path / "file")
    with pytest.raises(EvidenceError, match="memory"):
        attest(server.origin, **options, memory=5)
    assert server.connections == 0


def test_a_later_verdict_is_of_the_files_as_they_are_then(server, options, log, pins, monkeypatch):
    """What is fetched anew while a client lives is judged anew, and what has gone is refused."""
    now = [1000.0]
    monkeypatch.setattr(attested, "Fleet", partial(Fleet, clock=lambda: now[0]))
    with Client(server.origin, **options, max_age=60) as client:
        assert "Paris" in ask(client)
        pins.release.write_bytes(log.bundle(ONE, by=()).to_json())
        now[0] += 60
        with pytest.raises(Exception, match=r"R2\.witnesses|Connection error") as caught:
            ask(client)
    assert "R2.witnesses" in f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"


def test_stored_evidence_needs_a_bundle_too(options):
    vm = SimulatedVm()
    nonce = b"n" * 32
    evidence = vm.evidence(nonce)
    how = {"now": NOW, "activation": vm.activation(evidence, stream())}
    judged = options | {"releases": options["releases"].read_bytes()}
    accepted = verify_stored(evidence.to_json(), nonce, **judged, **how)
    assert "in the log" in dict(accepted.report.facts)["transparency"]
    with pytest.raises(VerificationError, match=r"R2\.log"):
        verify_stored(evidence.to_json(), nonce, **judged | {"releases": ONE}, **how)
    with pytest.raises(VerificationError, match=r"R2\.age"):
        verify_stored(evidence.to_json(), nonce, **judged, **how | {"now": NOW + timedelta(days=8)})


def test_verify_prints_what_log_and_memory_say(run, server, words):
    said = run("verify", server.origin, *words)
    assert said.code == 0, said.all
    for rule in ("R2.log", "R2.checkpoint", "R2.inclusion", "R2.witnesses", "R2.future", "R2.age"):
        assert f"ok  {rule}" in said.out
    assert "in the log log.example/releases of 9 entries" in said.out
    assert "new: nothing was seen before" in said.out
    assert "kept since" in run("verify", server.origin, *words).out


def test_verify_without_a_log_says_that_the_publisher_is_trusted_alone(run, server, pins):
    said = run("verify", server.origin, *pins.words)
    assert (said.code, "publisher trusted alone" in said.out) == (0, True)
    report = json.loads(run("verify", server.origin, *pins.words, "--json").out)
    assert "R2, R5" in [one["rules"] for one in report["not_run"]]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("command", [("verify",), ("ask",), ("proxy",)])
def test_a_command_refuses(run, server, words, pins, log, attack, command, tmp_path):
    make, rule = ATTACKS[attack]
    pins.release.write_bytes(make(log))
    more = {"ask": ("a secret",), "proxy": ("--socket", str(tmp_path / "s"))}.get(command[0], ())
    said = run(*command, server.origin, *more, *words)
    assert (said.code, f"[{rule}]" in said.all, server.connections) == (1, True, 0), said.all


def test_a_command_refuses_a_rollback(run, server, words, pins, log):
    two = signed(release(2))
    newer = FakeLog([*log.entries, two])
    pins.release.write_bytes(newer.bundle(two).to_json())
    assert run("verify", server.origin, *words).code == 0
    pins.release.write_bytes(newer.bundle(ONE).to_json())
    for command in (("verify", server.origin), ("ask", server.origin, "a secret")):
        said = run(*command, *words)
        assert (said.code, "[R3.number]" in said.all) == (1, True), said.all
    assert server.prompts == []


def test_ask_answers_with_all_of_it(run, server, words):
    said = run("ask", server.origin, "a question", *words)
    assert (said.code, "Paris" in said.out) == (0, True), said.all


def test_a_rebuilder_on_the_command_line(run, server, pins, tmp_path):
    key = tmp_path / "rebuilder.pub"
    public = publisher_key("rebuilder").public_key()
    key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    said = run("verify", server.origin, *pins.words, "--rebuilder", key)
    assert (said.code, "[R5.rebuilders]" in said.all) == (1, True), said.all


MISTAKES = {
    "a key that is no log's": (("--log", str(W1.verifier)), "--log: "),
    "a file that is not there": (("--log", "no-such-file"), "--log: "),
    "a witness that is a log": (("--log", str(LOG.verifier), "--witness", str(LOG.verifier)), "--witness: "),
    "a witness without a log": (("--witness", str(W1.verifier)), "--log: "),
    "a quorum that cannot be met": (
        ("--log", str(LOG.verifier), "--witness", str(W1.verifier), "--witness-quorum", "2"),
        "--witness-quorum: ",
    ),
    "an age without witnesses": (("--log", str(LOG.verifier), "--max-checkpoint-age", "7d"), "--max-checkpoint-age: "),
    "an age that is a number": (("--max-checkpoint-age", "7"), "--max-checkpoint-age"),
    "an age of no time": (("--max-checkpoint-age", "0d"), "--max-checkpoint-age"),
    "a rebuilder that is not there": (("--rebuilder", "no-such-file"), "--rebuilder: "),
    "a memory about the past": (("--state", "s", "--evidence", "e.json"), "--state"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_command_line_with(run, server, pins, mistake):
    more, names = MISTAKES[mistake]
    said = run("verify", server.origin, *pins.words, *more)
    assert (said.code, names in said.err, server.connections) == (2, True, 0), said.all
    assert "Traceback" not in said.all


def test_a_memory_that_is_damaged_is_a_mistake_with_a_remedy(run, server, words, tmp_path):
    assert run("verify", server.origin, *words).code == 0
    (tmp_path / "state/memory.json").write_text("{")
    said = run("verify", server.origin, *words)
    assert (said.code, "--state: memory" in said.err, "forget" in said.err) == (2, True, True), said.all


def test_a_publisher_keeps_what_it_was_before():
    """Positional use, equality and the fields of before."""
    publisher = Publisher((publisher_key().public_key(),), 1)
    assert (publisher.threshold, publisher.log, publisher.witnesses, publisher.rebuilders) == (1, None, (), ())
    assert (publisher.quorum, publisher.log_key, format_instant(NOW)[-1]) == (0, None, "Z")
