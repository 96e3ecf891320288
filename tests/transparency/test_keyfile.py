"""Private keys of logs and witnesses: what is opened is judged before a byte of it is read, and never by its name."""

from __future__ import annotations

import os
import socket
import time

import pytest

from client_sdk.errors import LogDamagedError, LogStorageError
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner
from client_sdk.transparency.log import keyfile
from client_sdk.transparency.log.keyfile import MAX_KEY, create, load
from client_sdk.transparency.log.store import Store
from client_sdk.transparency.watchers import witness

NAME = "witness.key"
OTHER = NoteSigner("witness.example/other", bytes([1] * 32), COSIGNATURE)
SIGNER = NoteSigner("witness.example/w1", bytes(32), COSIGNATURE)


@pytest.fixture
def path(tmp_path):
    """Where a key is, written as a log or a witness writes it."""
    create(Store(tmp_path), NAME, SIGNER)
    return tmp_path / NAME


def refused(path, match, error=LogDamagedError):
    began = time.monotonic()
    with pytest.raises(error, match=match) as caught:
        load(Store(path.parent), path.name)
    assert time.monotonic() - began < 5
    assert "PRIVATE" not in str(caught.value)
    assert str(path) in str(caught.value)


def instead(path, make):
    path.unlink()
    make(path)


def test_control_is_read(path):
    assert load(Store(path.parent), NAME) == SIGNER


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o620, 0o644, 0o666, 0o601])
def test_a_key_that_others_may_use_in_any_way(path, mode):
    path.chmod(mode)
    refused(path, "chmod 600 it")


def test_a_link_to_a_key_that_is_right(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    refused(path, "got a link; put the file itself there")


def test_a_link_that_leads_nowhere(path):
    instead(path, lambda place: place.symlink_to("nothing"))
    refused(path, "got a link")


def test_a_fifo_is_not_waited_for(path):
    instead(path, lambda place: os.mkfifo(place, 0o600))
    refused(path, "another kind of thing")


def test_a_fifo_that_somebody_writes_to_is_not_read(path):
    instead(path, lambda place: os.mkfifo(place, 0o600))
    both = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(both, SIGNER.to_text().encode())
        refused(path, "another kind of thing")
        assert os.read(both, MAX_KEY) == SIGNER.to_text().encode()
    finally:
        os.close(both)


def test_a_folder(path):
    instead(path, lambda place: place.mkdir(0o700))
    refused(path, "another kind of thing")


def test_a_socket(path, monkeypatch):
    monkeypatch.chdir(path.parent)  # such an address is short
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(NAME)
        refused(path, "cannot read", LogStorageError)


def test_a_file_that_is_too_large_is_not_read(path, monkeypatch):
    with path.open("ab") as file:
        file.truncate(MAX_KEY + 1)
    refused(path, f"at most {MAX_KEY} bytes, got {MAX_KEY + 1}")
    with path.open("ab") as file:
        file.truncate(1 << 40)  # with nothing in it; to read it would take all memory
    refused(path, f"got {1 << 40}")


def test_a_key_of_somebody_else(path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    refused(path, f"got one of user {path.stat().st_uid}")


def test_none(path):
    path.unlink()
    refused(path, "there is no such file", LogStorageError)


def test_what_was_opened_is_judged_and_read_whatever_has_its_name_by_then(path, monkeypatch):
    """Between opening and looking somebody puts another file there: neither its mode nor its bytes count."""
    opened = os.open

    def swapped(name, *rest, **more):
        found = opened(name, *rest, **more)
        if name == path:
            path.unlink()
            path.write_text(OTHER.to_text())
            path.chmod(0o600)
        return found

    path.chmod(0o644)
    monkeypatch.setattr(keyfile.os, "open", swapped)
    refused(path, "chmod 600 it")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda place: place.symlink_to("nothing")])
def test_a_new_witness_takes_no_place_where_something_is(tmp_path, make):
    make(tmp_path / NAME)
    with pytest.raises(LogDamagedError, match="there is a key already"):
        witness.create(Store(tmp_path), "witness.example/w1")
