"""The public folder of a log over HTTP, for trying out: any web server or bucket does the same.

Source: C2SP tlog-tiles, "Checkpoints", "Merkle Tree" and "Log entries": kinds of content, and what caches may keep.
"""

from __future__ import annotations

import gzip
import http
import re
from pathlib import Path

from client_sdk.transparency.formats.tiles import CHECKPOINT, is_tile
from client_sdk.transparency.log.listening import Handler, Server

IMMUTABLE, FRESH = "public, max-age=31536000, immutable", "no-cache"
_BUNDLES = "tile/entries/"
# What lies beside the log for people to look at: plain names, no hidden ones, nothing that leads upwards.
_PAGE = re.compile(
    r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*\.(html|css|js|json|svg|png|txt|xml)"
)
_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "txt": "text/plain; charset=utf-8",
    "xml": "application/xml",
}


def server(public: Path, port: int) -> Server:
    """Return a server of the folder; ``serve_forever`` runs it.

    Raises:
        OSError: the port is taken.
    """

    class Files(Handler):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            _answer(self, public)

        do_HEAD = do_GET  # noqa: N815 - the same

    return Server(port, Files)


def _answer(handler: Handler, public: Path) -> None:
    path = handler.path.partition("?")[0].removeprefix("/")
    if path.endswith("/") or not path:
        path += "index.html"
    page = _PAGE.fullmatch(path)
    if path != CHECKPOINT and not is_tile(path) and not page:
        handler.refuse(http.HTTPStatus.NOT_FOUND)
        return
    try:
        file = (public / path).resolve(strict=True)
        body = file.read_bytes() if file.is_relative_to(public.resolve()) and file.is_file() else None
    except OSError:
        body = None
    if body is None:
        handler.refuse(http.HTTPStatus.NOT_FOUND)
    elif page:
        handler.answer(http.HTTPStatus.OK, _KINDS[page[1]], body, Cache_Control=FRESH)
    elif path == CHECKPOINT:
        handler.answer(http.HTTPStatus.OK, _KINDS["txt"], body, Cache_Control=FRESH)
    else:
        _answer_tile(handler, body, is_bundle=path.startswith(_BUNDLES))


def _answer_tile(handler: Handler, body: bytes, *, is_bundle: bool) -> None:
    headers = {"Cache_Control": IMMUTABLE}
    if is_bundle:
        headers["Vary"] = "Accept-Encoding"
        if "gzip" in handler.headers.get("Accept-Encoding", ""):
            body, headers["Content_Encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
    handler.answer(http.HTTPStatus.OK, "application/octet-stream", body, **headers)
