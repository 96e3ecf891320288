"""The log's folder over HTTP: what caches may keep, and what is never served."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time

import pytest

from client_sdk.transparency.log import listening, serving
from client_sdk.transparency.log.remote import RemoteTree, read_checkpoint
from client_sdk.transparency.log.web import Web
from tests.transparency.keeping import LOG, entry, many


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    many(folder, 260)
    public = folder / "public"
    (public / "index.html").write_text("<p>releases</p>")
    (public / "page").mkdir()
    (public / "page/style.css").write_text("p {}")
    (public / ".hidden.txt").write_text("hidden")
    (public / "notes").write_text("no kind")
    (public / "up.txt").symlink_to("../log.key")
    (public / "tile/0/002").symlink_to("../../../log.key")
    return folder


@pytest.fixture(scope="module")
def port(home):
    with serving.server(home / "public", 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.server_port
        server.shutdown()


def asked(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_a_whole_log_is_read_from_it(port):
    web = Web(f"http://127.0.0.1:{port}")
    tree = RemoteTree(web, read_checkpoint(web, LOG).checkpoint)
    assert len(list(tree.entries(0, tree.size))) == 260
    web.close()


def test_whoever_reads_while_the_log_grows_reads_a_log(tmp_path):
    """Over the end of a bundle, whose partial files go: each look ends well, whichever checkpoint it began with."""
    log, sizes = many(tmp_path, 240), []
    with serving.server(tmp_path / "public", 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        growing = threading.Thread(target=lambda: [log.append((entry(number),)) for number in range(241, 281)])
        growing.start()
        web = Web(f"http://127.0.0.1:{server.server_port}")
        while not sizes or sizes[-1] < 280:
            tree = RemoteTree(web, read_checkpoint(web, LOG).checkpoint)
            assert [data for _, data in tree.entries(0, tree.size)][-1] == entry(tree.size)
            sizes.append(tree.size)
        growing.join(timeout=60)
        web.close()
        server.shutdown()
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 2


@pytest.mark.parametrize(
    ("path", "kind", "cache"),
    [
        ("/checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("/tile/0/000", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("/tile/0/001.p/4", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("/tile/entries/000", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/page/style.css", "text/css; charset=utf-8", "no-cache"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_kinds_and_caches(port, path, kind, cache, method):
    answer, body = asked(port, path, method)
    assert answer.status == 200
    assert (answer.getheader("Content-Type"), answer.getheader("Cache-Control")) == (kind, cache)
    assert bool(body) == (method == "GET")


def test_bundles_are_compressed_for_who_asks(home, port):
    plain = (home / "public/tile/entries/000").read_bytes()
    answer, body = asked(port, "/tile/entries/000", Accept_Encoding="gzip")
    assert answer.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body) == plain
    assert asked(port, "/tile/entries/000")[1] == plain


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/log.key",
            "/../log.key",
            "/tile/../../log.key",
            "/%2e%2e/log.key",
            "/log.json",
            "//log.key",
            "/.hidden.txt",
        ),
        *("/up.txt", "/tile/0/002", "/notes", "/tile/0/003", "/tile", "/tile/0", "/page/", "/checkpoint/", "/pending"),
        *("/tile/0/000.p/0", "/page/../checkpoint", "/index.html/x", "http://elsewhere.example/checkpoint"),
    ],
)
def test_what_is_not_served(home, port, path):
    answer, body = asked(port, path)
    assert answer.status == 404
    assert b"PRIVATE" not in body
    assert (home / "log.key").exists()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "X" * 300])
def test_nothing_can_be_written(port, method):
    assert asked(port, "/checkpoint", method)[0].status in (400, 501)


@pytest.mark.parametrize(
    "data", [b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"GET /" + b"a" * 100_000, b"\r\n" * 9]
)
def test_what_is_no_request(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
        except OSError:
            pass
    assert asked(port, "/checkpoint")[0].status == 200


def test_callers_that_say_nothing_do_not_hold_it(home, monkeypatch):
    monkeypatch.setattr(listening, "SECONDS", 0.5)
    with serving.server(home / "public", 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        silent = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(listening.MAX_CALLERS)]
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if asked(server.server_port, "/checkpoint")[0].status == 200:
                    break
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
        else:
            pytest.fail("nobody was let in")
        for connection in silent:
            connection.close()
        server.shutdown()


def test_it_listens_on_this_machine_alone(home):
    with serving.server(home / "public", 0) as server:
        assert server.server_address[0] == "127.0.0.1"
