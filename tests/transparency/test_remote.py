"""Reading somebody else's log: whatever it serves is right, or ends in an error of ours, in bounded time and size."""

from __future__ import annotations

import gzip
import http.client
import os
import random
import shutil
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from client_sdk.errors import AttestationError, EvidenceError, FetchError, VerificationError
from client_sdk.transparency.formats.checkpoint import Checkpoint
from client_sdk.transparency.formats.merkle import leaf_hash
from client_sdk.transparency.formats.note import sign_note
from client_sdk.transparency.log.remote import Folder, RemoteTree, read_checkpoint, source_of
from client_sdk.transparency.log.web import AbsentError, Web
from tests.fakes.loopback import closed_address, deaf_address, mute_address, resolve
from tests.transparency.keeping import LOG, SIGNER, entries_of, entry, log_of, many, tree_of

FILES = ("checkpoint", "tile/0/000", "tile/0/001.p/4", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/4")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    home = tmp_path_factory.mktemp("log")
    many(home, 260)
    return home


@pytest.fixture(scope="module")
def files(kept):
    return {name: (kept / "public" / name).read_bytes() for name in FILES}


class Changed:
    """The files of a log with some of them changed; None takes one away."""

    def __init__(self, files, **changed):
        self._files = files | changed

    def get(self, path, *, limit):
        found = self._files.get(path)
        if found is None:
            raise AbsentError(path)
        if len(found) > limit:
            raise EvidenceError(path, "over the limit")
        return found

    def close(self):
        pass


def read_all(source):
    tree = RemoteTree(source, read_checkpoint(source, LOG).checkpoint)
    return [data for _, data in tree.entries(0, tree.size)]


def test_a_log_in_its_folder_or_in_the_public_one(kept):
    assert entries_of(kept) == entries_of(kept / "public")
    assert len(entries_of(kept)) == 260


def test_where_an_entry_is(kept):
    tree = tree_of(kept)
    assert [tree.find(leaf_hash(entry(number))) for number in (1, 256, 257, 260, 261)] == [0, 255, 256, 259, None]
    assert tree.entry(257) == entry(258)


@pytest.mark.parametrize("size", [1, 255])
def test_a_checkpoint_from_before_a_bundle_was_full(tmp_path, size):
    many(tmp_path, size)
    old = (tmp_path / "public/checkpoint").read_bytes()
    many(tmp_path, 300 - size, start=size + 1)
    (tmp_path / "public/checkpoint").write_bytes(old)
    assert not (tmp_path / f"public/tile/0/000.p/{size}").exists()
    assert len(entries_of(tmp_path)) == size


@pytest.mark.parametrize("name", FILES)
def test_any_bit_that_changed(files, name):
    chosen = random.Random(name)  # noqa: S311 - damage
    for _ in range(40):
        data = bytearray(files[name])
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
        with pytest.raises((EvidenceError, VerificationError)):
            read_all(Changed(files, **{name: bytes(data)}))


@pytest.mark.parametrize("name", FILES)
def test_any_file_that_is_cut_or_longer(files, name):
    data = files[name]
    for changed in (b"", data[:1], data[:-1], data[: len(data) // 2], data + b"\0", data * 2):
        with pytest.raises((EvidenceError, VerificationError)):
            read_all(Changed(files, **{name: changed}))


@pytest.mark.parametrize("name", FILES[1:])
def test_any_file_that_is_gone(files, name):
    with pytest.raises(VerificationError, match=r"R2\.missing"):
        read_all(Changed(files, **{name: None}))


@pytest.mark.parametrize("name", FILES)
def test_random_files_end_in_our_errors(files, name):
    chosen = random.Random(name)  # noqa: S311 - damage
    for _ in range(60):
        data = bytearray(files[name])
        for _ in range(chosen.randrange(1, 6)):
            start = chosen.randrange(len(data) + 1)
            data[start : start + chosen.randrange(9)] = chosen.randbytes(chosen.randrange(9))
        try:
            read_all(Changed(files, **{name: bytes(data)}))
        except AttestationError:
            pass


def test_a_tile_in_the_place_of_another(files):
    for name, other in (("tile/0/000", "tile/entries/000"), ("tile/0/001.p/4", "tile/0/000")):
        with pytest.raises((EvidenceError, VerificationError)):
            read_all(Changed(files, **{name: files[other]}))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Return the files of a log of the same size with other entries, all of them right in themselves."""
    home = tmp_path_factory.mktemp("other")
    many(home, 260, start=2)
    return {name: (home / "public" / name).read_bytes() for name in FILES}


@pytest.mark.parametrize(
    "exchanged",
    [
        ("tile/0/000", "tile/entries/000"),
        ("tile/0/001.p/4", "tile/entries/001.p/4"),
        ("tile/0/000", "tile/entries/000", "tile/1/000.p/1"),
        FILES[1:],
    ],
)
def test_other_entries_with_hashes_that_fit_them(files, others, exchanged):
    """All that is left of the log is what its key signed, and what hangs on it."""
    with pytest.raises(VerificationError, match=r"R2\.tile"):
        read_all(Changed(files, **{name: others[name] for name in exchanged}))


def test_a_proof_from_tiles_that_fit_each_other(files, others):
    """Whoever makes a proof reads no entry: the tiles themselves have to hang on the checkpoint."""
    for exchanged in (("tile/0/000",), ("tile/1/000.p/1",), ("tile/0/000", "tile/1/000.p/1"), ("tile/0/001.p/4",)):
        source = Changed(files, **{name: others[name] for name in exchanged})
        with pytest.raises(VerificationError, match=r"R2\.tile"):
            RemoteTree(source, read_checkpoint(source, LOG).checkpoint).inclusion(3)


# ---- over the network


class Answering(BaseHTTPRequestHandler):
    """Answers as its server's ``answers`` say: by path, a function of the handler, or the bytes of a file."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answer = self.server.answers.get(self.path.removeprefix("/log/"))
        if callable(answer):
            answer(self)
        elif answer is None:
            self.send(404, b"no")
        else:
            self.send(200, answer)

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        pass


@contextmanager
def serving(answers, context=None):
    server = Quiet(("127.0.0.1", 0), Answering)
    server.answers = answers
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}/log"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def asking(answers, seconds=10):
    with serving(answers) as url:
        web = Web(url, seconds=seconds)
        yield web
        web.close()


@pytest.fixture
def tls():
    """Return a server's context for the name log.example, and a client's that trusts it."""
    ca = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("log.example").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


def test_a_whole_log_over_https(files):
    ca = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    with serving(files, server) as url:
        web = Web(url, context=client)
        assert len(read_all(web)) == 260
        web.close()
        with pytest.raises(FetchError, match=r"certificate|self"):
            Web(url).get("checkpoint", limit=1000)


def test_bundles_that_are_compressed(files):
    packed = files | {
        name: lambda handler, data=data: handler.send(200, gzip.compress(data), Content_Encoding="gzip")
        for name, data in files.items()
    }
    with asking(packed) as web:
        assert len(read_all(web)) == 260


def test_a_connection_that_was_closed_meanwhile(files):
    closing = dict(files)

    def close(handler):
        handler.send(200, files["checkpoint"])
        handler.close_connection = True  # without saying so

    closing["checkpoint"] = close
    with asking(closing) as web:
        assert web.get("checkpoint", limit=10_000) == web.get("checkpoint", limit=10_000)
        assert len(read_all(web)) == 260


def test_a_file_that_is_not_there():
    for status in (404, 403, 410):
        answers = {"x": lambda handler, status=status: handler.send(status, b"")}
        with asking(answers) as web, pytest.raises(AbsentError):
            web.get("x", limit=10)


@pytest.mark.parametrize("status", [301, 302, 307, 500, 503, 204, 206])
def test_an_answer_that_is_no_file(status):
    with (
        asking({"x": lambda handler: handler.send(status, b"", Location="https://elsewhere.example/")}) as web,
        pytest.raises(FetchError, match=f"HTTP {status}"),
    ):
        web.get("x", limit=10)


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(65_536))


def endless_chunks(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + bytes(65_536) + b"\r\n")


def bomb(handler):
    handler.send(200, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")


def endless_after_gzip(handler):
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(gzip.compress(b"a"))
    while True:
        handler.wfile.write(bytes(65_536))


@pytest.mark.parametrize("answer", [endless, endless_chunks, bomb, endless_after_gzip])
def test_more_than_there_can_be(answer):
    with asking({"x": answer}) as web, pytest.raises(EvidenceError, match="over the 1000 bytes"):
        web.get("x", limit=1000)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_compressed_in_another_way(encoding):
    with (
        asking({"x": lambda handler: handler.send(200, b"x", Content_Encoding=encoding)}) as web,
        pytest.raises(EvidenceError, match="not asked for"),
    ):
        web.get("x", limit=1000)


@pytest.mark.parametrize("data", [b"not gzip", gzip.compress(b"a" * 100)[:-9], b""])
def test_what_is_said_to_be_gzip(data):
    with (
        asking({"x": lambda handler: handler.send(200, data, Content_Encoding="gzip")}) as web,
        pytest.raises((EvidenceError, FetchError)),
    ):
        web.get("x", limit=1000)


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


def refused(encoding):
    """Answer so that it is refused by its headers or its first bytes; another answer is in the rest of it."""

    def answer(handler):
        handler.send(200, b"no gzip", Content_Encoding=encoding, Content_Length=str(7 + len(FORGED)))
        time.sleep(0.3)  # so that the rest is not read along with these
        handler.wfile.write(FORGED)

    return answer


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip"])
def test_the_rest_of_an_answer_that_was_refused_is_no_answer_to_the_next_request(files, encoding):
    with asking(files | {"x": refused(encoding)}) as web:
        with pytest.raises(EvidenceError, match=r"not asked for|is not"):
            web.get("x", limit=1000)
        assert web.get("checkpoint", limit=10_000) == files["checkpoint"]


def test_the_rest_of_an_answer_that_was_broken_off_is_no_answer_to_the_next_request(files, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with asking(files | {"x": refused("identity")}) as web:
        with monkeypatch.context() as patched:
            patched.setattr(http.client.HTTPResponse, "read1", interrupted)
            with pytest.raises(KeyboardInterrupt):
                web.get("x", limit=1000)
        assert web.get("checkpoint", limit=10_000) == files["checkpoint"]


def test_less_than_was_announced():
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"x")
        handler.close_connection = True

    with asking({"x": cut}) as web, pytest.raises(FetchError):
        web.get("x", limit=1000)


def drop_by_drop(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def silent(_handler):
    time.sleep(60)


@pytest.mark.parametrize("answer", [drop_by_drop, silent])
def test_a_server_that_takes_its_time(answer):
    """Single bytes win none: the limit is of the whole answer."""
    began = time.monotonic()
    with asking({"x": answer}, seconds=0.5) as web, pytest.raises(FetchError, match="no answer"):
        web.get("x", limit=1000)
    assert time.monotonic() - began < 20


def test_many_addresses_of_which_none_answers_share_one_deadline(monkeypatch):
    with deaf_address() as deaf:
        resolve(monkeypatch, *[deaf] * 20)
        began = time.monotonic()
        with pytest.raises(FetchError, match="no answer"):
            Web("https://log.example", seconds=0.5).get("checkpoint", limit=10)
        assert time.monotonic() - began < 3


def test_the_second_address_is_asked_where_the_first_refuses(monkeypatch, files):
    with serving(files) as url:
        resolve(monkeypatch, closed_address(), _at(url))
        web = Web(url.replace("127.0.0.1", "localhost"))
        assert web.get("checkpoint", limit=10_000) == files["checkpoint"]
        web.close()


def test_an_address_that_is_silent_in_tls_leaves_time_for_the_one_behind_it(monkeypatch, files, tls):
    server, client = tls
    with serving(files, server) as url, mute_address() as mute:
        resolve(monkeypatch, mute, mute, _at(url))
        web = Web("https://log.example/log", seconds=6, context=client)
        assert web.get("checkpoint", limit=10_000) == files["checkpoint"]
        web.close()


def test_a_certificate_that_is_not_trusted_is_said_and_no_other_address_is_asked(monkeypatch, files, tls):
    server, client = tls
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("log.example").configure_cert(other)
    with serving(files, other) as untrusted, serving(files, server) as url:
        resolve(monkeypatch, _at(untrusted), _at(url), closed_address())
        with pytest.raises(FetchError, match=r"certificate|self"):
            Web("https://log.example/log", context=client).get("checkpoint", limit=10_000)


def _at(url):
    return "127.0.0.1", int(url.split(":")[2].split("/")[0])


@pytest.mark.parametrize(
    "greeting", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 100_000, b"HTTP/1.1 200 OK\r\n" * 500]
)
def test_what_speaks_no_http(greeting):
    listening = socket.create_server(("127.0.0.1", 0))

    def greet():
        connection, _ = listening.accept()
        with connection:
            connection.sendall(greeting)

    thread = threading.Thread(target=greet)
    thread.start()
    with pytest.raises(FetchError):
        Web(f"http://127.0.0.1:{listening.getsockname()[1]}", seconds=5).get("checkpoint", limit=100)
    thread.join(timeout=10)
    listening.close()


@pytest.mark.parametrize(
    "url",
    [
        *("http://log.example", "ftp://127.0.0.1", "https://", "https://user@log.example", "https://log.example/?a=b"),
        *("https://log.example/#x", "https://log.example:99999", "https://log.example/a b", "https://log.example/\n"),
        *("file:///etc/passwd", "https://[::1", "http://127.0.0.1.example/"),
    ],
)
def test_urls_that_are_not_asked(url):
    with pytest.raises(EvidenceError, match="expected https://"):
        source_of(url, seconds=1)


def test_a_folder_that_cannot_be_read(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(FetchError):
        read_checkpoint(Folder(tmp_path), LOG)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_the_place_of_a_file(kept, tmp_path, name):
    """Whoever opens one waits for its writer."""
    shutil.copytree(kept / "public", tmp_path / "log")
    (tmp_path / "log" / name).unlink()
    os.mkfifo(tmp_path / "log" / name)
    with pytest.raises(FetchError, match="is no file"):
        read_all(Folder(tmp_path / "log"))


def test_a_file_without_end(kept, tmp_path):
    shutil.copytree(kept / "public", tmp_path / "log")
    (tmp_path / "log/checkpoint").unlink()
    (tmp_path / "log/checkpoint").symlink_to("/dev/zero")
    with pytest.raises(FetchError, match="is no file"):
        read_all(Folder(tmp_path / "log"))


def test_a_log_that_claims_more_than_it_has(tmp_path):
    """Its key signed it: the files are asked for one after the other, and the first that is missing ends it."""
    log_of(tmp_path, 1)
    (tmp_path / "public/checkpoint").write_bytes(
        sign_note(Checkpoint(LOG.name, 2**63 - 1, bytes(32)).to_text(), SIGNER)
    )
    with pytest.raises(VerificationError, match=r"R2\.missing"):
        tree_of(tmp_path)
