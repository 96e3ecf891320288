"""``vitrine token`` from its words to its exit code: a token is on standard output and nowhere else."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from client_sdk.access_token import Claims, take_apart
from client_sdk.cli import main
from provisioner import keys
from provisioner.keys import load
from provisioner.tokens.issue import Grant, issue


@pytest.fixture
def token(capfd):
    def call(*words):
        try:
            code = main(["token", *map(str, words)])
        except SystemExit as error:
            code = error.code
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def key(token, tmp_path):
    assert token("keygen", tmp_path / "issuer.key")[0] == 0
    return tmp_path / "issuer.key"


ISSUE = ("--service", "vitrine-test", "--model", "m")


def claims(text):
    return Claims.from_json(take_apart(text.strip()).payload)


def test_a_key_is_made_for_its_owner_alone(key, tmp_path):
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "issuer.pub").stat().st_mode & 0o777 == 0o644
    assert b"PRIVATE" not in (tmp_path / "issuer.pub").read_bytes()


def test_keygen_says_what_to_write_in_the_inventory_and_prints_no_secret(token, tmp_path):
    code, out, err = token("keygen", tmp_path / "k.key")
    assert (code, out) == (0, "")
    assert "gateway_token_issuer_key: \"{{ lookup('ansible.builtin.file', '" in err
    assert (tmp_path / "k.key").read_text().splitlines()[1] not in err
    told = json.loads(token("keygen", tmp_path / "l.key", "--json")[1])
    assert set(told) == {"key", "public", "issuer"}


@pytest.mark.parametrize("there", ["issuer.key", "issuer.pub"])
def test_no_key_is_ever_replaced(token, tmp_path, there):
    (tmp_path / there).write_text("mine")
    code, out, err = token("keygen", tmp_path / "issuer.key")
    assert (code, out, there in err) == (2, "", True)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize("there", ["issuer.key", "issuer.pub"])
def test_a_link_to_nothing_in_a_keys_place_is_not_replaced(token, tmp_path, there):
    (tmp_path / there).symlink_to(tmp_path / "nothing")
    assert token("keygen", tmp_path / "issuer.key")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_a_key_whose_public_half_cannot_be_written_is_not_left_behind(token, tmp_path, monkeypatch):
    replace = keys.replace_file

    def full(path, *rest):
        if path.suffix == ".pub":
            raise OSError(28, "No space left on device", str(path))
        replace(path, *rest)

    monkeypatch.setattr(keys, "replace_file", full)
    assert token("keygen", tmp_path / "issuer.key")[0] == 2
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["x.pub", ".", "nowhere/x.pub"])
def test_a_place_that_cannot_be_a_private_keys_is_refused(token, tmp_path, name):
    assert token("keygen", tmp_path / name)[0] == 2


def test_a_token_is_printed_once_and_nothing_else_is(token, key):
    code, out, err = token("issue", "--key", key, *ISSUE, "--rate", 7, "--tokens", 9, "--hours", 1)
    assert (code, out.count("\n")) == (0, 1)
    assert out.strip() not in err
    said = claims(out)
    assert (said.service, said.models, said.rate, said.tokens) == ("vitrine-test", ("m",), 7, 9)
    assert said.expires_at - said.issued_at == 3600
    apart = take_apart(out.strip())
    load(key).public_key().verify(apart.signature, apart.signed)
    assert said.subject in err


def test_without_words_about_it_a_token_lives_for_a_day(token, key):
    said = claims(token("issue", "--key", key, *ISSUE)[1])
    assert said.expires_at - said.issued_at == 24 * 3600
    assert abs(said.issued_at - time.time()) < 60


def test_two_tokens_have_nothing_in_common_unless_it_is_said(token, key):
    first, second = (claims(token("issue", "--key", key, *ISSUE)[1]) for _ in range(2))
    assert first.subject != second.subject
    assert first.token_id != second.token_id
    third = claims(token("issue", "--key", key, *ISSUE, "--subject", first.subject)[1])
    assert third.subject == first.subject


def test_renewing_keeps_the_subject_and_its_rights_and_nothing_else(token, key, tmp_path):
    old = issue(load(key), Grant(service="s", models=("m",), rate=3, tokens=5, hours=1), now=1_000_000)
    (tmp_path / "old").write_text(old.token + "\n")
    new = claims(token("renew", "--key", key, tmp_path / "old", "--hours", 2)[1])
    kept = ("service", "subject", "models", "rate", "tokens")
    assert [getattr(new, name) for name in kept] == [getattr(old.claims, name) for name in kept]
    assert new.token_id != old.claims.token_id
    assert new.expires_at - new.issued_at == 7200


def test_only_a_token_of_the_same_key_is_renewed(token, key, tmp_path):
    token("keygen", tmp_path / "other.key")
    theirs = token("issue", "--key", tmp_path / "other.key", *ISSUE)[1]
    mine = token("issue", "--key", key, *ISSUE)[1].strip()
    more = token("issue", "--key", key, *ISSUE, "--rate", 1000)[1].strip()
    mixed = ".".join((mine.split(".")[0], more.split(".")[1], mine.split(".")[2]))
    for forged in (theirs, mixed, mine[:-9], "x"):
        (tmp_path / "old").write_text(forged)
        code, out, err = token("renew", "--key", key, tmp_path / "old")
        assert (code, out, "a token that this key signed" in err) == (2, "", True)


def test_show_reads_without_trusting_and_says_so(token, key, tmp_path, monkeypatch):
    text = token("issue", "--key", key, *ISSUE)[1]
    forged = text.strip()[:-40] + "A" * 40
    (tmp_path / "token").write_text(forged)
    code, out, err = token("show", tmp_path / "token")
    assert (code, "vitrine-test" in out, "not verified" in err) == (0, True, True)
    assert forged not in out + err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    told = json.loads(token("show", "--json")[1])
    assert (told["verified"], told["claims"]["models"]) == (False, ["m"])


def test_a_token_that_names_a_command_of_the_terminal_is_shown_harmlessly(token, key, tmp_path):
    made = issue(load(key), Grant(service="s", models=("mödel",), rate=1, tokens=1, hours=1), now=10**17)
    (tmp_path / "token").write_text(made.token)
    code, out, _ = token("show", tmp_path / "token")
    assert (code, "mödel" in out, "seconds since 1970" in out) == (0, True, True)


def test_json_has_the_token_beside_what_it_says(token, key):
    code, out, err = token("issue", "--key", key, *ISSUE, "--json")
    told = json.loads(out)
    assert (code, err, set(told)) == (0, "", {"token", "claims"})
    assert claims(told["token"]).as_dict() == told["claims"]


@pytest.mark.parametrize(
    ("mistake", "words", "said"),
    [
        ("longer than a week", ("--hours", "169"), "from 1 to 168"),
        ("no time", ("--hours", "0"), "from 1 to 168"),
        ("half an hour", ("--hours", "0.5"), "from 1 to 168"),
        ("digits of another script", ("--hours", "٣"), "from 1 to 168"),
        ("no rate", ("--rate", "0"), "from 1 to 100000"),
        ("a budget beyond all", ("--tokens", "9" * 30), "from 1 to 1000000000000"),
        ("a name for a subject", ("--subject", "alice@example.com"), "nobody's name"),
        ("a model twice", ("--model", "m"), "different models"),
        ("too many models", ("--model", *map(str, range(40))), "at most 32"),
        ("models too long for one token", ("--model", *(f"{i:0128}" for i in range(30))), "4096"),
        ("an empty service", ("--service", "\x1b[2J"), "printable"),
    ],
)
def test_what_no_token_can_say_is_usage(token, key, mistake, words, said):
    code, out, err = token("issue", "--key", key, *ISSUE, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_a_key_that_others_may_read_signs_nothing(token, key):
    key.chmod(0o640)
    code, out, err = token("issue", "--key", key, *ISSUE)
    assert (code, out, "mode 0600" in err) == (2, "", True)


@pytest.mark.parametrize(("content", "said"), [(None, "got nothing"), ("x", "PEM"), ("public", "PEM")])
def test_a_file_that_is_no_private_key_signs_nothing(token, key, tmp_path, content, said):
    path = tmp_path / "wrong"
    if content is not None:
        path.write_text((tmp_path / "issuer.pub").read_text() if content == "public" else content)
        path.chmod(0o600)
    code, out, err = token("issue", "--key", path, *ISSUE)
    assert (code, out, said in err) == (2, "", True)


@pytest.mark.parametrize("words", [(), ("show", "/nowhere"), ("issue",), ("renew", "--key", "k"), ("revoke",)])
def test_words_that_are_no_command_are_usage(token, words):
    code, out, err = token(*words)
    assert (code, out, "Traceback" in err) == (2, "", False)


LONG = "x" * 300
WRONG_FILES = [
    ("show {none}", "{none}: expected a file with a token, got nothing: no such file"),
    ("show {folder}", "{folder}: expected a file with a token, got a folder"),
    ("show {key}/x", "{key}/x: expected a file with a token, got a file where a folder has to be"),
    (f"show {LONG}", f"{LONG}: expected a file with a token, got file name too long"),
    ("renew --key {key} {none}", "{none}: expected a file with a token, got nothing: no such file"),
    (f"renew --key {LONG} {{none}}", f"{LONG}: expected the issuer's private key, got file name too long"),
    ("keygen {key}/x.key", "{key}/x.key: expected a place where a key can be written, got a file where a folder has"),
    (f"keygen {{folder}}/{LONG}.key", f"/{LONG}.key: expected a place where a key can be written, got file name too l"),
]


@pytest.mark.parametrize(("words", "told"), WRONG_FILES)
def test_a_file_that_the_system_refuses_is_told_in_words(token, key, tmp_path, words, told):
    (tmp_path / "folder").mkdir()
    places = {"none": tmp_path / "none", "folder": tmp_path / "folder", "key": key}
    code, out, err = token(*words.format(**places).split())
    assert (code, out, told.format(**places) in err, "Errno" in err) == (2, "", True, False), err
    assert [*(tmp_path / "folder").iterdir()] == []


@pytest.mark.parametrize("action", ["issue", "renew"])
def test_a_key_that_this_user_may_not_read_is_told_in_words(token, key, tmp_path, action, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(key), "read_bytes", denied)
    words = ISSUE if action == "issue" else (tmp_path / "old",)
    code, out, err = token(action, "--key", key, *words)
    told = f"vitrine: usage: {key}: expected the issuer's private key, got one that this user may not use"
    assert (code, out, err.startswith(told), "Errno" in err) == (2, "", True, False), err


def test_a_folder_as_standard_input_is_told_in_words(token, tmp_path, monkeypatch):
    class Folder(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, _buffer):
            raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Folder())))
    code, out, err = token("show")
    assert (code, out, err) == (2, "", "vitrine: usage: standard input: expected a file with a token, got a folder\n")


@pytest.mark.parametrize("words", [("show",), ("show", "-")])
def test_standard_input_that_is_closed_is_told_in_words(token, monkeypatch, words):
    monkeypatch.setattr(sys, "stdin", None)
    told = "standard input: expected a file with a token, got nothing: it is closed"
    assert token(*words) == (2, "", f"vitrine: usage: {told}\n")


def test_standard_output_that_is_full_is_no_mistake_of_usage(key):
    """As with every command: 3, and what is to be done about it."""
    command = [sys.executable, "-m", "client_sdk.cli", "token", "issue", "--key", str(key), *ISSUE]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "cannot write to standard output" in done.stderr
    assert "Errno" not in done.stderr
