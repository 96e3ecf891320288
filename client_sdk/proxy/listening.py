"""Where the proxy listens: a UNIX socket for its owner alone, or a port of the loopback and a secret (rule C8)."""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import stat
from pathlib import Path

from client_sdk.errors import Failure, PolicyError
from client_sdk.rules import keeps

LOOPBACK = "127.0.0.1"
_SECRET = re.compile(rb"[A-Za-z0-9_-]{43}")
_SOCKET_MODE = 0o177  # of umask: read and write for the owner
_OTHER_SOCKET, _OTHER_SECRET = "name another file with --socket", "name another file with --secret-file"
_MADE_ANEW = "remove it, and a new one is made"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def state_folder() -> Path:
    """Return the folder for sockets and secrets: the user's run-time folder, or where a user's state belongs."""
    if run := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(run) / "vitrine"
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "vitrine"


@keeps("C8")
def listen_unix(path: Path) -> socket.socket:
    """Listen at a socket file that its owner alone can open. What a proxy left that is gone is removed first.

    Raises:
        PolicyError: C8, somebody listens there, something else lies there, or others may write to its folder.
    """
    what = "C8: the socket file is the proxy's own"
    _own_folder(path.parent)
    if path.is_symlink() or (path.exists() and not path.is_socket()):
        raise _refusal(what, "a new file, or a socket that nobody uses", f"{path} is no socket", _OTHER_SOCKET)
    if path.exists():
        _remove_dead(path)
    listening = socket.socket(socket.AF_UNIX)
    before = os.umask(_SOCKET_MODE)
    try:
        listening.bind(str(path))
        listening.listen()
    except OSError as error:
        listening.close()
        raise _refusal(what, f"to listen at {path}", error.strerror or str(error), _OTHER_SOCKET) from error
    finally:
        os.umask(before)
    return listening


@keeps("C8")
def listen_tcp(port: int) -> socket.socket:
    """Listen at a port of the loopback; 0 takes a free one.

    Raises:
        PolicyError: C8, it is taken: by whom is not known, so nothing is started beside it.
    """
    listening = socket.socket(socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a restart; a port in use stays refused
    try:
        listening.bind((LOOPBACK, port))
        listening.listen()
    except OSError as error:
        listening.close()
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        what, got = "C8: the port is the proxy's own", f"port {port} of {LOOPBACK} {why}"
        raise _refusal(what, "a port that nobody uses", got, "choose another with --port") from error
    return listening


@keeps("C8")
def secret_in(path: Path) -> bytes:
    """Return the secret in a file that its owner alone can read; make both where there is none.

    Raises:
        PolicyError: C8, the file is another's, others can read it, or it holds no secret.
    """
    what = "C8: the secret is its owner's alone"
    _own_folder(path.parent)
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read_secret(path)
    except OSError as error:
        raise _refusal(what, f"to write {path}", str(error.strerror), _OTHER_SECRET) from error
    with os.fdopen(number, "wb") as file:
        made = secrets.token_urlsafe(32).encode()
        file.write(made + b"\n")
    return made


@keeps("C8")
def _read_secret(path: Path) -> bytes:
    what = "C8: the secret is its owner's alone"
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            state, found = os.fstat(number), file.read(100).strip()
    except OSError as error:
        raise _refusal(what, f"to read {path}", str(error.strerror), _OTHER_SECRET) from error
    if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & _OTHERS:
        raise _refusal(what, "a file of yours with mode 0600", f"{path} is none", _MADE_ANEW)
    if not _SECRET.fullmatch(found):
        raise _refusal(what, "a secret as the proxy makes them", f"{path} holds none", _MADE_ANEW)
    return found


@keeps("C8")
def _own_folder(folder: Path) -> None:
    what, expected = "C8: the folder is its owner's to write in", "a folder of yours in which others may not write"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except OSError as error:
        raise _refusal(what, expected, f"{folder}: {error.strerror}", "choose another") from error
    if state.st_uid != os.geteuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refusal(what, expected, f"others may write to {folder}", "choose another, or take that right away")


@keeps("C8")
def _remove_dead(path: Path) -> None:
    what, expected = "C8: the socket file is the proxy's own", "a socket that nobody uses"
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise _refusal(what, expected, f"{path}: {error.strerror}", _OTHER_SOCKET) from error
    raise _refusal(what, expected, f"a program listens at {path}", f"end it, or {_OTHER_SOCKET}")


def _refusal(what: str, expected: str, got: str, remedy: str) -> PolicyError:
    return PolicyError((Failure(what, expected, got, remedy),))
