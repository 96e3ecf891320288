"""What callers hand over by mistake is refused before anything is read or asked, and they are told what to write."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from client_sdk import (
    AsyncClient,
    Client,
    Production,
    Publisher,
    SimulatedPlatform,
    attest,
    attested_context,
    challenge,
    load_collateral,
    load_policy,
    observe,
    verify_release,
    verify_stored,
)
from client_sdk.errors import EvidenceError, FieldError, PolicyError
from client_sdk.given import require_number, told
from tests.fakes.judging import NONCE, verified
from tests.fakes.simulated_vm import SimulatedVm, publisher, release, signed

NOWHERE = "https://nowhere.invalid"
NAIVE = datetime(2026, 1, 31)  # noqa: DTZ001 - that is the mistake
NOW = datetime(2026, 1, 31, tzinfo=UTC)


def _trusting(**given):
    return {"releases": signed(release()), "publisher": publisher()} | given


def _client(**given):
    Client(NOWHERE, **_trusting(**given))


def _async_client(**given):
    AsyncClient(NOWHERE, **_trusting(**given))


def _attest(**given):
    attest(NOWHERE, **_trusting(**given))


def _stored(**given):
    whole = {"evidence": b"{}", "nonce": NONCE, "now": NOW} | _trusting(**given)
    verify_stored(whole.pop("evidence"), whole.pop("nonce"), **whole)


def _observe(**given):
    observe(NOWHERE, **{"policy": Production()} | given)


def _release(**given):
    whole = {"data": signed(release()), "publisher": publisher(), "now": NOW} | given
    verify_release(whole.pop("data"), whole.pop("publisher"), **whole)


POLICIES = [
    ("policy", Production, "got the class Production, not an object of it; write Production(…)"),
    ("policy", SimulatedPlatform, "write SimulatedPlatform(…)"),
    ("policy", "policy.toml", 'write load_policy("policy.toml")'),
    ("policy", Path("policy.toml"), 'write load_policy("policy.toml")'),
    ("policy", (), "expected a policy, got a value of the type tuple"),
    ("policy", False, "expected a policy, got False"),
]
COLLATERAL = [
    ("collateral", "folder", 'write load_collateral("folder")'),
    ("collateral", Path("folder"), 'write load_collateral("folder")'),
    ("collateral", (), "expected collateral, as load_collateral reads it, got a value of the type tuple"),
    ("collateral", False, "got False"),
]
PUBLISHERS = [
    ("publisher", "key.pub", "write Publisher(keys=('key.pub',))"),
    ("publisher", Path("key.pub"), "write Publisher(keys=('key.pub',))"),
    ("publisher", b"-----BEGIN", "write Publisher(keys=(…,))"),
    ("publisher", Publisher, "got the class Publisher"),
]
RELEASES = [
    ("releases", 5, "expected paths or bytes of signed releases, got 5"),
    ("releases", release(), 'write releases="release.json"'),
    ("releases", (release(),), "releases[0]: expected paths or bytes"),
    ("releases", ["x", None], "releases[1]: expected paths or bytes"),
    ("releases", {"release.json": b""}, "a value of the type dict"),
]
INSTANTS = [
    ("now", NAIVE, "expected an instant with its time zone, got one without; write datetime.now(UTC)"),
    ("now", "2026-01-31T00:00:00Z", "expected an instant with its time zone, got '2026-01-31"),
    ("now", None, "got None"),
    ("now", 1_800_000_000.0, "got 1800000000.0"),
]
MISTAKES = [
    (_client, POLICIES + COLLATERAL + PUBLISHERS + [("attestation_timeout", "60", "write attestation_timeout=60")]),
    (_async_client, POLICIES + COLLATERAL + PUBLISHERS + [("attestation_timeout", None, "a number of seconds")]),
    (_attest, POLICIES + COLLATERAL + PUBLISHERS + RELEASES + [("publisher", None, "Publisher(keys=(…,))")]),
    (_attest, [("timeout", wrong, "timeout: expected a number of seconds") for wrong in ("60", None, True, -1)]),
    (_attest, [("timeout", wrong, "timeout: expected a number of seconds") for wrong in (float("inf"), float("nan"))]),
    (_stored, POLICIES + COLLATERAL + PUBLISHERS + RELEASES + INSTANTS),
    (
        _stored,
        [
            ("evidence", Path("raw.json"), "write Path('raw.json').read_bytes()"),
            ("evidence", "raw.json", "write Path('raw.json').read_bytes()"),
            ("evidence", SimulatedVm().evidence(NONCE), "give the body that the service sent, or evidence.to_json()"),
            ("evidence", None, "expected bytes, as they were received, got None"),
            ("nonce", NONCE.hex(), "nonce: expected bytes"),
            ("nonce", None, "nonce: expected bytes"),
            ("activation", b"secret", "write Activation(state, answer)"),
            ("activation", False, "got False"),
        ],
    ),
    (_observe, [*POLICIES, *COLLATERAL, ("policy", None, "expected a policy, got None"), ("timeout", "1", "seconds")]),
    (_release, PUBLISHERS + INSTANTS + [("publisher", None, "expected the publisher that you trust, got None")]),
    (
        _release,
        [
            ("data", "release.json", "write Path('release.json').read_bytes()"),
            ("data", Path("release.json"), "write Path('release.json').read_bytes()"),
            ("data", release(), "got a value of the type Release"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("call", "name", "wrong", "says"),
    [(call, *mistake) for call, mistakes in MISTAKES for mistake in mistakes],
)
def test_a_mistake_is_named_with_what_to_write(call, name, wrong, says):
    with pytest.raises(EvidenceError) as caught:
        call(**{name: wrong})
    assert says in str(caught.value)
    assert caught.value.where.startswith("release" if name == "data" else name)
    assert all((caught.value.expected, caught.value.got, caught.value.remedy))


@pytest.mark.parametrize("call", [_client, _async_client])
def test_a_client_without_a_publisher_breaks_the_rule_about_it(call):
    with pytest.raises(PolicyError, match="R1: the publisher that you trust is given"):
        call(publisher=None)


@pytest.mark.parametrize("origin", [None, 5, b"https://h", Path("h")])
def test_an_origin_that_is_no_text(origin):
    with pytest.raises(PolicyError, match="C3: the origin is a scheme"):
        attest(origin, **_trusting())
    with pytest.raises(PolicyError, match="C3: the origin is a scheme"):
        observe(origin, policy=Production())


@pytest.mark.parametrize("age", ["3600", None, True])
def test_an_age_that_is_no_number(age):
    with pytest.raises(PolicyError, match="C7: a verdict has an age limit"):
        Client(NOWHERE, **_trusting(max_age=age))


def test_evidence_that_was_compared_with_no_release_opens_no_channel():
    """It names a certificate as well, in the same place: by its shape alone it would pass for what was accepted."""
    seen = verified(SimulatedVm())
    assert seen.evidence.tls_certificate
    with pytest.raises(FieldError, match="accepted: expected what was accepted, got a value of the type VerifiedEvid"):
        attested_context(seen)


@pytest.mark.parametrize("wrong", [b"{}", None, "raw.json"])
def test_a_challenge_for_what_is_no_evidence(wrong):
    with pytest.raises(FieldError, match=r"write Evidence\.from_json"):
        challenge(wrong, bytes)


@pytest.mark.parametrize("wrong", [None, 5, b"folder"])
def test_a_path_that_is_none(wrong):
    with pytest.raises(FieldError, match=r'write load_policy\("policy.toml"\)'):
        load_policy(wrong)
    with pytest.raises(FieldError, match=r'write load_collateral\("folder"\)'):
        load_collateral(wrong)


@pytest.mark.parametrize("roots", [(), False, "ca.pem", b""])
def test_a_policy_file_read_under_what_are_no_roots(roots, tmp_path):
    (tmp_path / "policy.toml").write_text("version = 1\n")
    with pytest.raises(FieldError, match="roots: expected roots that you trust"):
        load_policy(tmp_path / "policy.toml", roots=roots)


@pytest.mark.parametrize(
    ("keys", "threshold", "says"),
    [
        ((None,), 1, r"publisher\.keys\[0\].*: expected an Ed25519 public key"),
        (("key.pub", 5), 1, "publisher"),
        (publisher().keys, "1", r"publisher\.threshold: expected a whole number"),
        (publisher().keys, True, r"publisher\.threshold: expected a whole number"),
    ],
)
def test_a_publisher_made_of_something_else(keys, threshold, says):
    with pytest.raises(EvidenceError, match=says):
        Publisher(keys=keys, threshold=threshold)


def test_what_is_handed_over_is_spelled_short_and_bytes_not_at_all():
    assert told(b"a secret") == "a value of the type bytes"
    assert len(told("x" * 1000)) < 80
    assert told(10**100) == "a number of many digits"
    with pytest.raises(FieldError, match=r"n: expected a whole number from 1 to 8, got 9; give such a number"):
        require_number(9, "n", low=1, high=8)
