"""Asking a peer that nobody trusts: bounded in size and time, nothing followed (rules C1, C3, F2)."""

from __future__ import annotations

import ssl
import time
from types import SimpleNamespace

import pytest

from client_sdk import deadline
from client_sdk.deadline import in_turn
from client_sdk.encoding import MAX_JSON
from client_sdk.errors import AttestationError, EvidenceError, FetchError, PolicyError, VerificationError
from client_sdk.fetch import Peer
from client_sdk.origin import Origin
from client_sdk.rounds import attest, gather, observe
from tests.fakes.loopback import closed_address, deaf_address, mute_address, resolve
from tests.fakes.simulated_server import ATTESTATION, silent_port
from tests.fakes.simulated_vm import SimulatedVm, ec_key, publisher_key, release, signed, tls_certificate

NONCE = bytes(range(32))
ACTIVATE = f"{ATTESTATION}/activate"


def gathered(server, *, timeout=20.0):
    return gather(Origin.parse(server.origin), timeout=timeout)


def test_control_is_accepted_on_one_connection(server, pins):
    accepted = attest(server.origin, **pins.options)
    assert accepted.report.verdict == "accepted"
    assert server.connections == 1
    assert [path for _, path, _ in server.requests] == [ATTESTATION, ACTIVATE]
    assert [check.id for check in accepted.checks][:4] == ["R1", "R6", "R3", "C3.1"]


def test_a_fresh_nonce_each_time(server):
    assert gathered(server).nonce != gathered(server).nonce


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8443",
        "ftp://127.0.0.1",
        "127.0.0.1:8443",
        "",
        "https://",
        "https://host/v1",
        "https://host?x=1",
        "https://host#x",
        "https://user:secret@host",
        "https://host:99999",
        "https://host:0",
        "https://a..example",
        "https://" + "a" * 64 + ".example",
        "https://xn--\u2603.example",
        "https://\ud800.example",
        "https://host:port",
        "https://[::1",
    ],
)
def test_an_origin_that_is_none_is_refused_before_anything_is_sent(text, pins):
    with pytest.raises(PolicyError, match="C3: the origin"):
        attest(text, **pins.options)


def test_origins_are_read():
    assert str(Origin.parse("https://HOST/")) == "https://host:443"
    assert str(Origin.parse("https://[::1]:8443")) == "https://[::1]:8443"


def test_nobody_there():
    with pytest.raises(FetchError, match="cannot reach"):
        gather(Origin("127.0.0.1", 9), timeout=5)


def test_a_name_that_does_not_exist():
    with pytest.raises(FetchError, match="cannot reach"):
        gather(Origin("no-such-host.invalid", 443), timeout=20)


def test_many_addresses_of_which_none_answers_share_one_time_limit(monkeypatch):
    with deaf_address() as deaf:
        resolve(monkeypatch, *[deaf] * 20)
        began = time.monotonic()
        with pytest.raises(FetchError, match=r"cannot reach https://service\.example:443"):
            gather(Origin("service.example", 443), timeout=0.5)
        assert time.monotonic() - began < 3


def test_addresses_that_are_silent_leave_time_for_the_one_behind_them(monkeypatch, server):
    with deaf_address() as deaf:
        resolve(monkeypatch, deaf, deaf, server.server_address)
        assert gather(Origin("service.example", 443), timeout=6).evidence


def test_addresses_that_are_silent_in_tls_leave_time_for_the_one_behind_them(monkeypatch, server):
    with mute_address() as mute:
        resolve(monkeypatch, mute, mute, server.server_address)
        assert gather(Origin("service.example", 443), timeout=6).evidence


def test_an_address_that_refuses_costs_those_behind_it_nothing(monkeypatch, server):
    resolve(monkeypatch, closed_address(), closed_address(), server.server_address)
    assert gather(Origin("service.example", 443), timeout=20).evidence


def test_of_many_addresses_the_first_have_time_for_a_packet_that_is_lost(monkeypatch):
    """It is sent again after a second; of eight addresses in five seconds a fair share is less. None gets no time."""
    clock, given = [100.0], []
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def reach(address, until):
        given.append(until - clock[0])
        clock[0] = until
        raise TimeoutError(address)

    with pytest.raises(TimeoutError, match=r"^8$"):
        in_turn([str(number) for number in range(1, 9)], clock[0] + 5, reach)
    assert [seconds > 1.2 for seconds in given] == [True] * 2 + [False] * 6
    assert min(given) > 0
    assert clock[0] == pytest.approx(105)


def test_a_vm_that_boots_is_told_though_an_address_behind_it_is_closed(monkeypatch):
    with mute_address() as mute:
        resolve(monkeypatch, mute, closed_address())
        with pytest.raises(FetchError, match=r"no TLS 1\.3 with https://service\.example:443: .*still booting"):
            gather(Origin("service.example", 443), timeout=0.5)


def test_a_name_without_an_address(monkeypatch):
    resolve(monkeypatch)
    with pytest.raises(FetchError, match="the name has no address"):
        gather(Origin("service.example", 443), timeout=5)


def test_a_vm_that_still_boots_behind_a_port_forward():
    with silent_port() as origin, pytest.raises(FetchError, match="booting"):
        gather(Origin.parse(origin), timeout=0.5)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("", None), ("soon", None), ("-1", None), ("99999", 3600), ("٣", None)]
)
def test_a_service_that_is_not_ready(server, status, header, seconds):
    headers = {"Retry-After": header.encode().decode("latin-1")} if header else {}
    server.answer_with[ATTESTATION] = (status, headers, b"{}")
    with pytest.raises(FetchError, match="not ready") as caught:
        gathered(server)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server, impostor, status):
    server.answer_with[ATTESTATION] = (status, {"Location": impostor.origin + ATTESTATION}, b"")
    with pytest.raises(VerificationError, match=r"\[C3\].*does not redirect"):
        gathered(server)
    assert impostor.requests == []


@pytest.mark.parametrize("status", [400, 404, 418, 500])
def test_another_status_is_no_verdict(server, status):
    server.answer_with[ATTESTATION] = (status, {}, b"")
    with pytest.raises(FetchError, match=f"HTTP {status}"):
        gathered(server)


def test_an_answer_of_5_mib(server):
    server.answer_with[ATTESTATION] = (200, {}, b" " * (5 << 20))
    with pytest.raises(EvidenceError, match=f"over the limit of {MAX_JSON}"):
        gathered(server)


def test_a_slow_loris_does_not_outlive_the_time_limit(server):
    server.drip = 0.05
    started = time.monotonic()
    with pytest.raises(FetchError, match="no answer"):
        gathered(server, timeout=1.0)
    assert time.monotonic() - started < 10


def test_an_answer_that_ends_early(server):
    server.answer_with[ATTESTATION] = (200, {"Transfer-Encoding": "chunked"}, b"5\r\nhal")
    with pytest.raises((FetchError, EvidenceError)):
        gathered(server, timeout=2)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"version":2}', b"<html></html>"])
def test_an_answer_that_is_no_evidence(server, body):
    server.answer_with[ATTESTATION] = (200, {}, body)
    with pytest.raises(EvidenceError):
        gathered(server)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"secret":1}', b'{"secret":"AA"}', b'{"secret":"","more":1}'])
def test_a_second_answer_that_is_none(server, body):
    server.answer_with[ACTIVATE] = (200, {}, body)
    with pytest.raises(EvidenceError):
        gathered(server)


def test_a_peer_that_cannot_activate(server):
    server.answer_with[ACTIVATE] = (400, {}, b"{}")
    with pytest.raises(VerificationError, match=r"\[Q8\.3\].*HTTP 400"):
        gathered(server)


def test_a_busy_second_round_may_be_tried_again(server):
    server.answer_with[ACTIVATE] = (429, {"Retry-After": "3"}, b"{}")
    with pytest.raises(FetchError) as caught:
        gathered(server)
    assert caught.value.retry_after == 3


BUSY = (503, {"Retry-After": "1"}, b'{"error":{"code":"attestation_overloaded"}}')


def test_a_service_with_too_many_callers_is_asked_again_when_it_says(server, pins, monkeypatch):
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            server.answer_with.clear()

    server.answer_with[ATTESTATION] = BUSY
    monkeypatch.setattr("client_sdk.rounds.time.sleep", sleep)
    assert attest(server.origin, **pins.options).report.verdict == "accepted"
    assert len(slept) == 2
    assert all(1 <= seconds <= 1.25 for seconds in slept)
    assert server.connections == 3
    assert server.rounds() == 3


def test_a_service_that_says_at_once_is_not_asked_without_end(server, pins, monkeypatch):
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        server.answer_with.clear()

    server.answer_with[ATTESTATION] = (503, {"Retry-After": "0"}, b"{}")
    monkeypatch.setattr("client_sdk.rounds.time.sleep", sleep)
    attest(server.origin, **pins.options)
    assert [seconds >= 1 for seconds in slept] == [True]


def test_each_time_it_is_another_nonce(server, pins, monkeypatch):
    nonces = []

    def told(peer, nonce):
        nonces.append(nonce)
        if len(nonces) < 3:
            raise FetchError("busy", retry_after=1)
        return asked(peer, nonce)

    asked = Peer.evidence
    monkeypatch.setattr(Peer, "evidence", told)
    monkeypatch.setattr("client_sdk.rounds.time.sleep", lambda _: None)
    attest(server.origin, **pins.options)
    assert len(set(nonces)) == 3


@pytest.mark.parametrize("header", ["20", "99999", "", "soon"])
def test_a_time_that_is_beyond_the_limit_or_none_is_not_waited_for(server, pins, monkeypatch, header):
    monkeypatch.setattr("client_sdk.rounds.time.sleep", lambda _: pytest.fail("it waited"))
    server.answer_with[ATTESTATION] = (503, {"Retry-After": header}, b"{}")
    with pytest.raises(FetchError, match="not ready"):
        attest(server.origin, timeout=20, **pins.options)
    assert server.rounds() == 1


def test_a_service_that_stays_busy_is_given_up_within_the_limit(server, pins):
    server.answer_with[ATTESTATION] = BUSY
    started = time.monotonic()
    with pytest.raises(FetchError, match="not ready") as caught:
        attest(server.origin, timeout=2.5, **pins.options)
    assert time.monotonic() - started < 10
    assert caught.value.retry_after == 1
    assert server.rounds() in (2, 3)


@pytest.mark.parametrize("status", [400, 404, 500])
def test_another_refusal_is_not_repeated_whatever_it_says_of_time(server, pins, status):
    server.answer_with[ATTESTATION] = (status, {"Retry-After": "1"}, b"{}")
    with pytest.raises(FetchError, match=f"HTTP {status}"):
        attest(server.origin, **pins.options)
    assert server.rounds() == 1


def test_tls_1_2_is_not_spoken(server):
    server.minimum = server.maximum = ssl.TLSVersion.TLSv1_2
    with pytest.raises(FetchError, match=r"no TLS 1\.3"):
        gathered(server)


def test_a_relay_with_a_certificate_of_its_own(server, pins):
    server.tls_key, server.tls_certificate = ec_key("relay"), tls_certificate(ec_key("relay"))
    with pytest.raises(VerificationError, match=r"\[C3\.1\]"):
        attest(server.origin, **pins.options)
    assert [path for _, path, _ in server.requests] == [ATTESTATION]


def test_a_certificate_of_the_same_key_is_still_another(server, pins):
    server.tls_certificate = tls_certificate(server.tls_key)
    with pytest.raises(VerificationError, match=r"\[C3\.1\]"):
        attest(server.origin, **pins.options)


def test_a_replayed_answer(server, pins):
    server.nonce_override = NONCE
    with pytest.raises(VerificationError, match=r"\[C2\.2\]"):
        attest(server.origin, **pins.options)


def test_another_vms_evidence(server, pins):
    """The whole answer of another genuine VM: it does not hold this connection's key."""
    server.vm = SimulatedVm("second")
    with pytest.raises(VerificationError, match=r"\[C3\.1\]"):
        attest(server.origin, **pins.options)


def test_the_environment_chooses_neither_peers_nor_roots(server, impostor, pins, monkeypatch, tmp_path):
    (tmp_path / "evil.pem").write_text(ssl.DER_cert_to_PEM_cert(impostor.tls_certificate))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, impostor.origin)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "evil.pem"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert attest(server.origin, **pins.options).evidence.simulated
    assert impostor.connections == 0
    assert not (tmp_path / "keys").exists()


def test_without_the_simulated_policy(server, pins):
    options = {name: value for name, value in pins.options.items() if name != "policy"}
    with pytest.raises(VerificationError, match=r"\[D1\]"):
        attest(server.origin, **options)


def test_observing_needs_no_release(server, pins):
    seen = observe(server.origin, policy=pins.options["policy"])
    assert seen.report.verdict == "verified"
    assert len(seen.pcrs) == 14


def test_a_release_that_nobody_pinned_signed_is_refused_before_anything_is_sent(server, pins):
    pins.release.write_bytes(signed(release(), publisher_key("attacker")))
    with pytest.raises(VerificationError, match=r"\[R1\]") as caught:
        attest(server.origin, **pins.options)
    assert server.requests == []
    assert [check.id for check in caught.value.checks] == ["R1"]


@pytest.mark.parametrize("sources", [(), b"", "no/such/file.json"])
def test_releases_that_are_none(sources, server, pins):
    with pytest.raises(AttestationError):
        attest(server.origin, **pins.options | {"releases": sources})


def test_a_peer_keeps_what_it_was_shown(server):
    with Peer.connect(Origin.parse(server.origin), seconds=10) as peer:
        assert peer.certificate == server.vm.tls_certificate
