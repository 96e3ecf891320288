"""What the gateway's TLS is, and what reading from it costs."""

from __future__ import annotations

import ssl
import tracemalloc

import pytest

from serving.attest.tls import create_identity
from serving.gateway.tls import tls_context

ASKED = 256 * 1024  # by the event loop, at each read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("tls")
    create_identity(made)
    return made


def pair(folder, **options):
    """Make both ends of a connection, in memory, after the handshake."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "cert.pem")
    for name, value in options.items():
        setattr(context, name, value)
    caller, gateway = context.wrap_bio(back, there), tls_context(folder).wrap_bio(there, back, server_side=True)
    for _ in range(3):
        for end in (caller, gateway):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return caller, gateway


def test_what_was_sent_is_read_record_by_record_in_little_memory(folder):
    caller, gateway = pair(folder)
    sent = bytes(range(256)) * 200
    caller.write(sent)
    tracemalloc.start()
    try:
        first = gateway.read(ASKED)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < ASKED / 8
    rest = b""
    while len(first) + len(rest) < len(sent):
        rest += gateway.read(ASKED)
    assert first + rest == sent


def test_a_buffer_of_ones_own_is_filled_and_a_small_one_not_overrun(folder):
    caller, gateway = pair(folder)
    caller.write(b"0123456789")
    buffer = bytearray(4)
    assert gateway.read(4, buffer) == 4
    assert buffer == b"0123"
    assert gateway.read(ASKED) == b"456789"


def test_nothing_sent_is_waited_for_and_an_end_is_an_end(folder):
    caller, gateway = pair(folder)
    with pytest.raises(ssl.SSLWantReadError):
        gateway.read(ASKED)
    with pytest.raises(ssl.SSLWantReadError):
        caller.unwrap()
    assert gateway.read(ASKED) == b""


def test_an_older_tls_is_refused(folder):
    with pytest.raises(ssl.SSLError):
        pair(folder, maximum_version=ssl.TLSVersion.TLSv1_2)


def test_no_session_is_given_that_could_be_resumed(folder):
    caller, gateway = pair(folder)
    gateway.write(b"x")
    assert caller.read(1) == b"x"  # tickets come before the first bytes
    assert caller.session is None or not caller.session.has_ticket
