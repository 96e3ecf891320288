"""`vitrine log` as people run it: what it prints, its exit codes, and the whole way from a release to a bundle."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.cli import log, main
from client_sdk.dsse import sign
from client_sdk.errors import VerificationError
from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.transparency.client.memory import Memory
from client_sdk.transparency.client.pins import read_verifier
from client_sdk.transparency.formats.checkpoint import Checkpoint
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, add_signature, sign_note
from client_sdk.transparency.log import serving
from client_sdk.transparency.log.store import Store
from client_sdk.transparency.watchers import endpoint
from client_sdk.transparency.watchers.witness import Witness
from tests.fakes.simulated_vm import NOW, publisher_key, release, signed
from tests.transparency.faults import HOWS, Faults
from tests.transparency.keeping import NEXT_KEY, ORIGIN, entries_of, entry, rotation
from tests.transparency.test_monitor import served as serve_dishonestly


@pytest.fixture
def run(capsys):
    def _run(*argv):
        try:
            code = main(["log", *[str(word) for word in argv]])
        except SystemExit as error:
            code = error.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return _run


@pytest.fixture
def publisher_file(tmp_path):
    path = tmp_path / "publisher.pub"
    path.write_bytes(publisher_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


@pytest.fixture
def home(tmp_path, run, publisher_file):
    folder = tmp_path / "log"
    assert run("init", folder, "--origin", ORIGIN, "--publisher", publisher_file)[0] == 0
    return folder


def files(tmp_path, *numbers):
    for number in numbers:
        (tmp_path / f"{number}.json").write_bytes(entry(number))
    return [tmp_path / f"{number}.json" for number in numbers]


def key_of(home):
    return (home / "log.pub").read_text().strip()


def watching(home, publisher_file, state, *more):
    return ("monitor", home, "--log", home / "log.pub", "--publisher", publisher_file, "--state", state, *more)


def test_from_a_release_to_a_bundle_that_a_client_takes(tmp_path, run, home):
    first, second = files(tmp_path, 1, 2)
    assert run("append", home, first)[1].endswith(f"{ORIGIN} has 1 entries\n")
    assert run("append", home, second, "--json")[:2] == (0, '{"places":[1],"size":2}\n')
    assert run("bundle", home, second, "--output", tmp_path / "bundle.json")[0] == 0
    pinned = Publisher(keys=(publisher_key().public_key(),), log=key_of(home))
    (found,) = open_releases(tmp_path / "bundle.json", pinned, now=NOW).releases
    assert found.number == 2


def test_what_init_prints_is_what_clients_pin(tmp_path, run, publisher_file):
    code, out, _ = run("init", tmp_path / "log", "--origin", ORIGIN, "--publisher", publisher_file)
    assert code == 0
    assert key_of(tmp_path / "log") in out
    assert "PRIVATE" not in out
    assert (tmp_path / "log/log.key").stat().st_mode & 0o777 == 0o600


def test_a_bundle_has_the_rotations_before_its_release(tmp_path, run, home, publisher_file):
    (tmp_path / "rotation.json").write_bytes(rotation())
    (tmp_path / "new.json").write_bytes(entry(2, key=NEXT_KEY))
    assert run("append", home, *files(tmp_path, 1), tmp_path / "rotation.json", tmp_path / "new.json")[0] == 0
    words = ("--log", key_of(home), "--publisher", publisher_file)
    for place, more in ((home, ()), (home / "public", words)):
        for name, count in (("1.json", 0), ("new.json", 1)):
            assert run("bundle", place, tmp_path / name, "--output", tmp_path / "b.json", *more)[0] == 0
            assert len(json.loads((tmp_path / "b.json").read_bytes())["rotations"]) == count


def test_init_says_who_has_to_sign_while_that_can_still_be_changed(tmp_path, run, publisher_file, witness):
    words = ("--origin", ORIGIN, "--publisher", publisher_file)
    _, alone, _ = run("init", tmp_path / "alone", *words)
    assert "witness  none, now or later: make it anew with --witness" in alone
    _, watched, _ = run("init", tmp_path / "watched", *words, "--witness", witness / "witness.pub")
    assert "witness  1 of 1 must sign before anything is shown" in watched


@pytest.mark.parametrize("action", ["init", "append", "serve", "bundle", "verify", "monitor", "witness", "page"])
def test_every_action_has_examples_and_then_its_exit_codes(run, action):
    code, out, _ = run(action, "--help")
    assert code == 0
    examples, after, codes = out.partition("examples:\n")[2].partition("\n\nexit codes:\n")
    assert after
    assert all(line.startswith("  ") and line.strip() for line in examples.splitlines())
    assert "3 no verdict" in codes
    parser = argparse.ArgumentParser()
    log.register(parser.add_subparsers())
    for example in examples.replace("\\\n", "").splitlines():
        assert callable(parser.parse_args(shlex.split(example)[1:]).run)


def test_verify_says_what_is_right(tmp_path, run, home, publisher_file):
    run("append", home, *files(tmp_path, 1, 3))
    code, out, _ = run("verify", home, "--log", key_of(home), "--publisher", publisher_file)
    assert code == 0
    assert out.startswith(f"right: {ORIGIN}, 2 entries, root ")
    assert "vitrine: up to release 3" in out
    code, out, _ = run("verify", home, "--log", key_of(home), "--json")
    assert (code, json.loads(out)["size"]) == (0, 2)


def test_verify_says_which_witness_did_not_sign_and_refuses_where_none_did(run, home):
    keys = [NoteSigner.generate(f"witness.example/w{n}", COSIGNATURE) for n in (1, 2)]
    words = ("verify", home, "--log", key_of(home), *(f"--witness={key.verifier}" for key in keys))
    code, out, err = run(*words)
    assert (code, out, "R2.witnesses" in err) == (1, "", True)
    path = home / "public/checkpoint"
    text = path.read_text().rpartition("\n\n")[0] + "\n"
    path.write_bytes(add_signature(path.read_bytes(), keys[0].sign(text, at=int(time.time()))))
    code, out, _ = run(*words)
    assert (code, "witness witness.example/w2: did NOT sign it" in out) == (0, True)
    assert json.loads(run(*words, "--json")[1])["not_signed_by"] == ["witness.example/w2"]


def test_monitor_prints_every_new_release(tmp_path, run, home, publisher_file):
    state = tmp_path / "seen"
    run("append", home, *files(tmp_path, 1, 2))
    code, out, err = run(*watching(home, publisher_file, state))
    assert code == 0
    assert [line.split(",")[0] for line in out.splitlines()] == [
        "entry 0: release 1 of vitrine",
        "entry 1: release 2 of vitrine",
    ]
    assert "nothing was seen of this log before" in err
    run("append", home, *files(tmp_path, 3))
    code, out, err = run(*watching(home, publisher_file, state, "--json", "--once"))
    assert (code, err) == (0, "")
    assert json.loads(out) | {"sha256": ""} == {
        "event": "release",
        "index": 2,
        "manifest_sha256": release().manifest_sha256.hex(),
        "number": 3,
        "revokes": [],
        "service": "vitrine",
        "sha256": "",
        "supersedes": None,
    }
    assert run(*watching(home, publisher_file, state))[:2] == (0, "")


def test_monitor_says_a_fork_loudly_and_keeps_the_proof(tmp_path, run, home, publisher_file):
    state = tmp_path / "seen"
    run("append", home, *files(tmp_path, 1, 2))
    run(*watching(home, publisher_file, state))
    signer = NoteSigner.from_text((home / "log.key").read_text().strip())
    seen = (home / "public/checkpoint").read_bytes()
    serve_dishonestly(home, [entry(1), entry(5)], signer=signer)
    for _ in range(2):  # and says it again as long as it is so
        code, out, err = run(*watching(home, publisher_file, state, "--json"))
        assert code == 1
        assert json.loads(out)["rule"] == "R3.fork"
        assert "ALARM [R3.fork]: this is not the log that it should be" in err
    assert (state / "alarm/seen").read_bytes() == seen
    assert (state / "alarm/shown").read_bytes() == (home / "public/checkpoint").read_bytes()


def test_monitor_says_a_number_that_goes_back(tmp_path, run, home, publisher_file):
    signer = NoteSigner.from_text((home / "log.key").read_text().strip())
    changed = signed(replace(release(1), revokes=(3,)))
    serve_dishonestly(home, [entry(1), changed, b"{}"], signer=signer)
    code, out, _ = run(*watching(home, publisher_file, tmp_path / "seen"))
    assert code == 1
    assert "ALARM: entry 1: [R3.order]" in out
    assert "entry 2: not this publisher's" in out


def _served(home, *entries):
    serve_dishonestly(home, entries, signer=NoteSigner.from_text((home / "log.key").read_text().strip()))


def test_a_strangers_replay_stops_neither_verify_nor_bundle_nor_monitor(tmp_path, run, home, publisher_file):
    """In a log that several share anybody appends what the publisher signed before."""
    _served(home, entry(1), entry(2), entry(1), entry(2), entry(3))
    shutil.copytree(home / "public", tmp_path / "other/public")
    other, words = tmp_path / "other", ("--log", key_of(home), "--publisher", publisher_file)
    code, out, err = run("verify", other, *words)
    assert (code, "2 entries are his, once more" in out) == (0, True), err
    (file,) = files(tmp_path, 3)
    assert run("bundle", other, file, "--output", tmp_path / "b.json", *words)[0] == 0
    code, out, _ = run(*watching(home, publisher_file, tmp_path / "seen", "--json"))
    told = [json.loads(line)["event"] for line in out.splitlines()]
    assert (code, told) == (0, ["release", "release", "again", "again", "release"])


def test_verify_refuses_what_rotated_away_keys_signed(tmp_path, run, home, publisher_file):
    _served(home, entry(1), rotation(), entry(9))
    code, _, err = run("verify", home, "--log", key_of(home), "--publisher", publisher_file)
    assert (code, "R3.rotated-away" in err) == (1, True)


def test_a_bundle_is_made_beside_what_rotated_away_keys_signed(tmp_path, run, home, publisher_file):
    (tmp_path / "new.json").write_bytes(entry(2, key=NEXT_KEY))
    _served(home, entry(1), rotation(), entry(9), entry(2, key=NEXT_KEY))
    words = ("--log", key_of(home), "--publisher", publisher_file, "--output", tmp_path / "b.json")
    assert run("bundle", home / "public", tmp_path / "new.json", *words)[0] == 0


def test_monitor_goes_on_after_an_alarm_about_an_entry(tmp_path, home, publisher_file):
    _served(home, entry(2), entry(1))
    words = watching(home, publisher_file, tmp_path / "seen", "--interval", 1, "--json")
    command = [sys.executable, "-m", "client_sdk.cli", "log", *map(str, words)]
    child = interruptible(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert [json.loads(child.stdout.readline())["event"] for _ in range(2)] == ["release", "alarm"]
        _served(home, entry(2), entry(1), entry(3))
        assert json.loads(child.stdout.readline())["number"] == 3
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)


@pytest.mark.parametrize("data", [b"", b"{}", b"no JSON"])
def test_a_file_that_is_no_entry_is_the_callers_mistake(tmp_path, run, home, data):
    file = tmp_path / "next.json"
    file.write_bytes(data)
    code, _, err = run("append", home, file)
    assert (code, err.startswith(f"vitrine: usage: {file}: expected releases or rotations, as they were signed")) == (
        2,
        True,
    )
    assert entries_of(home, _key(home)) == []


OTHERWISE = entry(1).replace(b"in-toto", b"of-another-kind")


@pytest.mark.parametrize("data", [b"", b"{}", rotation(), sign(b"{}", ()), OTHERWISE, entry(1)[:-1], b"x" * 70_000])
@pytest.mark.parametrize("whose", ["my own", "another's"])
def test_a_bundle_of_a_file_that_is_no_release_is_the_callers_mistake(tmp_path, run, home, publisher_file, data, whose):
    """Whether the log has it is another question: even a rotation that it has is nothing that a client takes."""
    (tmp_path / "rotation.json").write_bytes(rotation())
    run("append", home, tmp_path / "rotation.json")
    file = tmp_path / "release.json"
    file.write_bytes(data)
    words = ("--output", tmp_path / "b.json")
    if whose == "another's":
        words += ("--log", key_of(home), "--publisher", publisher_file)
    place = home if whose == "my own" else home / "public"
    code, out, err = run("bundle", place, file, *words)
    told = f"{file}: over the" if len(data) > 65_536 else f"{file}: expected a release, as it was appended: "
    assert (code, out, told in err) == (2, "", True), err
    assert not (tmp_path / "b.json").exists()


def test_a_bundle_of_a_release_that_the_log_has_not_is_refused(tmp_path, run, home):
    run("append", home, *files(tmp_path, 1))
    code, _, err = run("bundle", home, *files(tmp_path, 2), "--output", tmp_path / "b.json")
    assert (code, "[R2.inclusion]" in err) == (1, True)


def test_a_name_with_a_terminals_commands_in_it_is_printed_harmlessly(tmp_path, run, publisher_file):
    folder = tmp_path / "\x1b[2Jlog"
    folder.mkdir()
    file = folder / "1.json"
    file.write_bytes(entry(1))
    for words in (
        ("init", folder, "--origin", ORIGIN, "--publisher", publisher_file),
        ("append", folder, file),
        ("append", folder, "--export", folder / "checkpoint"),
        ("bundle", folder, file, "--output", folder / "b.json"),
        ("page", folder),
    ):
        code, out, err = run(*words)
        assert (code, "\\x1b[2Jlog" in out, "\x1b" in out) == (0, True, False), (words, out, err)


WRONG_PLACES = [
    ("append {nothing} {key}", "is no log of your own: it has no log.json; name the folder that vitrine log init made"),
    ("append {log}/public {key}", "is no log of your own: it has no log.json"),
    ("serve {nothing}", "is no log of your own: it has no log.json"),
    ("bundle {nothing} {key} --output {out}", "(no log.json in it): give --log and --publisher"),
    ("bundle {nothing} {key} --output {out} --log {log}/log.pub --publisher {key}", "(no checkpoint or tile in it)"),
    ("verify {nothing} --log {log}/log.pub", "is no log (no checkpoint or tile in it): name the https:// address"),
    ("verify {key} --log {log}/log.pub", "is no log (no checkpoint or tile in it)"),
    ("verify http://log.example --log {log}/log.pub", "expected https://HOST"),
    ("monitor {nothing} --log {log}/log.pub --publisher {key} --state {out}", "(no checkpoint or tile in it)"),
    ("page {nothing}", "(no log.json in it): give --log, --publisher and --output"),
    ("page {nothing} --log {log}/log.pub --publisher {key} --output {out}", "(no checkpoint or tile in it)"),
    ("witness {out} --log {log}/log.pub --serve 0", "has no witness.key: name the witness's folder, or make its key"),
]


@pytest.mark.parametrize(("words", "told"), WRONG_PLACES)
def test_a_wrong_path_of_a_log_is_the_callers_mistake_and_nothing_is_made(
    tmp_path, run, home, publisher_file, words, told
):
    places = {"log": home, "nothing": tmp_path / "nothing", "key": publisher_file, "out": tmp_path / "out"}
    code, out, err = run(*words.format(**places).split())
    assert (code, out, told in err) == (2, "", True), err
    assert not {path.name for path in tmp_path.iterdir()} & {"nothing", "out"}


def test_monitor_without_the_log_has_no_verdict(tmp_path, run, home, publisher_file):
    (home / "public/checkpoint").unlink()
    code, _, err = run(*watching(home, publisher_file, tmp_path / "seen"))
    assert code == 3
    assert "no verdict" in err


def test_monitor_with_a_state_that_another_one_holds(tmp_path, run, home, publisher_file):
    with Store(tmp_path / "seen").sole():
        code, _, err = run(*watching(home, publisher_file, tmp_path / "seen"))
    assert (code, "another run writes here" in err) == (3, True)


def test_monitor_with_a_state_that_is_something_else(tmp_path, run, home, publisher_file):
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen/state.json").write_bytes(b"{}")
    code, _, err = run(*watching(home, publisher_file, tmp_path / "seen"))
    assert (code, "state.json" in err) == (2, True)


def test_monitor_with_a_state_that_is_about_another_publisher(tmp_path, run, home, publisher_file):
    """Else it would go on with the keys that it has, and say nothing about those that were named now."""
    run("append", home, *files(tmp_path, 1))
    assert run(*watching(home, publisher_file, tmp_path / "seen"))[0] == 0
    other = tmp_path / "other.pub"
    other.write_bytes(NEXT_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    code, _, err = run(*watching(home, other, tmp_path / "seen"))
    assert (code, "is about other keys than --publisher" in err) == (2, True)
    (tmp_path / "rotation.json").write_bytes(rotation())
    run("append", home, tmp_path / "rotation.json")
    for _ in range(2):  # the first keys are what is named, also after a rotation
        assert run(*watching(home, publisher_file, tmp_path / "seen"))[0] == 0


def interruptible(command, **options):
    """Start a program that Control-C ends, also where the tests themselves run in the background and it does not."""
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, **options)
    finally:
        signal.signal(signal.SIGINT, ours)


def test_monitor_again_and_again_until_it_is_ended(tmp_path, run, home, publisher_file):
    """Over HTTP; releases that come meanwhile are told, and a server that is away for a while is said to be."""
    run("append", home, *files(tmp_path, 1))
    with serving.server(home / "public", 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        words = watching(home, publisher_file, tmp_path / "seen", "--interval", 1, "--json")
        place = f"http://127.0.0.1:{server.server_port}"
        command = [sys.executable, "-m", "client_sdk.cli", "log", *map(str, [words[0], place, *words[2:]])]
        child = interruptible(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert json.loads(child.stdout.readline())["number"] == 1
            run("append", home, *files(tmp_path, 2))
            assert json.loads(child.stdout.readline())["number"] == 2
        finally:
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=60)
        server.shutdown()


@pytest.mark.parametrize("number", [1, 2])
def test_duplicates_and_old_numbers_are_refused(tmp_path, run, home, number):
    run("append", home, *files(tmp_path, 1, 2))
    code, _, err = run("append", home, *files(tmp_path, number))
    assert code == 1
    assert f"release {number} of vitrine" in err
    assert len(entries_of(home, _key(home))) == 2


def _key(home):
    return read_verifier(home / "log.pub", "log", kind=1)


def test_what_another_signed_is_refused(tmp_path, run, home):
    (tmp_path / "x.json").write_bytes(entry(1, key=NEXT_KEY))
    code, _, err = run("append", home, tmp_path / "x.json")
    assert (code, "[R1]" in err) == (1, True)


def test_two_writers_at_once(tmp_path, run, home):
    with Store(home).sole():
        code, _, err = run("append", home, *files(tmp_path, 1))
    assert (code, "another run writes here" in err) == (3, True)


@pytest.mark.parametrize("left", ["public/tile", "pending"])
def test_a_log_that_lost_its_configuration_is_not_made_anew_over_its_entries(tmp_path, run, home, publisher_file, left):
    run("append", home, *files(tmp_path, 1))
    if left == "pending":  # its first append was interrupted
        shutil.rmtree(home / "public/tile")
        (home / "pending").write_bytes(b"{}")
    (home / "log.json").unlink()
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    code, _, err = run("append", home)
    assert (code, "it has no log.json; restore it" in err) == (2, True), err
    code, _, err = run("init", home, "--origin", ORIGIN, "--publisher", publisher_file)
    assert (code, "lost its log.json; restore that" in err) == (1, True), err
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_an_interrupted_init_is_run_again(home, run, publisher_file):
    (home / "log.json").unlink()
    key = key_of(home)
    code, out, err = run("init", home, "--origin", "other.example", "--publisher", publisher_file)
    assert (code, out, f"(--origin {ORIGIN}), or give another folder" in err) == (1, "", True), err
    code, out, err = run("init", home, "--origin", ORIGIN, "--publisher", publisher_file)
    assert (code, key in out, f"{home / 'log.key'} is of an init that was interrupted" in err) == (0, True, True)
    assert key_of(home) == key


def test_a_damaged_log_is_refused(tmp_path, run, home):
    run("append", home, *files(tmp_path, 1))
    (home / "public/tile/0/000.p/1").write_bytes(bytes(32))
    code, _, err = run("append", home, *files(tmp_path, 2))
    assert (code, "its tiles are not those of its checkpoint" in err) == (1, True)
    assert run("verify", home, "--log", key_of(home))[0] == 1


def test_usage(tmp_path, run, home, publisher_file):
    for words, says in (
        (("append", home, tmp_path / "none.json"), "cannot read"),
        (("init", tmp_path / "x", "--origin", "a b", "--publisher", publisher_file), "without spaces"),
        (("init", tmp_path / "x", "--origin", "a", "--publisher", publisher_file, "--threshold", 2), "threshold"),
        (
            ("init", tmp_path / "x", "--origin", "a", "--publisher", publisher_file, "--witness", key_of(home)),
            "witness",
        ),
        (("init", tmp_path / "x", "--origin", "a", "--publisher", publisher_file, "--quorum", 1), "quorum"),
        (("verify", home, "--log", "none"), "cannot be read"),
        (("verify", home, "--log", publisher_file), f"--log ({publisher_file}): note key: expected NAME+ID+KEY"),
        (("verify", home, "--log", home / "log.key"), f"--log ({home / 'log.key'}): note key: a private key"),
        (("verify", home, "--log", key_of(home)[:-2]), "not base64"),
        (
            ("bundle", home, publisher_file, "--output", tmp_path / "b", "--publisher", publisher_file),
            "leave out both",
        ),
        (("bundle", home / "public", publisher_file, "--output", tmp_path / "b"), "give --log and --publisher"),
        (watching(home, publisher_file, tmp_path / "s", "--max-age", 5), "at least one with --witness"),
        (watching(home, publisher_file, tmp_path / "s", "--interval", 0), "whole number from 1"),
        (("witness", tmp_path / "w"), "give --name"),
        (("witness", tmp_path / "w", "--checkpoint", publisher_file), "give the key of a log"),
        (("serve", home, "--port", 99_999), "whole number"),
    ):
        code, _, err = run(*words)
        assert (code, says in err) == (2, True), (words, err)


def test_what_cannot_be_written_is_told_with_what_to_do(tmp_path, run, home, witness):
    run("append", home, *files(tmp_path, 1))
    nowhere, release = tmp_path / "none" / "x", tmp_path / "1.json"
    signing = ("witness", witness, "--log", key_of(home), "--checkpoint", home / "public/checkpoint", "--from", home)
    for words in (
        ("bundle", home, release, "--output", nowhere),
        ("append", home, "--export", nowhere),
        (*signing, "--output", nowhere),
    ):
        code, out, err = run(*words)
        told = f"vitrine: usage: cannot write {nowhere}: No such file or directory; see to it, and run the same command"
        assert (code, out, told in err) == (2, "", True), (words, err)


def test_a_log_that_says_it_is_too_large(tmp_path, run, home):
    signer = NoteSigner.from_text((home / "log.key").read_text().strip())
    run("append", home, *files(tmp_path, 1))
    (home / "public/checkpoint").write_bytes(sign_note(Checkpoint(ORIGIN, 10**9, bytes(32)).to_text(), signer))
    for words in (("verify", home, "--log", key_of(home)), ("page", home)):
        code, _, err = run(*words)
        assert (code, "give --most 1000000000" in err) == (3, True), words


@pytest.fixture
def witness(tmp_path, run):
    folder = tmp_path / "witness"
    code, _, err = run("witness", folder, "--name", "witness.example/w1")
    assert code == 0
    assert (folder / "witness.pub").read_text().strip() in err
    return folder


def test_a_witness_by_hand(tmp_path, run, publisher_file, witness):
    """Nothing is connected: the checkpoint goes out in a file, and the signature comes back in one."""
    home, note, line = tmp_path / "log", tmp_path / "checkpoint", tmp_path / "cosignature"
    words = ("--origin", ORIGIN, "--publisher", publisher_file, "--witness", witness / "witness.pub")
    assert run("init", home, *words)[0] == 0
    for number in (1, 2):
        code, _, err = run("append", home, *files(tmp_path, number))
        assert (code, "0 of 1 witnesses signed" in err) == (3, True)
        run("append", home, "--export", note)
        signing = ("witness", witness, "--log", key_of(home), "--checkpoint", note, "--from", home, "--output", line)
        assert run(*signing)[0] == 0
        code, out, err = run("append", home, "--cosignatures", line)
        assert (code, out) == (0, f"{ORIGIN} has {number} entries\n"), err
    shown = json.loads(run("verify", home, "--log", key_of(home), "--witness", witness / "witness.pub", "--json")[1])
    assert list(shown["witnesses"]) == ["witness.example/w1"]


@pytest.mark.parametrize("origin", ["https://log.example/releases", "log.example/releases/", "/log.example"])
def test_a_name_that_could_never_be_put_right(tmp_path, run, publisher_file, origin):
    code, _, err = run("init", tmp_path / "log", "--origin", origin, "--publisher", publisher_file)
    assert (code, "without https://" in err) == (2, True)
    assert not (tmp_path / "log").exists()


def test_what_is_exported_has_been_appended_before(tmp_path, run, home):
    """An export beside files would say that all is well, with the checkpoint of a tree without them."""
    code, _, err = run("append", home, *files(tmp_path, 1), "--export", tmp_path / "checkpoint")
    assert (code, "append the files first" in err) == (2, True)
    assert not (tmp_path / "checkpoint").exists()


def test_a_witness_by_hand_refuses_a_fork(tmp_path, run, home, witness):
    run("append", home, *files(tmp_path, 1, 2))
    signing = ("witness", witness, "--log", key_of(home), "--checkpoint", home / "public/checkpoint", "--from", home)
    code, out, _ = run(*signing)
    assert (code, out.startswith("— witness.example/w1 ")) == (0, True)
    signer = NoteSigner.from_text((home / "log.key").read_text().strip())
    serve_dishonestly(home, [entry(1), entry(5), entry(6)], signer=signer)
    code, out, err = run(*signing)
    assert (code, out) == (1, "")
    assert "the proof of consistency does not hold" in err


def test_the_cosignature_of_another_checkpoint(tmp_path, run, publisher_file, home, witness):
    other = tmp_path / "other"
    words = ("--origin", ORIGIN, "--publisher", publisher_file, "--witness", witness / "witness.pub")
    run("init", other, *words)
    run("append", home, *files(tmp_path, 1))
    signing = ("witness", witness, "--log", key_of(home), "--checkpoint", home / "public/checkpoint")
    (tmp_path / "line").write_text(run(*signing)[1])
    run("append", other, *files(tmp_path, 2))
    code, _, err = run("append", other, "--cosignatures", tmp_path / "line")
    told = f"--cosignatures: {tmp_path / 'line'}: no witness of the log signed this checkpoint"
    assert (code, told in err) == (2, True)


def test_a_witness_at_a_port(tmp_path, run, publisher_file, witness):
    home = tmp_path / "log"
    key = (witness / "witness.pub").read_text().strip()
    words = ("--origin", ORIGIN, "--publisher", publisher_file)
    with_key = tmp_path / "with"
    run("init", with_key, *words)
    logs = (_key(with_key),)
    with endpoint.server(Witness(Store(witness), logs), 0, now=lambda: int(time.time()), say=lambda _: None) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        run("init", home, *words, "--witness", f"{key},{url}")
        shutil.copy(with_key / "log.key", home / "log.key")  # the log that the witness knows
        config = json.loads((home / "log.json").read_text())
        (home / "log.json").write_text(
            json.dumps(config | {"log": key_of(with_key)}, separators=(",", ":"), sort_keys=True)
        )
        shutil.copy(with_key / "public/checkpoint", home / "public/checkpoint")
        code, out, err = run("append", home, *files(tmp_path, 1, 2))
        assert (code, "has 2 entries" in out) == (0, True), err
        server.shutdown()


@pytest.mark.parametrize(
    "action", [("serve", "{home}", "--port", "0"), ("witness", "{witness}", "--log", "{key}", "--serve", "0")]
)
def test_what_serves_says_where_and_ends(home, witness, action):
    words = [word.format(home=home, witness=witness, key=key_of(home)) for word in action]
    command = [sys.executable, "-m", "client_sdk.cli", "log", *words]
    child = interruptible(command, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr.readline().startswith("serving at http://127.0.0.1:")
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 0


def test_a_full_disk_is_no_verdict_and_the_next_run_goes_on(tmp_path, run, home):
    path = files(tmp_path, 1)
    with pytest.MonkeyPatch.context() as patching:
        Faults(patching, at=12, how=HOWS["disk full"])
        code, _, err = run("append", home, *path)
    assert (code, "No space left on device; free space" in err) == (3, True)
    assert run("append", home, *path)[0] == 0
    assert Path(home / "public/tile/0/000.p/1").exists()


def test_a_bundle_proves_to_who_was_there_before_that_the_log_grew(tmp_path, run, home):
    """The client that took the first bundle takes the second; it remembers the size, and the proof is in the bundle."""
    pinned = Publisher(keys=(publisher_key().public_key(),), log=key_of(home))
    kept = tmp_path / "client"
    for number in (1, 2, 3):
        run("append", home, *files(tmp_path, number))
        assert run("bundle", home, tmp_path / f"{number}.json", "--output", tmp_path / "b.json")[0] == 0
        opened = open_releases(tmp_path / "b.json", pinned, now=NOW, memory=Memory(kept))
        assert [found.number for found in opened.releases] == [number]
    fork = tmp_path / "fork"
    signer = NoteSigner.from_text((home / "log.key").read_text().strip())
    serve_dishonestly(fork, [entry(1), entry(2), entry(5), entry(6)], signer=signer)
    (tmp_path / "6.json").write_bytes(entry(6))
    words = ("--log", key_of(home), "--publisher", tmp_path / "publisher.pub", "--since", 3)
    assert run("bundle", fork, tmp_path / "6.json", "--output", tmp_path / "b.json", *words)[0] == 0
    with pytest.raises(VerificationError) as caught:
        open_releases(tmp_path / "b.json", pinned, now=NOW, memory=Memory(kept))
    assert caught.value.rule == "R3.consistency"


def test_a_folder_that_is_called_like_an_address_brings_no_key(tmp_path, run, home, publisher_file, monkeypatch):
    """What is named is an address: its log is asked, by the key that is given for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "https:").mkdir()
    (tmp_path / "https:/127.0.0.1:9").symlink_to(home)
    code, _, err = run("bundle", "https://127.0.0.1:9", publisher_file, "--output", tmp_path / "b")
    assert (code, "https://127.0.0.1:9 is no log of your own" in err) == (2, True), err
