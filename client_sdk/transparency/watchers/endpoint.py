"""A witness over HTTP (C2SP tlog-witness, "add-checkpoint"); TLS and the Internet are a web server's in front of it."""

from __future__ import annotations

import http
from collections.abc import Callable

from client_sdk.errors import LogError
from client_sdk.transparency.log.listening import Handler, Server
from client_sdk.transparency.watchers.witness import MAX_REQUEST, TEXT_TYPE, RefusedError, Witness

PATH = "/add-checkpoint"


def server(witness: Witness, port: int, *, now: Callable[[], int], say: Callable[[str], object]) -> Server:
    """Return a server that asks a witness to sign; ``say`` gets what it signed or refused.

    Raises:
        OSError: the port is taken.
    """

    class AddCheckpoint(Handler):
        def do_POST(self) -> None:  # noqa: N802 - http.server's name
            length = self.headers.get("Content-Length", "")
            if self.path != PATH:
                self.refuse(http.HTTPStatus.NOT_FOUND)
            elif not (length.isascii() and length.isdigit() and len(length) < 8) or "Transfer-Encoding" in self.headers:
                self.refuse(http.HTTPStatus.LENGTH_REQUIRED)
            elif int(length) > MAX_REQUEST:
                self.refuse(http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            else:
                self.answer(*_answered(witness, self.rfile.read(int(length)), now=now, say=say))

        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            self.refuse(http.HTTPStatus.METHOD_NOT_ALLOWED if self.path == PATH else http.HTTPStatus.NOT_FOUND)

    return Server(port, AddCheckpoint)


def _answered(
    witness: Witness, body: bytes, *, now: Callable[[], int], say: Callable[[str], object]
) -> tuple[int, str, bytes]:
    try:
        line = witness.add_checkpoint(body, now=now())
    except RefusedError as error:
        say(f"refused: {error}")
        return error.status, error.kind, error.body
    except LogError as error:
        say(f"not signed: {error}")
        return http.HTTPStatus.SERVICE_UNAVAILABLE, TEXT_TYPE, b"the witness cannot sign now\n"
    say("signed a checkpoint")
    return http.HTTPStatus.OK, TEXT_TYPE, line
