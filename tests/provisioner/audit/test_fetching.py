"""Fetching an archive from a server that is honest, slow to have files, or a liar."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from provisioner.audit import fetching
from provisioner.audit.fetching import fetch, is_address
from provisioner.audit.index import read_index
from provisioner.errors import BakeError
from tests.fakes.loopback import deaf_address, resolve

GOOD = {"size": 1, "sha256": "0" * 64}


def quiet(_line):
    pass


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def published(site):
    """The site's archive on a server; returns its folder and its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site.archive)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield site.archive, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.root
def test_what_is_fetched_is_what_is_published(published, tmp_path):
    folder, address = published
    said = []
    got = fetch(address, tmp_path, progress=said.append)
    assert files(got) == files(folder)
    assert "fetching 9 of 9 files" in said[0]


@pytest.mark.root
def test_what_is_here_is_not_fetched_again_and_what_was_damaged_is(published, tmp_path):
    folder, address = published
    got = fetch(address, tmp_path, progress=quiet)
    (got / "recipe.json").write_bytes(b"damaged")
    said = []
    assert files(fetch(f"{address}/", tmp_path, progress=said.append)) == files(folder)
    assert [line.split(" (")[0] for line in said] == ["fetching 1 of 9 files of the archive"]


@pytest.mark.root
@pytest.mark.parametrize("data", [b"", b"short", b"x" * 100_000])
def test_a_file_that_is_not_the_indexs_is_not_kept(published, tmp_path, data):
    folder, address = published
    deb = next((folder / "debs").iterdir())
    deb.unlink()
    deb.write_bytes(data)
    with pytest.raises(BakeError, match=r"is not the file|longer than"):
        fetch(address, tmp_path / "shelf", progress=quiet)
    assert not [path for path in (tmp_path / "shelf").rglob("*") if path.name.startswith(deb.name)]


@pytest.mark.root
def test_a_file_that_is_missing_is_said_with_its_address(published, tmp_path):
    folder, address = published
    (folder / "recipe.json").unlink()
    with pytest.raises(BakeError, match=r"/recipe\.json: HTTP Error 404"):
        fetch(address, tmp_path, progress=quiet)


@contextlib.contextmanager
def serving(handler):
    """Answer by a handler; gives the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Drips(_Quiet):
    """Sends a byte at a time, for as long as a test waits; what before these, and which."""

    first, byte = b"HTTP/1.0 200 OK\r\n\r\n", b" "

    def do_GET(self):
        self.wfile.write(self.first)
        with contextlib.suppress(OSError):
            for _ in range(250):
                self.wfile.write(self.byte)
                time.sleep(0.02)


class _DripsHeaders(_Drips):
    first, byte = b"HTTP/1.0 200 OK\r\nX-Long: ", b"x"


class _DripsStatus(_Drips):
    first, byte = b"HTTP/1.0 200 ", b"x"


class _DripsSizes(_Drips):
    """The size of a chunk may have an extension, which is no part of the contents."""

    first, byte = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x"


class _DripsRedirects(_Drips):
    """Each is in time; all of them would take for ever."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.2)
        self.send_response(302)
        self.send_header("Location", f"/{time.monotonic_ns()}")
        self.end_headers()


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (_Drips, "it comes too slowly"),
        (_DripsSizes, "it comes too slowly"),
        (_DripsHeaders, r"it did not answer within 0\.5 s"),
        (_DripsStatus, r"it did not answer within 0\.5 s"),
        (_DripsRedirects, r"it did not answer within 0\.5 s"),
    ],
)
def test_a_server_that_sends_a_byte_at_a_time_is_given_up(tmp_path, monkeypatch, handler, says):
    """Each byte is in time; all of them would take for ever."""
    monkeypatch.setattr(fetching, "_SECONDS", 0.5)
    monkeypatch.setattr(fetching, "_SLOWEST", 1 << 40)
    with serving(handler) as address:
        begun = time.monotonic()
        with pytest.raises(BakeError, match=f"/archive.json: {says}; fetch the archive yourself"):
            fetch(address, tmp_path, progress=quiet)
        assert time.monotonic() - begun < 4.5  # all of it comes in 5 s


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_many_addresses_of_which_none_answers_share_one_time_limit(tmp_path, monkeypatch, scheme):
    monkeypatch.setattr(fetching, "_SECONDS", 0.5)
    with deaf_address() as deaf:
        resolve(monkeypatch, *[deaf] * 8)
        begun = time.monotonic()
        with pytest.raises(BakeError, match=r"it did not answer within 0\.5 s"):
            fetch(f"{scheme}://mirror.example", tmp_path, progress=quiet)
        assert time.monotonic() - begun < 3.5  # one limit each would be 4 s


class _DripsTunnel(_DripsHeaders):
    def do_CONNECT(self):
        self.do_GET()


class _EndlessTunnel(_Quiet):
    """Takes most of the time to say that a tunnel is there, behind which nobody speaks."""

    def do_CONNECT(self):
        time.sleep(3.5)
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        time.sleep(5)


# Without the one limit the first would take 5 s, until it has all of it; the second 3.5 s, and then 4 s for TLS.
@pytest.mark.parametrize(("proxy", "seconds", "most"), [(_DripsTunnel, 0.5, 4.5), (_EndlessTunnel, 4, 7)])
def test_what_a_proxy_says_and_tls_behind_it_have_one_time_limit(tmp_path, monkeypatch, proxy, seconds, most):
    monkeypatch.setattr(fetching, "_SECONDS", seconds)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(proxy) as address:
        monkeypatch.setenv("https_proxy", address)
        begun = time.monotonic()
        with pytest.raises(BakeError, match=f"it did not answer within {seconds} s"):
            fetch("https://mirror.example", tmp_path, progress=quiet)
        assert time.monotonic() - begun < most


def test_a_file_may_take_longer_than_the_head_of_its_answer(tmp_path, monkeypatch):
    """Only the head has one limit for all of it: a large file takes its time."""
    monkeypatch.setattr(fetching, "_SECONDS", 0.5)

    class Steady(_Quiet):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            for byte in b"{}" + b" " * 60:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)

    with serving(Steady) as address, pytest.raises(BakeError, match=r"archive\.json: \$"):
        fetch(address, tmp_path, progress=quiet)


def test_a_redirect_leads_to_no_other_kind_of_server(tmp_path):
    """An FTP server has none of these limits."""

    class Away(_Quiet):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1:9/archive.json")
            self.end_headers()

    with serving(Away) as address, pytest.raises(BakeError, match="unknown url type: ftp"):
        fetch(address, tmp_path, progress=quiet)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_stands_beside_a_redirect_is_not_read(tmp_path, status):
    sent = []

    class Endless(_Quiet):
        def do_GET(self):
            if self.path != "/archive.json":
                self.send_error(404)
                return
            self.send_response(status)
            self.send_header("Location", "/there")
            self.end_headers()
            with contextlib.suppress(OSError):
                while len(sent) < 256:
                    self.wfile.write(bytes(1 << 20))
                    sent.append(1 << 20)

    with serving(Endless) as address, pytest.raises(BakeError, match="HTTP Error 404"):
        fetch(address, tmp_path, progress=quiet)
    assert len(sent) < 64


def test_a_server_that_is_not_there_is_said(tmp_path):
    told = r"^http://127\.0\.0\.1:9/archive\.json: Connection refused; fetch the archive yourself and name its folder$"
    with pytest.raises(BakeError, match=told):
        fetch("http://127.0.0.1:9", tmp_path, progress=quiet)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../x", "a//b", ".ssh/x", "a/.x", "archive.json", "", "a\\b", "a b", "a/b/c/d/e/f"],
)
def test_an_index_cannot_name_files_elsewhere(path):
    with pytest.raises(BakeError, match=r"archive\.json"):
        read_index(json.dumps({"version": 1, "manifest_sha256": "", "files": {path: GOOD}}).encode())


@pytest.mark.parametrize(
    "told",
    [
        [],
        {"version": 2, "manifest_sha256": "", "files": {}},
        {"version": 1, "files": {}},
        {"version": 1, "manifest_sha256": "", "files": {"a": 1}},
        {"version": 1, "manifest_sha256": "", "files": {"a": GOOD | {"size": -1}}},
        {"version": 1, "manifest_sha256": "", "files": {"a": GOOD | {"sha256": "0"}}},
        {"version": 1, "manifest_sha256": "", "files": {"a": {"size": 1}}},
    ],
)
def test_a_malformed_index_is_refused(told):
    with pytest.raises(BakeError, match=r"archive\.json"):
        read_index(json.dumps(told).encode())


@pytest.mark.parametrize(("text", "expected"), [("https://x/a", True), ("http://x", True), ("build/archive", False)])
def test_an_address_is_told_from_a_folder(text, expected):
    assert is_address(text) is expected
