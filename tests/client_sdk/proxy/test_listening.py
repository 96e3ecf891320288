"""Where the proxy listens: for its owner alone, and never beside somebody (rule C8)."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from client_sdk.errors import PolicyError
from client_sdk.proxy.listening import listen_tcp, listen_unix, secret_in
from tests.client_sdk.proxy.conftest import umask


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "own"
    made.mkdir(mode=0o700)
    return made


def refused(function, *arguments):
    with pytest.raises(PolicyError, match=r"^\[C8: ") as caught:
        function(*arguments)
    return str(caught.value)


def test_the_socket_and_its_folder_are_the_owner_s_alone(tmp_path):
    path = tmp_path / "new/p.sock"
    with umask(0), listen_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_a_killed_proxy_left_is_replaced(folder):
    listen_unix(folder / "p.sock").close()
    with listen_unix(folder / "p.sock"):
        pass


def test_a_socket_at_which_somebody_listens_is_not_taken_from_him(folder):
    with listen_unix(folder / "p.sock"):
        assert "a program listens at" in refused(listen_unix, folder / "p.sock")
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(folder / "p.sock"))


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_is_no_socket_is_not_removed(folder, what):
    path = folder / "p.sock"
    {"file": path.touch, "folder": path.mkdir, "link": lambda: path.symlink_to("/dev/null")}[what]()
    assert "is no socket" in refused(listen_unix, path)
    assert os.path.lexists(path)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
@pytest.mark.parametrize("function", [listen_unix, secret_in])
def test_a_folder_in_which_others_may_write_is_refused(folder, mode, function):
    folder.chmod(mode)
    assert "others may write" in refused(function, folder / "x")


def test_a_path_that_is_too_long_is_said(folder):
    assert "to listen at" in refused(listen_unix, folder / ("x" * 200))


def test_a_taken_port_is_fatal_and_is_on_loopback_alone():
    with listen_tcp(0) as first:
        address, port = first.getsockname()
        assert address == "127.0.0.1"
        assert f"port {port} of 127.0.0.1 is taken" in refused(listen_tcp, port)


def test_a_secret_is_made_once_and_kept(folder):
    with umask(0):
        made = secret_in(folder / "s")
    assert (len(made), stat.S_IMODE((folder / "s").stat().st_mode)) == (43, 0o600)
    assert secret_in(folder / "s") == made
    assert secret_in(folder / "t") != made


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_secret_that_others_can_read_is_refused(folder, mode):
    secret_in(folder / "s")
    (folder / "s").chmod(mode)
    assert "mode 0600" in refused(secret_in, folder / "s")


@pytest.mark.parametrize("content", [b"", b"short", b"a" * 42 + b" ", b"x" * 44, b"a" * 43 + b"\nmore", b"\xff" * 43])
def test_a_file_that_holds_no_secret_is_refused_and_not_shown(folder, content):
    (folder / "s").write_bytes(content)
    (folder / "s").chmod(0o600)
    said = refused(secret_in, folder / "s")
    assert "holds none" in said
    assert "short" not in said


def test_a_link_to_another_file_is_not_followed(folder, tmp_path):
    (tmp_path / "other").write_text("a" * 43)
    (folder / "s").symlink_to(tmp_path / "other")
    assert "to read" in refused(secret_in, folder / "s")


def test_a_pipe_does_not_hang_it(folder):
    os.mkfifo(folder / "s", 0o600)
    assert "mode 0600" in refused(secret_in, folder / "s")
