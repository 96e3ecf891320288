"""Many nodes behind one address: each is verified on the connection that leads to it (rules C3, C4, C7)."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from inspect import getsource

import anyio
import httpcore2
import httpx2
import pytest
from httpcore2._backends import anyio as asynchronous
from httpcore2._backends import sync
from httpcore2._sync import http11

from client_sdk import backends, fetch
from client_sdk import fleet as fleet_module
from client_sdk.backends import AsyncAttestedStream, AttestedStream, AttestingBackend
from client_sdk.client import AsyncAttestedHttpClient, AttestedHttpClient
from client_sdk.errors import AttestationError, EvidenceError, FetchError, PolicyError, VerificationError
from client_sdk.fleet import CONNECTIONS, Fleet
from client_sdk.origin import Origin
from client_sdk.parse.certificate import spki_digest
from client_sdk.releases import open_releases
from client_sdk.rounds import gather_from, judge
from tests.fakes.balancer import balancing
from tests.fakes.loopback import closed_address, deaf_address, resolve
from tests.fakes.simulated_server import ATTESTATION, resetting_port, serving, show_other_key, silent_port
from tests.fakes.simulated_vm import SimulatedVm, TestCa, ec_key, release, signed, tls_certificate

CHAT = "/v1/chat/completions"
ACTIVATE = f"{ATTESTATION}/activate"
ANEW = {"Connection": "close"}  # the next request needs a connection of its own


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def nodes():
    with ExitStack() as stack:
        yield [stack.enter_context(serving(SimulatedVm(name))) for name in ("first", "second", "third")]


@pytest.fixture
def balancer(nodes):
    with balancing(*map(port, nodes)) as running:
        yield running


def port(server) -> int:
    return server.server_address[1]


def spki(server) -> str:
    return spki_digest(server.tls_certificate, "$").hex()


def attesting(pins):
    def attest(peer):
        trusted, now = pins.options, datetime.now(UTC)
        opened = open_releases(trusted["releases"], trusted["publisher"], now=now)
        return judge(gather_from(peer), releases=opened, policy=trusted["policy"], now=now)

    return attest


@pytest.fixture
def fleet(pins, balancer, clock):
    def make(**options) -> Fleet:
        options = {"max_age": 60.0, "clock": clock, "seconds": 20.0, **options}
        return Fleet(Origin.parse(balancer.origin), options.pop("attest", attesting(pins)), **options)

    return make


def sync_send(fleet, count=1, *, headers=None, path=CHAT, at_once=1):
    """Send prompts; return the statuses, or the errors."""

    def one(number):
        try:
            body = {"stream": False, "prompt": number}
            return client.post(f"{fleet.origin}{path}", json=body, headers=headers, timeout=30).status_code
        except (AttestationError, httpx2.HTTPError) as error:
            return error

    with AttestedHttpClient(fleet) as client, ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(count)))


def async_send(fleet, count=1, *, headers=None, path=CHAT, at_once=1):
    """The same, asynchronous."""
    results = {}

    async def one(client, limiter, number):
        async with limiter:
            try:
                body = {"stream": False, "prompt": number}
                answer = await client.post(f"{fleet.origin}{path}", json=body, headers=headers, timeout=30)
                results[number] = answer.status_code
            except (AttestationError, httpx2.HTTPError) as error:
                results[number] = error

    async def talk():
        limiter = anyio.Semaphore(at_once)
        async with AsyncAttestedHttpClient(fleet) as client, anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(one, client, limiter, number)

    anyio.run(talk)
    return [results[number] for number in range(count)]


both = pytest.mark.parametrize("send", [sync_send, async_send])


def be_impostor(server, name="impostor") -> None:
    """Show keys that no TPM vouches for, and relay the rest: the evidence of the genuine VM."""
    show_other_key(server, ec_key(name), tls_certificate(ec_key(name)))


def only_attestation(server) -> None:
    assert {path for _, path, _ in server.requests} <= {ATTESTATION, ACTIVATE}
    assert server.prompts == []


@both
def test_control_each_node_is_verified_once_and_all_requests_are_answered(fleet, nodes, balancer, send):
    members = fleet()
    assert send(members, 12, headers=ANEW) == [200] * 12
    assert [node.rounds() for node in nodes] == [1, 1, 1]
    assert sum(len(node.prompts) for node in nodes) == 12
    assert set(members.attestations) == {spki(node) for node in nodes}
    assert {report.verdict for report in members.attestations.values()} == {"accepted"}
    assert members.refused == ()
    assert balancer.connections == 13


@both
def test_control_requests_at_once(fleet, nodes, send):
    assert send(fleet(), 60, headers=ANEW, at_once=12) == [200] * 60
    assert [node.rounds() for node in nodes] == [1, 1, 1], "whoever meets a node that is being verified waits"


@both
def test_the_report_is_about_the_node_that_answered(fleet, nodes, send):
    members = fleet()
    for _ in range(5):
        before = [len(node.prompts) for node in nodes]
        send(members, headers=ANEW)
        (asked,) = [node for node, count in zip(nodes, before, strict=True) if len(node.prompts) > count]
        assert members.latest.accepted.evidence.spki.hex() == spki(asked)


@both
def test_more_nodes_than_connections_of_a_request(fleet, nodes, balancer, send):
    """Random balancing over many nodes costs no renewals: whichever node comes is verified where it is."""
    with ExitStack() as stack:
        more = [stack.enter_context(serving(SimulatedVm(f"node {number}"))) for number in range(6)]
        balancer.nodes = [port(node) for node in (*nodes, *more)]
        assert send(fleet(), 9, headers=ANEW) == [200] * 9
        assert [node.rounds() for node in (*nodes, *more)] == [1] * 9


# Impostors


@both
def test_an_impostor_among_the_nodes_gets_no_byte_and_the_others_serve(fleet, nodes, send):
    members = fleet()
    be_impostor(nodes[1])
    assert send(members, 9, headers=ANEW) == [200] * 9
    only_attestation(nodes[1])
    assert {refused.node.spki for refused in members.refused} == {spki(nodes[1])}
    assert {refused.report.verdict for refused in members.refused} == {"refused"}
    assert spki(nodes[1]) not in members.attestations


@both
def test_the_error_names_the_impostor(fleet, nodes, balancer, send):
    members = fleet()
    be_impostor(nodes[1])
    balancer.nodes = [port(nodes[1])]
    (error,) = send(members)
    assert isinstance(error, VerificationError)
    assert error.rule == "C3.1"
    assert error.node == members.refused[-1].node
    assert (error.node.spki, error.node.ak_name) == (spki(nodes[1]), nodes[1].vm.ak_name().hex())
    assert error.node.address == balancer.origin.removeprefix("https://")
    assert spki(nodes[1]) in str(error)
    assert balancer.connections == 1 + CONNECTIONS
    assert nodes[1].rounds() == 1, "one request asks no node twice"
    only_attestation(nodes[1])


def test_an_impostor_at_first_contact_and_nobody_else(fleet, nodes, balancer):
    be_impostor(nodes[0])
    balancer.nodes = [port(nodes[0])]
    with pytest.raises(VerificationError, match=rf"\[C3\.1\].*{spki(nodes[0])}"):
        fleet()
    assert nodes[0].rounds() == 1
    only_attestation(nodes[0])


def test_an_impostor_at_first_contact_is_listed_when_another_node_passes(fleet, nodes):
    be_impostor(nodes[0])
    members = fleet()
    assert [refused.node.spki for refused in members.refused] == [spki(nodes[0])]
    assert list(members.attestations) == [spki(nodes[1])]


def test_an_impostor_is_not_hidden_by_dead_nodes(fleet, nodes, balancer):
    be_impostor(nodes[0])
    balancer.nodes = [1, port(nodes[0]), 1]
    with pytest.raises(VerificationError, match=spki(nodes[0])):
        fleet()


@both
def test_an_impostor_is_not_hidden_by_dead_nodes_later(fleet, nodes, balancer, send):
    members = fleet()
    be_impostor(nodes[0])
    balancer.nodes = [1, port(nodes[0]), 1]
    (error,) = send(members)
    assert isinstance(error, VerificationError)
    assert error.node.spki == spki(nodes[0])


@pytest.mark.parametrize(
    ("attack", "change", "error", "rule"),
    [
        ("a TPM of its own", {"vm": SimulatedVm("mine", ca=TestCa("mine"))}, VerificationError, "K1"),
        ("another image", {"phases": ("sysinit",)}, PolicyError, "L1"),
        ("old evidence", {"nonce_override": bytes(32)}, VerificationError, "C2"),
        ("a failing activation", {"answer_with": {ACTIVATE: (400, {}, b"{}")}}, VerificationError, "Q8"),
        ("a redirect", {"answer_with": {ATTESTATION: (307, {"Location": "/"}, b"")}}, VerificationError, "C3"),
        ("no evidence", {"answer_with": {ATTESTATION: (200, {}, b"{}")}}, EvidenceError, ""),
    ],
)
@both
def test_what_makes_a_node_unacceptable(fleet, nodes, balancer, send, attack, change, error, rule):
    members = fleet()
    for name, value in change.items():
        setattr(nodes[1].vm if name == "phases" else nodes[1], name, value)
    show_other_key(nodes[1], nodes[1].vm.tls, nodes[1].vm.tls_certificate)
    balancer.nodes = [port(nodes[1])]
    (got,) = send(members)
    assert isinstance(got, error)
    assert rule in str(got)
    assert got.node.spki == spki(nodes[1])
    only_attestation(nodes[1])


@both
def test_evidence_relayed_from_another_verified_node(fleet, nodes, balancer, send):
    """The certificate in the evidence is one that the client trusts; the connection's is not."""
    members = fleet()
    send(members, 3, headers=ANEW)
    before = len(nodes[1].requests)
    nodes[1].vm = nodes[0].vm
    be_impostor(nodes[1])
    balancer.nodes = [port(nodes[1])]
    (error,) = send(members)
    assert "[C3.1]" in str(error)
    assert [path for _, path, _ in nodes[1].requests[before:]] == [ATTESTATION]


@both
def test_endless_keys_that_nobody_vouches_for_are_cut_off(fleet, nodes, balancer, send):
    members = fleet()
    fresh = iter(range(100))
    nodes[1].before_tls = lambda: be_impostor(nodes[1], f"key {next(fresh)}")
    balancer.nodes = [port(nodes[1])]
    (error,) = send(members)
    assert "[C3.1]" in str(error)
    assert nodes[1].rounds() == CONNECTIONS
    assert error.node == members.refused[0].node, "the first is named, all are listed"
    assert len({refused.node.spki for refused in members.refused}) == CONNECTIONS
    only_attestation(nodes[1])


@both
def test_endless_genuine_keys_cost_one_verification_a_connection_and_are_forgotten(
    fleet, nodes, balancer, send, monkeypatch
):
    monkeypatch.setattr(fleet_module, "KEPT", 4)
    members = fleet()
    names = iter(range(100))

    def reboot():
        nodes[1].vm = SimulatedVm(f"boot {next(names)}")
        show_other_key(nodes[1], nodes[1].vm.tls, nodes[1].vm.tls_certificate)

    nodes[1].before_tls = reboot
    balancer.nodes = [port(nodes[1])]
    assert send(members, 7, headers=ANEW) == [200] * 7
    assert nodes[1].rounds() == 7
    assert len(members.attestations) == 4


@both
def test_a_node_that_was_forgotten_is_verified_anew(fleet, nodes, send, monkeypatch):
    monkeypatch.setattr(fleet_module, "KEPT", 2)
    assert send(fleet(), 5, headers=ANEW) == [200] * 5
    assert [node.rounds() for node in nodes] == [2, 2, 2]


def test_refusals_are_a_bounded_list(fleet, nodes, balancer):
    members = fleet()
    fresh = iter(range(1000))
    nodes[1].before_tls = lambda: be_impostor(nodes[1], f"key {next(fresh)}")
    balancer.nodes = [port(nodes[1])]
    sync_send(members, 25)
    assert len(members.refused) == fleet_module.KEPT < nodes[1].rounds()


@both
def test_many_requests_that_meet_one_impostor_share_its_refusal(fleet, nodes, balancer, send):
    members = fleet()
    be_impostor(nodes[1])
    nodes[1].drip = 0.00005  # an answer that takes a while
    balancer.nodes = [port(nodes[1])]
    errors = send(members, 12, at_once=12)
    assert {error.rule for error in errors} == {"C3.1"}
    assert nodes[1].rounds() < 12
    only_attestation(nodes[1])


def test_an_impostor_does_not_leave_the_list_by_falling_silent(fleet, nodes, balancer):
    members = fleet()
    be_impostor(nodes[1])
    balancer.nodes = [port(nodes[1])]
    sync_send(members)
    nodes[1].answer_with[ATTESTATION] = (503, {}, b"{}")
    sync_send(members)
    ((refused),) = members.refused
    assert refused.report.verdict == "refused"
    assert "[C3.1]" in refused.why


# Nodes that are slow, booting, or gone


@both
def test_a_node_that_still_boots_is_passed_over_and_listed(fleet, nodes, send):
    members = fleet()
    nodes[1].answer_with[ATTESTATION] = (503, {"Retry-After": "5"}, b"{}")
    assert send(members, 6, headers=ANEW) == [200] * 6
    assert {refused.report.verdict for refused in members.refused} == {"no verdict"}
    only_attestation(nodes[1])


@both
def test_nodes_that_all_boot_are_an_error_that_says_when_to_come_back(fleet, nodes, send, clock):
    members = fleet()
    clock.now += 60.0
    for node in nodes:
        node.answer_with[ATTESTATION] = (503, {"Retry-After": "5"}, b"{}")
    (error,) = send(members)
    assert isinstance(error, FetchError)
    assert error.retry_after == 5


@both
def test_a_node_that_answers_no_attestation_in_time(fleet, nodes, send):
    members = fleet(seconds=2.0)
    nodes[1].drip = 0.05
    nodes[2].drip = 0.0
    assert send(members, 2, headers=ANEW) == [200, 200]
    assert [refused.report.verdict for refused in members.refused] == ["no verdict"]


@both
def test_a_node_that_hangs_in_the_handshake_is_passed_over(fleet, nodes, balancer, send, monkeypatch):
    """Its port accepts and says nothing, as a machine that is paused: not all of a request's time is spent on it."""
    monkeypatch.setattr(backends, "HANDSHAKE", 3)
    members = fleet()
    with silent_port() as origin:
        balancer.nodes = [Origin.parse(origin).port, port(nodes[1]), port(nodes[2])]
        assert send(members, 3, headers=ANEW) == [200] * 3


def slowly(monkeypatch, module, name):
    """Let a reset arrive before the handshake begins: what connects takes its time."""
    connect = getattr(module, name)

    def late(*words, **options):
        made = connect(*words, **options)
        time.sleep(0.1)
        return made

    monkeypatch.setattr(module, name, late)


def test_a_connection_that_is_reset_before_tls_is_no_verdict(monkeypatch):
    begin = fetch._shake_hands
    monkeypatch.setattr(fetch, "_shake_hands", lambda *words: time.sleep(0.1) or begin(*words))
    with resetting_port() as origin, pytest.raises(FetchError, match=r"no TLS|cannot reach"):
        fetch.Peer.connect(Origin.parse(origin), seconds=5)


@both
def test_connections_that_are_reset_before_tls_lead_to_no_request(fleet, monkeypatch, send):
    """Python's ssl makes a socket without a handshake of one that was reset: that is not one without a certificate."""
    members = fleet()
    slowly(monkeypatch, sync.socket, "create_connection")
    with resetting_port() as origin:
        members.origin = Origin.parse(origin)
        (error,) = send(members)
    assert isinstance(error, (FetchError, httpx2.ConnectError))


@pytest.mark.parametrize("says", [OSError(107, "Transport endpoint is not connected"), None])
@both
def test_a_connection_that_is_reset_at_once_is_passed_over(fleet, balancer, send, monkeypatch, says):
    """Its socket does not even say any more where it led: with an error, or, under asyncio, with nothing."""
    members, dead = fleet(), []

    def reset(tls):
        if dead:
            return balancer.server_address
        dead.append(tls)
        if says:
            raise says
        return None

    monkeypatch.setattr(sync.SyncStream, "get_extra_info", _instead(sync.SyncStream, reset))
    monkeypatch.setattr(asynchronous.AnyIOStream, "get_extra_info", _instead(asynchronous.AnyIOStream, reset))
    assert send(members, 2, headers=ANEW) == [200, 200]
    assert dead


def _instead(kind, server_address):
    genuine = kind.get_extra_info
    return lambda self, info: server_address(self) if info == "server_addr" else genuine(self, info)


def test_addresses_that_are_silent_leave_time_of_the_limit_for_the_one_behind_them(fleet, balancer, monkeypatch):
    with deaf_address() as deaf:
        resolve(monkeypatch, deaf, deaf, balancer.server_address)
        backend = AttestingBackend(fleet())
        began = time.monotonic()
        backend.connect_tcp("service.example", 443, timeout=6).close()
        assert time.monotonic() - began < 6


def test_many_addresses_of_which_none_answers_share_the_limit_of_connecting(fleet, monkeypatch):
    with deaf_address() as deaf:
        resolve(monkeypatch, *[deaf] * 8)
        began = time.monotonic()
        with pytest.raises(httpcore2.ConnectTimeout):
            AttestingBackend(fleet()).connect_tcp("service.example", 443, timeout=0.5)
        assert time.monotonic() - began < 3


def test_a_resolver_that_is_slow_takes_nothing_of_the_limit_of_connecting(fleet, balancer, monkeypatch):
    """One with a dead first name server answers after five seconds: that is openai's whole time for connecting."""
    resolve(monkeypatch, balancer.server_address, seconds=3.5)
    AttestingBackend(fleet()).connect_tcp("service.example", 443, timeout=3).close()


def test_an_address_of_one_link_is_connected_to_on_that_link(fleet, monkeypatch):
    """Without its link (IPv6's scope) the system does not know where to send, and refuses (EINVAL)."""
    there, asked = ("fe80::1", 443, 0, socket.if_nametoindex("lo")), []

    def refuse(address, *_, **__):
        asked.append(address)
        raise ConnectionRefusedError

    backend = AttestingBackend(fleet())
    resolve(monkeypatch, there)
    monkeypatch.setattr(sync.socket, "create_connection", refuse)
    with pytest.raises(httpcore2.ConnectError):
        backend.connect_tcp("service.example", 443, timeout=5)
    ((host, port),) = asked
    assert [found[-1] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)] == [there]


@pytest.mark.parametrize("addresses", [(), (closed_address(), closed_address())])
def test_a_name_that_leads_nowhere_is_a_connection_error(fleet, monkeypatch, addresses):
    """Which the transport knows as one that was raised before anything was sent."""
    resolve(monkeypatch, *addresses)
    with pytest.raises(httpcore2.ConnectError):
        AttestingBackend(fleet()).connect_tcp("service.example", 443, timeout=5)


@both
def test_a_node_that_is_gone_is_passed_over(fleet, nodes, balancer, send):
    members = fleet()
    balancer.nodes = [1, port(nodes[1]), port(nodes[2])]
    assert send(members, 6, headers=ANEW) == [200] * 6


@both
def test_when_all_are_gone_it_is_a_connection_error(fleet, balancer, send):
    members = fleet()
    balancer.nodes = [1]
    (error,) = send(members)
    assert isinstance(error, httpx2.ConnectError)
    assert balancer.connections == 1 + CONNECTIONS


@both
def test_a_request_that_may_have_been_read_goes_to_no_other_node(fleet, nodes, send):
    members = fleet()
    for node in nodes:
        node.answer_with[CHAT] = (200, {"Transfer-Encoding": "chunked"}, b"zz\r\n")
    (error,) = send(members)
    assert isinstance(error, httpx2.TransportError)
    assert sum(len(node.prompts) for node in nodes) == 1


@both
def test_a_node_that_ends_connections_after_attestation(fleet, nodes, balancer, send):
    """It is verified, and yet nothing can be asked of it: said so, and not tried for ever."""
    members = fleet()
    nodes[1].close_after = ACTIVATE
    balancer.nodes = [port(nodes[1])]
    assert send(members) == [200], "the first connection is lost, the second is to a node that is known"
    assert nodes[1].rounds() == 1
    nodes[2].close_after = ATTESTATION
    balancer.nodes = [port(nodes[2])]
    (error,) = send(members)
    assert isinstance(error, FetchError)
    only_attestation(nodes[2])


# Verdicts that end


@both
def test_a_verdict_that_runs_out_ends_the_connections_of_that_node_alone(fleet, nodes, balancer, clock, send):
    members = fleet()  # the first node, at 1000
    clock.now = 1030.0
    assert send(members, 2, headers=ANEW) == [200, 200]  # the others, at 1030
    clock.now = 1060.0
    assert set(members.attestations) == {spki(node) for node in nodes[1:]}
    assert send(members, 3, headers=ANEW) == [200] * 3
    assert [node.rounds() for node in nodes] == [2, 1, 1]


def test_a_kept_connection_takes_no_request_after_its_verdict(fleet, nodes, clock):
    members = fleet()
    with AttestedHttpClient(members) as client:
        pool = client._transport._stock._pool
        url = f"{members.origin}/healthz"
        client.get(url)  # the second node, at 1000
        clock.now = 1030.0
        with client.stream("POST", f"{members.origin}{CHAT}", json={}) as answer:  # holds that connection
            client.get(url)  # the third node, at 1030
            answer.read()
        assert len(pool.connections) == 2
        clock.now = 1060.0
        client.get(url)
        assert len(pool.connections) == 1, "the second node's is closed, the third node's was used"
    assert [node.rounds() for node in nodes] == [1, 1, 1]


@both
def test_a_release_that_expired_by_the_time_of_renewal(fleet, nodes, pins, clock, send):
    members = fleet()
    assert send(members, 3, headers=ANEW) == [200] * 3
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=60)
    pins.release.write_bytes(signed(release(since=old)))
    assert send(members, headers=ANEW) == [200], "verdicts hold for max_age, as is documented"
    clock.now += 60.0
    (error,) = send(members, headers=ANEW)
    assert "R6" in str(error)
    assert sum(len(node.prompts) for node in nodes) == 4
    assert members.attestations == {}


@both
def test_a_release_that_was_withdrawn_by_the_time_of_renewal(fleet, nodes, pins, clock, send):
    """The publisher signs another image: nodes with the old one are refused when their verdict has run out."""
    members = fleet()
    statement = release(2)
    measured = tuple((pcr, bytes(32) if pcr == 4 else value) for pcr, value in statement.measurements[0].pcrs)
    statement = replace(statement, measurements=(replace(statement.measurements[0], pcrs=measured),))
    pins.release.write_bytes(signed(statement))
    clock.now += 60.0
    (error,) = send(members, headers=ANEW)
    assert isinstance(error, PolicyError)
    assert "pcr4" in str(error)
    for node in nodes:
        only_attestation(node)


def test_what_was_verified_is_not_the_node_of_this_connection(fleet, nodes, balancer, pins):
    """A verifier that answers about somebody else lets nobody in."""
    genuine, seen = attesting(pins), []

    def confused(peer):
        seen.append(genuine(peer))
        return seen[0]

    members = fleet(attest=confused)
    balancer.nodes = [port(nodes[1])]
    (error,) = sync_send(members, headers=ANEW)
    assert "[C3] what was verified is not the node" in str(error)
    for node in nodes:
        only_attestation(node)


# By construction


def test_nothing_can_be_written_before_a_verdict(fleet, nodes):
    host, at = nodes[1].server_address
    stream = AttestingBackend(fleet()).connect_tcp(host, at, 5)
    for act in (lambda: stream.write(b"secret"), lambda: stream.read(1)):
        with pytest.raises(NotImplementedError):
            act()
    stream.close()


class Written:
    """A stream that notes what was written."""

    def __init__(self):
        self.bytes = b""

    def write(self, data, timeout=None):
        self.bytes += data

    def get_extra_info(self, info):
        return False


def test_nothing_is_written_after_the_verdict(fleet, clock):
    written = Written()
    stream = AttestedStream(written, fleet().latest)
    stream.write(b"a")
    assert not stream.get_extra_info("is_readable")
    clock.now += 60.0
    with pytest.raises(VerificationError, match=r"\[C7\]"):
        stream.write(b"b")
    assert written.bytes == b"a"
    assert stream.get_extra_info("is_readable"), "and a pool takes it for one that the server has closed"
    with pytest.raises(VerificationError, match=r"\[C7\]"):
        anyio.run(AsyncAttestedStream(written, stream.verdict).write, b"b")
    assert written.bytes == b"a"


def test_no_tls_begins_within_an_attested_connection(fleet):
    verdict = fleet().latest
    with pytest.raises(VerificationError, match=r"\[C3\]"):
        AttestedStream(Written(), verdict).start_tls(None)
    with pytest.raises(VerificationError, match=r"\[C3\]"):
        anyio.run(AsyncAttestedStream(Written(), verdict).start_tls, None)


def test_only_connecting_is_tried_again():
    """What the transport takes for unsent is raised by httpcore while it connects, and nowhere else."""
    assert "raise Connect" not in getsource(http11).replace("raise ConnectionNotAvailable()", "")
    for stream in (sync.SyncStream, asynchronous.AnyIOStream):
        for act in ("read", "write"):
            assert "Connect" not in getsource(getattr(stream, act))


@pytest.mark.parametrize("how", ["a cancelled scope", "a cancelled task"])
def test_a_verification_that_is_broken_off_takes_no_other_request_with_it(fleet, nodes, balancer, how):
    """The task that verifies a node ends early; another one that waits for the outcome is served all the same."""
    members = fleet()
    balancer.nodes = [port(nodes[1])]
    nodes[1].hold = threading.Event()
    answers = []

    async def ask(client):
        answers.append((await client.post(f"{members.origin}{CHAT}", json={}, timeout=30)).status_code)

    async def talk():
        async with AsyncAttestedHttpClient(members) as client:
            scope = anyio.CancelScope()
            doomed = asyncio.create_task(within(client, scope))
            with anyio.fail_after(20):
                while nodes[1].rounds() < 1:  # until it has asked for evidence, which is held back
                    await anyio.sleep(0.01)
            assert nodes[1].rounds() == 1
            waiting = asyncio.create_task(ask(client))
            await anyio.sleep(0.3)
            if how == "a cancelled scope":
                scope.cancel()
            else:
                doomed.cancel()
            await asyncio.wait([doomed])
            nodes[1].hold.set()
            await waiting

    async def within(client, scope):
        with scope:
            await ask(client)

    asyncio.run(talk())
    assert answers == [200]
    assert len(nodes[1].prompts) == 1
    assert members._flights == {}
