"""Who may ask (rule C8): programs that know the secret, no web page, and nothing under another name."""

from __future__ import annotations

import pytest

from client_sdk.proxy.door import Door
from client_sdk.proxy.refusals import Refusal

SECRET = b"s" * 43
TCP, UNIX = Door(8080, SECRET), Door()
RIGHT = [(b"host", b"127.0.0.1:8080"), (b"authorization", b"Bearer " + SECRET)]


def refused(door, headers):
    with pytest.raises(Refusal) as caught:
        door.judge(headers)
    assert caught.value.message.startswith("[C8: ")
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("host", [b"127.0.0.1:8080", b"localhost:8080", b"LOCALHOST:8080"])
def test_a_program_with_the_secret_is_let_in(host):
    TCP.judge([(b"host", host), (b"authorization", b"bearer " + SECRET)])


def test_at_the_socket_file_nobody_needs_a_secret_or_a_name():
    UNIX.judge([(b"host", b"anything")])
    UNIX.judge([])


HOSTS = {
    "rebinding": [(b"host", b"evil.example:8080")],
    "rebinding to the name without the port": [(b"host", b"localhost")],
    "another port": [(b"host", b"127.0.0.1:8081")],
    "a longer name": [(b"host", b"127.0.0.1:8080.evil.example")],
    "no host": [],
    "two hosts": [(b"host", b"127.0.0.1:8080"), (b"host", b"evil.example")],
    "all interfaces": [(b"host", b"0.0.0.0:8080")],
}


@pytest.mark.parametrize("attack", HOSTS)
def test_another_host_is_refused_though_the_secret_is_right(attack):
    assert refused(TCP, [*HOSTS[attack], RIGHT[1]]) == (403, "host_not_allowed")


@pytest.mark.parametrize("door", [TCP, UNIX], ids=["tcp", "unix"])
@pytest.mark.parametrize("origin", [b"http://evil.example", b"http://127.0.0.1:8080", b"null", b""])
def test_a_web_page_is_refused_though_the_secret_is_right(door, origin):
    assert refused(door, [*RIGHT, (b"origin", origin)]) == (403, "origin_not_allowed")


SECRETS = {
    "none": [],
    "an empty one": [(b"authorization", b"Bearer ")],
    "another": [(b"authorization", b"Bearer " + b"t" * 43)],
    "a part": [(b"authorization", b"Bearer " + SECRET[:-1])],
    "a longer one": [(b"authorization", b"Bearer " + SECRET + b"s")],
    "another scheme": [(b"authorization", b"Basic " + SECRET)],
    "no scheme": [(b"authorization", SECRET)],
    "two": [(b"authorization", b"Bearer " + SECRET)] * 2,
    "in another header": [(b"x-api-key", SECRET)],
    "not ASCII": [(b"authorization", b"Bearer " + "ß".encode() * 43)],
}


@pytest.mark.parametrize("fault", SECRETS)
def test_without_the_secret_nobody_is_let_in(fault):
    assert refused(TCP, [RIGHT[0], *SECRETS[fault]]) == (401, "invalid_api_key")


def test_a_refusal_shows_no_secret():
    assert SECRET.decode() not in repr(Refusal(401, "x", "y").body)
