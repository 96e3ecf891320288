"""The attester as systemd starts it: one process, a ready message, a restart that must fail."""

from __future__ import annotations

import base64
import json
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.attest.__main__ import read_config
from tests.serving.fixtures import Caller, ask, nonce, start_swtpm, store_ek_certificate
from tests.serving.tpm_wire import TpmWire
from tests.sockets import until_listens

OPTIONS = ["--tcti", "t", "--selfcheck", "s", "--tls", "k", "--socket", "a"]
ROOT = Path(__file__).resolve().parents[3]


def start(software_tpm, verdict, tls, path, notify=None):
    argv = [sys.executable, "-S", "-P", "-m", "serving.attest", "--tcti", software_tpm.tcti]
    argv += ["--selfcheck", str(verdict), "--tls", str(tls), "--socket", str(path)]
    environment = {"PYTHONPATH": f"{ROOT}:/usr/lib/python3/dist-packages", "TSS2_LOG": "all+NONE"}
    if notify:
        environment["NOTIFY_SOCKET"] = str(notify)
    return subprocess.Popen(argv, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@contextmanager
def listening(software_tpm, verdict, tls, path):
    """Give a process that listens; it is killed where the block leaves it running."""
    process = start(software_tpm, verdict, tls, path)
    try:
        until_listens(process, path)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def notify(tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(60)
        yield path, channel


def test_it_says_ready_only_when_it_answers_and_a_second_start_fails(software_tpm, verdict, tls, tmp_path, notify):
    path, (notify_path, channel) = tmp_path / "a.sock", notify
    process = start(software_tpm, verdict, tls, path, notify_path)
    try:
        assert channel.recv(100) == b"READY=1"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert Caller(path).send(ask(nonce(1))).quote()
    finally:
        process.kill()
        output = process.communicate()
    assert output == (b"", b"")
    again = start(software_tpm, verdict, tls, tmp_path / "b.sock", notify_path)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 1
    assert b"restart after sealed" in errors
    assert not (tmp_path / "b.sock").exists()
    channel.setblocking(False)
    with pytest.raises(BlockingIOError):
        channel.recv(100)


def test_a_failed_self_check_ends_the_process_before_any_socket(software_tpm, verdict, tls, tmp_path):
    (verdict / "passed.json").unlink()
    process = start(software_tpm, verdict, tls, tmp_path / "a.sock")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"self" in errors or b"verdict" in errors
    assert not (tmp_path / "a.sock").exists()


def wrong_pcr(answer):
    """Change the digest of the PCRs, which ends the quoted bytes; a signature and an empty authorisation follow."""
    return answer[:-80] + bytes([answer[-80] ^ 1]) + answer[-79:]


def test_a_tpm_whose_pcrs_are_not_those_of_sealed_ends_the_process(verdict, tls, tmp_path, wire):
    with listening(wire, verdict, tls, tmp_path / "a.sock") as process:
        assert Caller(tmp_path / "a.sock").send(ask(nonce(1))).quote()
        wire.change = wrong_pcr
        assert Caller(tmp_path / "a.sock").send(ask(nonce(2))).answer() is None
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"changed since sealed" in errors


def test_a_tpm_that_went_away_ends_the_process(verdict, tls, tmp_path, wire):
    with listening(wire, verdict, tls, tmp_path / "a.sock") as process:
        wire.cut = True
        assert Caller(tmp_path / "a.sock").send(ask(nonce(2))).answer() is None
        process.communicate(timeout=60)
    assert process.returncode == 1


@pytest.fixture
def mortal(tmp_path):
    """A software TPM behind a wire, and what starts it again: what it has stored is kept, as in a real one."""
    folder, running = tmp_path / "swtpm", []

    def begin():
        for process in running:
            process.kill()
            process.wait()
        for path in folder.glob("tpm*"):
            if path.is_socket():
                path.unlink()
        process, tcti = start_swtpm(folder)
        running.append(process)
        return tcti

    store_ek_certificate(begin())
    wire = TpmWire(folder / "tpm", tmp_path / "wire")
    yield wire, begin
    wire.close()
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.parametrize("question", ["quote", "activate, then quote"])
def test_a_tpm_that_was_started_again_ends_the_process(verdict, tls, tmp_path, mortal, question):
    """Its keys and PCRs are not those of *sealed*: the process ends, and with it the machine."""
    wire, begin = mortal
    with listening(wire, verdict, tls, tmp_path / "a.sock") as process:
        caller = Caller(tmp_path / "a.sock")
        assert caller.send(ask(nonce(1))).quote()
        begin()
        if question != "quote":
            fields = {"credential_blob": "A" * 172, "encrypted_secret": "A" * 344}
            caller.send(json.dumps({"op": "activate"} | fields).encode() + b"\n")
            assert "secret" not in caller.answer()
        assert Caller(tmp_path / "a.sock").send(ask(nonce(2))).answer() is None
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"attester: quote" in errors


def test_a_credential_of_garbage_does_not_end_the_process(software_tpm, verdict, tls, tmp_path):
    with listening(software_tpm, verdict, tls, tmp_path / "a.sock"):
        caller = Caller(tmp_path / "a.sock")
        for secret in (b"\xff" * 256, b"y" * 256, b"", bytes(256)):
            fields = {"credential_blob": "A" * 172, "encrypted_secret": base64.b64encode(secret).decode()}
            assert caller.send(json.dumps({"op": "activate"} | fields).encode() + b"\n").error() == "activation_refused"
        assert caller.send(ask(nonce(1))).quote()


@pytest.mark.parametrize("change", [["--platform", "gcp"], ["--spki", "00"], ["--nonce", "00"]])
def test_an_option_that_is_not_known_is_refused(change):
    with pytest.raises(SystemExit) as caught:
        read_config([*OPTIONS, *change], {})
    assert caught.value.code == 2


@pytest.mark.parametrize("missing", range(0, len(OPTIONS), 2))
def test_no_option_has_a_default(missing):
    with pytest.raises(SystemExit) as caught:
        read_config(OPTIONS[:missing] + OPTIONS[missing + 2 :], {})
    assert caught.value.code == 2
