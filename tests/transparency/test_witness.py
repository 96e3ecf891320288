"""A witness (C2SP tlog-witness): what it signs, every answer that the document demands, and a log that asks one."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from client_sdk.errors import EvidenceError, LogBusyError, LogDamagedError, UnwitnessedError, VerificationError
from client_sdk.transparency.formats.checkpoint import Checkpoint
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, UnverifiedNote, open_note, sign_note
from client_sdk.transparency.log import tree
from client_sdk.transparency.log.config import Cosigner as Named
from client_sdk.transparency.log.remote import Folder, RemoteTree, read_checkpoint
from client_sdk.transparency.log.store import Store
from client_sdk.transparency.log.web import Web
from client_sdk.transparency.watchers import endpoint
from client_sdk.transparency.watchers.submit import SKEW, Asking, taken
from client_sdk.transparency.watchers.witness import MAX_REQUEST, RefusedError, Request, Witness, create
from tests.transparency.faults import HOWS, Faults, KilledError
from tests.transparency.keeping import LOG, ORIGIN, SIGNER, entries_of, entry, log_of, make, tree_of

NOW = 1_800_000_000


def witness_in(folder):
    store = Store(folder)
    create(store, "witness.example/w1")
    return Witness(store, (LOG,))


def asked(home, old):
    """Return what a log asks to be signed after a size."""
    source = Folder(home)
    shown = read_checkpoint(source, LOG)
    return Request(old, RemoteTree(source, shown.checkpoint).consistency(old), shown.data)


def refused(witness, request, status, *, now=NOW):
    body = request if isinstance(request, bytes) else request.to_bytes()
    with pytest.raises(RefusedError) as caught:
        witness.add_checkpoint(body, now=now)
    assert caught.value.status == status
    return caught.value


@pytest.fixture
def witness(tmp_path):
    return witness_in(tmp_path / "witness")


@pytest.fixture
def log(tmp_path):
    return log_of(tmp_path / "log", 1, 2, 3)


def test_it_signs_what_it_sees_first_and_what_grew_from_it(tmp_path, witness, log):
    request = asked(tmp_path / "log", 0)
    line = witness.add_checkpoint(request.to_bytes(), now=NOW)
    (signed,) = open_note(request.checkpoint + line, (witness.verifier,)).signed
    assert signed.at == NOW
    log.append((entry(4), entry(5)))
    assert witness.add_checkpoint(asked(tmp_path / "log", 3).to_bytes(), now=NOW).startswith(
        b"\xe2\x80\x94 witness.example"
    )
    assert witness.last(ORIGIN).size == 5


def test_the_same_again_is_signed_with_a_new_time(tmp_path, witness, log):
    first = witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    second = witness.add_checkpoint(replace(asked(tmp_path / "log", 3), proof=()).to_bytes(), now=NOW + 60)
    assert first != second
    assert log.config.log == LOG


def test_it_remembers_after_it_was_restarted(tmp_path, witness, log):
    witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    again = Witness(Store(tmp_path / "witness"), (LOG,))
    assert again.last(ORIGIN).size == 3
    assert refused(again, asked(tmp_path / "log", 0), 409).body == b"3\n"
    assert log.config.log == LOG


def test_a_size_that_it_did_not_sign_last(tmp_path, witness, log):
    witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    log.append((entry(4),))
    error = refused(witness, asked(tmp_path / "log", 2), 409)
    assert (error.body, error.kind) == (b"3\n", "text/x.tlog.size")


def fork(tmp_path, *numbers):
    """Make another log with the same key."""
    log_of(tmp_path / "fork", *numbers)
    return tmp_path / "fork"


def test_a_fork_of_the_same_size(tmp_path, witness, log):
    witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    assert refused(witness, asked(fork(tmp_path, 1, 2, 4), 3), 409).body == b"3\n"
    assert log.config.log == LOG


def test_a_fork_that_is_larger(tmp_path, witness, log):
    witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    refused(witness, asked(fork(tmp_path, 1, 2, 4, 5), 3), 422)
    assert witness.last(ORIGIN).root == tree_of(tmp_path / "log").checkpoint.root
    assert log.config.log == LOG


def test_a_log_that_shrank(tmp_path, witness, log):
    witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    request = asked(fork(tmp_path, 1, 2), 2)
    refused(witness, replace(request, old=3), 400)
    refused(witness, request, 409)
    assert log.config.log == LOG


def test_a_log_that_it_does_not_know(tmp_path, witness):
    other = NoteSigner.generate("other.example")
    note = sign_note(Checkpoint("other.example", 0, tree.EMPTY_ROOT).to_text(), other)
    refused(witness, Request(0, (), note), 404)


@pytest.mark.parametrize("key", [NoteSigner.generate(ORIGIN), NoteSigner.generate("other.example")])
def test_a_checkpoint_that_the_logs_key_did_not_sign(witness, key):
    note = sign_note(Checkpoint(ORIGIN, 0, tree.EMPTY_ROOT).to_text(), key)
    refused(witness, Request(0, (), note), 403)


def test_a_changed_checkpoint(tmp_path, witness, log):
    request = asked(tmp_path / "log", 0)
    refused(witness, replace(request, checkpoint=request.checkpoint.replace(b"\n3\n", b"\n4\n")), 403)
    assert log.config.log == LOG


def test_a_proof_from_the_empty_tree(tmp_path, witness, log):
    refused(witness, replace(asked(tmp_path / "log", 0), proof=(bytes(32),)), 422)
    assert log.config.log == LOG


def test_an_empty_tree_with_another_root(witness):
    refused(witness, Request(0, (), sign_note(Checkpoint(ORIGIN, 0, bytes(32)).to_text(), SIGNER)), 409)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        b"old 0\n",
        b"old 00\n\n" + sign_note("x\n", SIGNER),
        b"old -1\n\n" + sign_note("x\n", SIGNER),
        b"old 99999999999999999999\n\n" + sign_note("x\n", SIGNER),
        b"old 0\nnot base64\n\n" + sign_note("x\n", SIGNER),
        b"old 0\nAAAA\n\n" + sign_note("x\n", SIGNER),
        b"old 0\n" + b"A" * 43 + b"=\n" * 64 + b"\n" + sign_note("x\n", SIGNER),
        b"old 0\n\n",
        b"old 0\n\n\xff\n\n",
        b"old 0\n\n" + sign_note(f"{ORIGIN}\n3\n", SIGNER),
        b"old 0\n\n" + sign_note(f"{ORIGIN}\n03\n{'A' * 43}=\n", SIGNER),
        bytes(MAX_REQUEST + 1),
    ],
)
def test_what_is_no_request(witness, body):
    refused(witness, body, 400)
    assert witness.last(ORIGIN).size == 0


def test_a_clock_that_went_back(tmp_path, witness, log):
    witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    log.append((entry(4),))
    refused(witness, asked(tmp_path / "log", 3), 503, now=NOW - 1)
    assert witness.last(ORIGIN).size == 3


def test_garbage_beside_the_signature_is_not_kept(tmp_path, witness, log):
    """Else a stranger could fill what the witness has to read again."""
    request = asked(tmp_path / "log", 0)
    lines = "".join(f"— stranger{n} {'A' * 92}\n" for n in range(126)).encode()
    witness.add_checkpoint(replace(request, checkpoint=request.checkpoint + lines).to_bytes(), now=NOW)
    assert witness.last(ORIGIN).size == 3
    assert log.config.log == LOG


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS.keys())
def test_nothing_is_signed_that_is_not_on_the_disk(tmp_path, log, how):
    """Interrupted at each operation: what it answered, it remembers."""
    body, at = asked(tmp_path / "log", 0).to_bytes(), 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        witness = witness_in(folder)
        with pytest.MonkeyPatch.context() as patching:
            Faults(patching, at=at, how=how)
            try:
                line = witness.add_checkpoint(body, now=NOW)
            except (KilledError, Exception):  # noqa: BLE001 - whatever it is, it did not sign
                line = b""
        size = Witness(Store(folder), (LOG,)).last(ORIGIN).size
        assert size in (0, 3)
        assert size == 3 or not line
        if line:
            break
    assert at > 6
    assert log.config.log == LOG


def test_two_requests_at_once_never_sign_two_trees(tmp_path, witness, log):
    """The race of the document: checking and writing are one step."""
    witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    bodies = []
    for number in range(4, 8):
        log.append((entry(number),))
        bodies.append(asked(tmp_path / "log", 3).to_bytes())
    signed, statuses = [], []

    def ask(body):
        try:
            signed.append(witness.add_checkpoint(body, now=NOW))
        except RefusedError as error:
            statuses.append(error.status)

    threads = [threading.Thread(target=ask, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (len(signed), statuses) == (1, [409] * 3)


def test_two_witnesses_in_one_folder(tmp_path):
    with Store(tmp_path).sole(), pytest.raises(LogBusyError), Store(tmp_path).sole():
        pass


def test_its_key_is_its_owners_alone(tmp_path, witness):
    assert (tmp_path / "witness/witness.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LogDamagedError, match="there is a key already"):
        create(Store(tmp_path / "witness"), "another")
    assert witness.verifier.kind == COSIGNATURE


@pytest.fixture
def served(witness):
    """Return the URL of a witness at a port."""
    said = []
    with endpoint.server(witness, 0, now=lambda: NOW, say=said.append) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def asking(*witnesses, now=NOW):
    said = []
    return Asking(witnesses, lambda: now, said.append, 10), said


def test_a_log_asks_a_witness_and_shows_its_signature(tmp_path, witness, served):
    named = Named(witness.verifier, served)
    log, (ask, said) = make(tmp_path / "log", witnesses=(named,), quorum=1), asking(named)
    log.append((entry(1),), ask)
    log.append((entry(2), entry(3)), ask)  # it asks with size 0 and is told which proof is wanted
    log.renew(ask)
    source = Folder(tmp_path / "log")
    assert [signed.at for signed in read_checkpoint(source, LOG, (witness.verifier,)).witnessed] == [NOW]
    assert said == []


def test_a_witness_that_saw_more_than_the_log_has(tmp_path, witness, served, log):
    """The log was restored from before, or somebody else has its key."""
    witness.add_checkpoint(asked(tmp_path / "log", 0).to_bytes(), now=NOW)
    named = Named(witness.verifier, served)
    young, (ask, said) = make(tmp_path / "young", witnesses=(named,), quorum=1), asking(named)
    with pytest.raises(UnwitnessedError):
        young.append((entry(1),), ask)
    assert "it saw 3 entries of the log, which has 1: were files of the log restored?" in said[0]
    assert log.config.log == LOG


@pytest.mark.parametrize("now", [NOW - SKEW - 1, NOW + SKEW + 1])
def test_a_witness_whose_clock_is_wrong(tmp_path, witness, served, now):
    named = Named(witness.verifier, served)
    log, (ask, said) = make(tmp_path / "log", witnesses=(named,), quorum=1), asking(named, now=now)
    with pytest.raises(UnwitnessedError):
        log.append((entry(1),), ask)
    assert "is one of the clocks wrong?" in said[0]


def test_a_witness_that_is_not_there(tmp_path, witness):
    named = Named(witness.verifier, "http://127.0.0.1:1")
    log, (ask, said) = make(tmp_path / "log", witnesses=(named,), quorum=0), asking(named)
    log.append((entry(1),), ask)
    assert "no answer" in said[0]
    assert entries_of(tmp_path / "log") == [entry(1)]


def lying(kind):
    """Return lines that a witness may answer in place of its signature of a checkpoint."""
    signer = NoteSigner("witness.example/w1", bytes(32), COSIGNATURE)
    stranger = NoteSigner("witness.example/w1", bytes([1] * 32), COSIGNATURE)
    text = UnverifiedNote.from_bytes(note()).text
    return {
        "another text": str(signer.sign("another\n", at=NOW)),
        "another key": str(stranger.sign(text, at=NOW)),
        "another time": str(replace(s := signer.sign(text, at=NOW), data=(NOW + 9).to_bytes(8, "big") + s.data[8:])),
        "nothing": "",
        "no line": "signed\n",
        "without newline": str(signer.sign(text, at=NOW))[:-1],
        "short": str(replace(signer.sign(text, at=NOW), data=b"\0" * 9)),
        "time after the end": str(replace(s, data=b"\xff" * 8 + s.data[8:])),
        "two notes": f"\n{signer.sign(text, at=NOW)}",
    }[kind]


def note():
    return sign_note(Checkpoint(ORIGIN, 0, tree.EMPTY_ROOT).to_text(), SIGNER)


@pytest.mark.parametrize(
    "kind",
    [
        *("another text", "another key", "another time", "nothing", "no line", "without newline", "short"),
        *("time after the end", "two notes"),
    ],
)
def test_a_witness_that_lies(kind):
    key = NoteSigner("witness.example/w1", bytes(32), COSIGNATURE).verifier
    with pytest.raises((EvidenceError, VerificationError)):
        taken(lying(kind).encode(), note(), key, now=NOW)


def test_requests_that_the_port_does_not_take(served):
    web = Web(served)
    assert web.ask("GET", "add-checkpoint", limit=1000).status == 405
    assert web.ask("POST", "other", limit=1000, body=b"x").status == 404
    assert web.ask("POST", "add-checkpoint", limit=1000, body=bytes(MAX_REQUEST + 1)).status == 413
    assert web.ask("POST", "add-checkpoint", limit=1000, body=b"old").status == 400
    web.close()
