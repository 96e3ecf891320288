"""The command: exit codes, tables, JSON, saved evidence. 0 accepted, 1 refused, 2 usage, 3 no verdict."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from client_sdk import script
from client_sdk.cli import command, main
from client_sdk.dsse import key_id
from client_sdk.release import UNPINNED
from tests.fakes import boot_log
from tests.fakes.simulated_server import ATTESTATION, WORDS, show_other_key
from tests.fakes.simulated_vm import (
    SimulatedVm,
    TestCa,
    ec_key,
    publisher_key,
    release,
    signed,
    tls_certificate,
)

ANSWER = "".join(WORDS)


@pytest.fixture
def run(capsys):
    """Run the command in this process; return its exit code and what it said."""

    def _run(*argv):
        try:
            code = main([str(word) for word in argv])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err, all=said.out + said.err)

    return _run


def test_verify_accepts_and_prints_every_check(run, server, pins):
    said = run("verify", server.origin, *pins.words)
    assert said.code == 0
    for rule in ("R1", "C3.1", "K1.1", "Q8.3", "C2.2", "L7.pcr9", "L10.2", "L11.1", "D2"):
        assert f"ok  {rule}" in said.out
    assert "accepted: " in said.out
    assert "proves nothing about the host" in said.out
    assert "FAILED" not in said.out


def test_verify_prints_json_for_machines(run, server, pins):
    said = run("verify", server.origin, *pins.words, "--json")
    report = json.loads(said.out)
    assert (said.code, report["verdict"], report["origin"]) == (0, "accepted", server.origin)
    assert {check["verdict"] for check in report["checks"]} == {"ok"}


POLICY = ("--policy", "policy.toml")


def without_simulated(pins):
    return pins.words[:-2]


def other_ca(pins):
    pins.tpm_ca.write_bytes(TestCa("other").pem)
    return pins.words


def other_publisher(pins):
    public = publisher_key("other").public_key()
    pins.publisher.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return pins.words


def edited_release(pins):
    envelope = json.loads(pins.release.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"number":1', b'"number":2')
    pins.release.write_text(json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}))
    return pins.words


def re_signed_release(pins):
    """The attacker signs an edited release and names his key wherever a client might look."""
    attacker = publisher_key("attacker")
    envelope = json.loads(signed(release(9), attacker))
    envelope["signatures"][0]["keyid"] = key_id(publisher_key().public_key())
    pins.release.write_text(json.dumps(envelope))
    return pins.words


def other_release(pins):
    different = release()
    measured = different.measurements[0]
    pcrs = tuple((index, b"\1" * 32 if index in {4, 9} else value) for index, value in measured.pcrs)
    changed = {name: getattr(measured, name) for name in measured.__slots__} | {"pcrs": pcrs}
    pins.release.write_bytes(signed(release(measured=type(measured)(**changed))))
    return pins.words


def garbage_release(pins):
    pins.release.write_bytes(b"{}")
    return pins.words


@pytest.mark.parametrize("name", ["verify", "ask"])
def test_a_file_that_is_no_release_is_a_mistake_of_the_callers(run, server, pins, name):
    garbage_release(pins)
    said = run(name, server.origin, *(("a secret",) if name == "ask" else ()), *pins.words)
    assert said.code == 2
    assert str(pins.release) in said.err
    assert "this is no release" in said.err
    assert server.requests == []


def test_a_private_key_is_no_publisher(run, server, pins):
    pem = publisher_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pins.publisher.write_bytes(pem)
    said = run("verify", server.origin, *pins.words)
    assert (said.code, "give the public one" in said.err, str(pins.publisher) in said.err) == (2, True, True)


def test_the_version(run):
    said = run("--version")
    assert (said.code, said.out.startswith("vitrine ")) == (0, True)


@pytest.mark.parametrize("status", [400, 404])
def test_a_request_that_the_service_refuses_is_the_callers(run, server, pins, status):
    server.answer_with["/v1/chat/completions"] = (status, {}, b'{"error":{"message":"no such model"}}')
    said = run("ask", server.origin, "q", *pins.words, "--model", "nope")
    assert (said.code, "refuses the request" in said.err) == (2, True)


def test_an_empty_question_is_not_asked(run, server, pins):
    assert run("ask", server.origin, " ", *pins.words).code == 2
    assert server.requests == []


@pytest.mark.parametrize(
    ("attack", "rule"),
    [
        (without_simulated, "D1"),
        (other_ca, "K1.1"),
        (other_publisher, "R1"),
        (edited_release, "R1"),
        (re_signed_release, "R1"),
        (other_release, "L7.pcr9"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("name", ["verify", "ask"])
def test_refused_with_the_rule_and_no_prompt(run, server, pins, attack, rule, name):
    words = attack(pins)
    question = ("a secret",) if name == "ask" else ()
    said = run(name, server.origin, *question, *words)
    assert said.code == 1, said.all
    assert rule in said.out
    assert "refused" in said.out
    assert server.prompts == []
    refusal = json.loads(run(name, server.origin, *question, *words, "--json").out)
    assert refusal["verdict"] == "refused"
    assert rule in json.dumps(refusal["error"])
    assert refusal["checks"] == [] or refusal["checks"][-1]["verdict"] == "failed" or attack is other_release


def test_a_release_that_does_not_fit_lists_every_pcr_and_what_it_covers(run, server, pins):
    said = run("verify", server.origin, *other_release(pins))
    assert "PCR 4 (the image, a UKI, that the firmware started) is as the release predicts" in said.out
    assert "PCR 9 (kernel command line or initrd as the kernel saw them) is as the release predicts" in said.out
    assert said.out.count("FAILED") == 2


@pytest.mark.parametrize(
    ("fault", "argv"),
    [
        ("no command", ()),
        ("no origin", ("verify",)),
        ("an unknown option", ("verify", "https://h", "--yes")),
        ("no release", ("verify", "https://h", "--publisher", "{publisher}")),
        ("no publisher", ("verify", "https://h", "--release", "{release}")),
        ("no CA to observe", ("observe", "https://h", "--simulated")),
        ("an http URL", ("verify", "http://h", "{words}")),
        ("a path", ("verify", "https://h/v1", "{words}")),
        ("a release that is not there", ("verify", "https://h", "--release", "none", "--publisher", "{publisher}")),
        ("a key that is not there", ("verify", "https://h", "--release", "{release}", "--publisher", "none")),
        ("a key that is none", ("verify", "https://h", "--release", "{release}", "--publisher", "{release}")),
        ("a CA that is none", ("verify", "https://h", "{words}", "--simulated", "{release}")),
        ("a CA of a cloud that is none", ("verify", "https://h", "{pinned}", "--simulated-cloud", "{release}")),
        ("a CA of a cloud that is not there", ("observe", "https://h", "--simulated-cloud", "none")),
        ("two simulated platforms", ("verify", "https://h", "{words}", "--simulated-cloud", "{ca}")),
        ("a simulated cloud and a policy", ("verify", "https://h", "{pinned}", "--simulated-cloud", "{ca}", *POLICY)),
        ("more signers than keys", ("verify", "https://h", "{words}", "--threshold", "2")),
        ("a time that is none", ("verify", "https://h", "{words}", "--wait", "soon")),
        ("a negative time", ("verify", "https://h", "{words}", "--timeout", "-1")),
        ("an instant without evidence", ("verify", "https://h", "{words}", "--at", "2026-01-01T00:00:00Z")),
        ("an instant that is none", ("verify", "https://h", "{words}", "--evidence", "x", "--at", "now")),
        ("save and replay", ("verify", "https://h", "{words}", "--evidence", "x", "--save", "y")),
        ("evidence that is not there", ("verify", "https://h", "{words}", "--evidence", "none")),
        ("an answer of no length", ("ask", "https://h", "q", "{words}", "--max-tokens", "0")),
    ],
)
def test_usage(run, pins, fault, argv):
    words = []
    for word in argv:
        named = {"release": pins.release, "publisher": pins.publisher, "ca": pins.tpm_ca}
        many = {"{words}": pins.words, "{pinned}": pins.words[:-2]}
        words += many.get(word) or [word.format(**named)]
    said = run(*words)
    assert said.code == 2, said.all
    assert said.err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("verify",), "required: --release, --publisher; and ORIGIN, or --evidence with --nonce and --at"),
        (("verify", "https://h", "{words}", "--polcy", "p.toml"), "--polcy p.toml; write --policy if that is meant"),
        (("verify", "https://h", "{words}", "--polic", "p.toml"), "--polic p.toml; write --policy if that is meant"),
        (("verify", "https://h", "{words}", "--colateral=x"), "write --collateral if that is meant"),
        (("verify", "https://h", "{words}", "--yes"), "unrecognized arguments: --yes\n"),
        (
            ("ask", "--release", "r", "s", "--publisher", "a.pub", "b.pub", "https://h", "q"),
            "argument --publisher: https://h is no file, and an option of several values takes every word up to the ",
        ),
        (
            ("verify", "--publisher", "a.pub", "https://h", "--release", "r"),
            "next option: write https://h before the options\n",
        ),
        (
            ("log", "init", "--origin", "o", "--publisher", "a.pub", "b.pub", "mylog"),
            "required: LOG; --publisher took a.pub b.pub mylog, and an option of several values takes every word ",
        ),
        (("log", "init", "mylog", "--publisher", "a.pub", "b.pub"), "required: --origin\n"),
        (("verify", "http://h", "{words}"), "got http://h; write https://h\n"),
        (("verify", "localhost:8443", "{words}"), "got localhost:8443; write https://localhost:8443\n"),
        (("verify", "h.example/v1", "{words}"), "got h.example/v1; write https://h.example\n"),
        (("verify", "https://[::1]:8443/v1", "{words}"), "write https://[::1]:8443\n"),
        (("verify", "https://u:p@h", "{words}"), "got https://u:p@h\n"),
        (
            ("verify", "https://h", "{words}", "--collateral", "nope"),
            "nope: no folder of collateral (no index.json); make one with `vitrine collateral fetch EVIDENCE --output",
        ),
        (
            ("verify", "https://h", "{words}", "--collateral", "{release}"),
            "a file; give the folder that `vitrine collateral fetch` wrote",
        ),
        (
            ("collateral", "show", "nope"),
            "nope is no folder of collateral (no index.json); make one with `vitrine collateral fetch EVIDENCE --o",
        ),
    ],
)
def test_usage_says_what_to_write(run, pins, argv, says):
    words = []
    for word in argv:
        words += pins.words if word == "{words}" else [word.format(release=pins.release)]
    said = run(*words)
    assert (said.code, says in said.err) == (2, True), said.all


def test_a_refusal_by_a_policy_names_its_rules_for_machines(run, server, pins):
    error = json.loads(run("verify", server.origin, *other_release(pins), "--json").out)["error"]
    assert error["rule"] == error["rules"][0]
    assert set(error["rules"]) == {failure["clause"].partition(":")[0] for failure in error["failures"]}


def test_unreachable_is_no_verdict(run, pins):
    said = run("verify", "https://127.0.0.1:9", *pins.words)
    assert (said.code, "cannot reach" in said.out) == (3, True)
    assert json.loads(run("verify", "https://127.0.0.1:9", *pins.words, "--json").out)["verdict"] == "no verdict"
    assert run("ask", "https://127.0.0.1:9", "q", *pins.words).code == 3
    assert run("observe", "https://127.0.0.1:9", "--simulated", pins.tpm_ca).code == 3


def test_a_booting_vm_is_no_verdict_and_can_be_waited_for(run, server, pins, monkeypatch):
    server.answer_with[ATTESTATION] = (503, {"Retry-After": "1"}, b"{}")
    assert run("verify", server.origin, *pins.words).code == 3

    def boot(_seconds):
        server.answer_with.clear()

    monkeypatch.setattr("client_sdk.cli.options.time.sleep", boot)
    said = run("verify", server.origin, *pins.words, "--wait", "30")
    assert (said.code, "waiting: " in said.err) == (0, True)


def test_ask_streams_the_answer(run, server, pins):
    server.loading = 1
    assert run("ask", server.origin, "a question", *pins.words).code == 3
    assert server.prompts == []
    server.loading = 1
    said = run("ask", server.origin, "What is the capital of France?", *pins.words, "--wait", "5", "--system", "Short.")
    assert (said.code, said.out) == (0, ANSWER + "\n")
    assert "verified: " in said.err
    sent = json.loads(server.prompts[-1])
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert (sent["temperature"], sent["stream"], sent["max_tokens"]) == (0, True, 256)


def test_ask_in_json(run, server, pins):
    said = run("ask", server.origin, "q", *pins.words, "--json", "--model", "other", "--max-tokens", "3")
    report = json.loads(said.out)
    assert (said.code, report["answer"], report["model"], report["verdict"]) == (0, ANSWER, "other", "accepted")


def test_ask_an_engine_that_fails_is_no_verdict_on_the_machine(run, server, pins):
    server.answer_with["/v1/chat/completions"] = (500, {}, b"{}")
    said = run("ask", server.origin, "q", *pins.words)
    assert (said.code, "verified, but there is no answer" in said.err) == (3, True)
    assert len(server.prompts) == 1


def test_ask_an_engine_that_fails_in_json(run, server, pins):
    server.answer_with["/v1/chat/completions"] = (500, {}, b"{}")
    said = run("ask", server.origin, "q", *pins.words, "--json")
    assert (said.code, json.loads(said.out)["verdict"]) == (3, "no answer")


def test_ask_a_service_without_a_model(run, server, pins):
    server.answer_with["/v1/models"] = (200, {"Content-Type": "application/json"}, b'{"object":"list","data":[]}')
    said = run("ask", server.origin, "q", *pins.words)
    assert (said.code, "--model" in said.err) == (2, True)


def test_the_time_limit_is_also_that_of_ask(run, pins):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        where = f"https://127.0.0.1:{silent.getsockname()[1]}"
        assert run("ask", where, "q", *pins.words, "--timeout", "0.3").code == 3
        assert time.monotonic() - begun < 10  # the limit of a handshake alone would be 15


def test_ask_an_impostor(run, server, pins):
    show_other_key(server, ec_key("impostor"), tls_certificate(ec_key("impostor")))
    said = run("ask", server.origin, "a secret", *pins.words)
    assert (said.code, "C3.1" in said.out) == (1, True)
    assert server.prompts == []


def test_observe_prints_measurements(run, server, pins):
    said = run("observe", server.origin, "--simulated", pins.tpm_ca)
    assert said.code == 0
    assert "compared with no release" in said.out
    assert said.out.count("PCR ") > 14
    report = json.loads(run("observe", server.origin, "--simulated", pins.tpm_ca, "--json").out)
    assert report["verdict"] == "verified"
    assert report["pcrs"]["12"] == "00" * 32
    assert UNPINNED not in str(report)


def test_observe_shows_what_a_release_states_of_the_firmware(run, server, pins):
    """Each value replays to the quoted PCR: a host that tells another log is refused before anything is shown."""
    report = json.loads(run("observe", server.origin, "--simulated", pins.tpm_ca, "--json").out)
    tables = [event.digest.hex() for event in server.vm.log if event.pcr == 1 and event.kind != boot_log.SEPARATOR]
    assert tables
    assert report["firmware"]["pcr1"] == list(dict.fromkeys(tables))
    assert report["firmware"]["rtmr0"] == []
    assert report["firmware"]["variables"] == dict.fromkeys(("SecureBoot", "PK", "KEK", "db", "dbx"), "")
    assert {image["pcr"] for image in report["firmware"]["images"]} == {4}
    text = run("observe", server.origin, "--simulated", pins.tpm_ca).out
    assert all(f"pcr1 event {digest}" in text for digest in tables)
    assert "variable SecureBoot (empty)" in text


def test_observe_refuses_what_is_not_genuine(run, server, pins):
    server.vm.sign_with = ec_key("impostor")
    said = run("observe", server.origin, "--simulated", pins.tpm_ca)
    assert (said.code, "FAILED  Q6.2" in said.out) == (1, True)
    assert run("observe", server.origin).code == 1, "without the simulated CA it is refused by D1"
    assert json.loads(run("observe", server.origin, "--json").out)["error"]["rule"] == "D1"


@pytest.fixture
def saved(run, server, pins, tmp_path):
    path = tmp_path / "saved.json"
    assert run("verify", server.origin, *pins.words, "--save", path).code == 0
    return path


def test_saved_evidence_gives_the_same_verdict(run, server, pins, saved):
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    count = server.connections
    said = run("verify", server.origin, *pins.words, "--evidence", saved)
    assert (said.code, server.connections) == (0, count)
    assert "says nothing about now" in said.out
    assert json.loads(run("verify", server.origin, *pins.words, "--evidence", saved, "--json").out)["saved"] is True


def test_a_refusal_is_saved_too(run, server, pins, tmp_path):
    server.vm.sign_with = ec_key("impostor")
    path = tmp_path / "refused.json"
    assert run("verify", server.origin, *pins.words, "--save", path).code == 1
    server.vm.sign_with = None
    assert "Q6.2" in run("verify", server.origin, *pins.words, "--evidence", path).out


def test_saved_evidence_is_judged_at_an_instant_of_the_callers(run, server, pins, saved):
    said = run("verify", server.origin, *pins.words, "--evidence", saved, "--at", "2020-01-01T00:00:00Z")
    assert (said.code, "R6" in said.out) == (1, True)


def failed(said):
    """Return the ids of the rows that failed."""
    return re.findall(r"^FAILED +(\S+)", said.out, re.MULTILINE)


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))


def evidence_of(vm):
    return base64.b64encode(vm.evidence(bytes(32)).to_json()).decode()


@pytest.mark.parametrize(
    ("attack", "fields", "says"),
    [
        ("a wrong nonce", {"nonce": "00" * 32}, "C2.2"),
        ("evidence that is none", {"evidence": "AAAA"}, "refused"),
        ("another VM's evidence", {"evidence": evidence_of(SimulatedVm("other"))}, "C3.1"),
        ("no activation", {"activation": None}, "Q8.3"),
        ("another connection's certificate", {"certificate": "AAAA"}, "C3.1"),
    ],
)
def test_an_edited_file_is_refused(run, server, pins, saved, attack, fields, says):
    edit(saved, **fields)
    said = run("verify", server.origin, *pins.words, "--evidence", saved)
    assert (said.code, says in said.out) == (1, True), said.all


@pytest.mark.parametrize(
    ("fault", "fields", "says"),
    [
        ("a nonce of another size", {"nonce": "00"}, "expected 32 bytes of hex, got 1; save it again"),
        ("another version", {"version": 2}, "is not as `vitrine verify --save` wrote it: $.version: this client reads"),
        ("a field too many", {"more": 1}, "unknown key"),
        ("another service", {"origin": "https://other:1"}, "the file is about https://other:1, not about https://127"),
        ("an activation of another form", {"activation": {}}, "$.activation: missing"),
    ],
)
def test_a_file_that_is_not_as_it_was_saved_is_the_callers(run, server, pins, saved, fault, fields, says):
    edit(saved, **fields)
    said = run("verify", server.origin, *pins.words, "--evidence", saved)
    assert (said.code, says in said.err, said.out) == (2, True, ""), said.all


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 99_999, b'{"evidence":1}', b"<html>"])
def test_a_file_that_is_no_evidence_is_the_callers(run, server, pins, tmp_path, data):
    path = tmp_path / "other.json"
    path.write_bytes(data)
    stored = ("--nonce", "00" * 32, "--at", "2026-01-31T12:00:00Z")
    for words in ((server.origin,), stored):
        said = run("verify", *words, *pins.words, "--evidence", path)
        assert (said.code, said.out) == (2, "")
        assert f"--evidence: {path} is no evidence; give a file of `vitrine verify --save`, or the body of" in said.err


def test_raw_evidence_in_place_of_a_saved_file_is_told_how_to_judge_it(run, server, pins, tmp_path):
    path = tmp_path / "raw.json"
    path.write_bytes(server.vm.evidence(bytes(32)).to_json())
    said = run("verify", server.origin, *pins.words, "--evidence", path)
    says = f"is raw evidence, not a file of `vitrine verify --save`; judge it with --evidence {path} --nonce HEX --at"
    assert (said.code, says in said.err) == (2, True), said.all


@pytest.mark.parametrize("name", ["verify", "ask", "observe"])
def test_a_file_in_place_of_an_origin_is_told_where_files_go(run, pins, saved, name):
    words = {"verify": pins.words, "ask": ("q", *pins.words), "observe": ()}[name]
    said = run(name, saved, *words)
    says = (
        f"got {saved}; this is a file: of the commands, `vitrine verify` judges evidence in files, by --evidence FILE"
    )
    assert (said.code, says in said.err) == (2, True), said.all
    assert "this is a file" not in run(name, "x" * 5000, *words).err


def test_a_saved_file_in_place_of_raw_evidence_is_told_how_to_judge_it(run, server, pins, saved):
    stored = ("--evidence", saved, "--nonce", "00" * 32, "--at", "2026-01-31T12:00:00Z")
    said = run("verify", *stored, *pins.words)
    says = "is a file of `vitrine verify --save`, not raw evidence; it has its nonce in it, so judge it with ORIGIN"
    assert (said.code, says in said.err) == (2, True), said.all


def test_the_help_of_evidence_names_both_kinds(run):
    said = " ".join(run("verify", "--help").out.split())
    assert "judge a file instead of asking, which says nothing about now: one of --save for ORIGIN, or raw" in said
    assert "another name of --at" in said


def test_an_edited_activation_is_refused(run, server, pins, saved):
    activation = json.loads(saved.read_bytes())["activation"]
    for field, rule in (("answer", "Q8.3"), ("ak_name", "Q8.2"), ("ek", "Q8.2")):
        edit(saved, activation=activation | {field: "00" * 32})
        said = run("verify", server.origin, *pins.words, "--evidence", saved)
        assert (said.code, failed(said)) == (1, [rule]), field
    edit(saved, activation=activation | {"secret": ""})
    assert run("verify", server.origin, *pins.words, "--evidence", saved).code == 2


def test_older_evidence_of_the_same_vm_is_refused(run, server, pins, saved):
    edit(saved, evidence=evidence_of(server.vm))
    said = run("verify", server.origin, *pins.words, "--evidence", saved)
    assert (said.code, failed(said)) == (1, ["C2.2"])


def test_saving_where_nothing_can_be_written(run, server, pins, tmp_path):
    said = run("verify", server.origin, *pins.words, "--save", tmp_path / "no" / "such" / "folder")
    assert (said.code, "cannot write" in said.err) == (2, True)


def test_what_is_no_plain_file_is_not_replaced(run, server, pins, tmp_path):
    """Renamed to ``/dev/stdout``, what root writes would take that away from everybody."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "target")
    for option in ("--save", "--html"):
        for path in (pipe, link):
            said = run("verify", server.origin, *pins.words, option, path)
            assert (said.code, f"cannot write {path}: it is no plain file" in said.err) == (2, True), said.all
    assert (pipe.is_fifo(), link.is_symlink(), (tmp_path / "target").exists()) == (True, True, False)


def test_other_packages_add_commands(run, monkeypatch):
    def fake(group):
        assert group == "vitrine.commands"
        entry = EntryPoint("hello", "tests.client_sdk.test_cli:_register_hello", group)
        broken = EntryPoint("broken", "tests.no_such_module:register", group)
        return (entry, broken)

    monkeypatch.setattr(command, "entry_points", fake)
    said = run("hello")
    assert said.code == 0
    assert "hello" in said.out
    assert "'broken'" in said.err


def _register_hello(commands):
    def greet(_arguments):
        sys.stdout.write("hello\n")
        return 0

    commands.add_parser("hello").set_defaults(run=greet)


@pytest.mark.parametrize("name", ["verify", "ask", "observe", "log verify", "log page"])
def test_help_has_examples(run, name):
    said = run(*name.split(), "--help")
    assert said.code == 0
    assert f"examples:\n  vitrine {name}" in said.out


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("ask",), "vitrine ask ORIGIN QUESTION [-h] --release FILE"),
        (("log", "append"), "vitrine log append LOG [FILE ...] [-h] [--cosignatures FILE [FILE ...]]"),
        (("log", "witness"), "vitrine log witness [-h] [--name NAME]"),
    ],
)
def test_the_usage_shows_first_what_an_option_of_several_values_would_take(run, words, shown):
    usage = run(*words, "--help").out.partition("\n\n")[0]
    assert " ".join(usage.split()).startswith(f"usage: {shown}")
    assert max(map(len, usage.splitlines())) <= 80


def test_an_interrupt_is_one_line_also_while_the_command_is_loaded(run, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patching:
        patching.setattr(command, "entry_points", interrupted)
        said = run("rules")
    assert (said.code, said.err) == (3, "vitrine: interrupted: no verdict\n")
    monkeypatch.setattr(script, "import_module", interrupted)
    assert (script.main(), capsys.readouterr().err) == (3, "vitrine: interrupted: no verdict\n")


def test_the_installed_command_runs():
    done = subprocess.run(
        [sys.executable, "-m", "client_sdk.cli", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "exit codes:" in done.stdout) == (0, True), done.stderr
