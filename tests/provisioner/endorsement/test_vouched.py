"""What an endorsement vouches for is for one shape of machine, and nothing else is taken for it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from client_sdk.errors import EvidenceError
from provisioner.endorsement.parse import parse_endorsement
from provisioner.endorsement.verify import read_root, verify_endorsement
from provisioner.endorsement.vouched import (
    CLAIM,
    SNP,
    TDX,
    Shape,
    launch_measurements,
    observed_measurement,
    require_observed,
    require_vouched,
    vouched,
)
from provisioner.errors import MeasureError, SpecError
from tests.fakes.simulated_endorsement import SIGNED, VCPUS, SimulatedEndorsement, digest, google

NOW = SIGNED + timedelta(days=100)
OF_2024 = [(g, e, digest(f"{g} {e}")) for g in (16, 32) for e in (False, True)]


def verified(**knobs):
    data = SimulatedEndorsement(**knobs).data()
    return verify_endorsement(parse_endorsement(data), read_root(google().pem), now=NOW)


@pytest.fixture(scope="module")
def both():
    return verified()


def observed(tee="snp", measured=None, **changes):
    facts = {"tee": tee, "launch_measurement": (measured or digest("snp 8")).hex()}
    return json.dumps({"verdict": "verified", "facts": facts} | changes).encode()


def test_a_machine_with_snp_by_its_virtual_cpus(both):
    (found,) = launch_measurements(both, Shape(SNP, 8))
    assert found.value == digest("snp 8")
    assert found.source == f"Google's launch endorsement {both.sha256.hex()}, 8 vCPUs"


def test_a_td_of_any_size(both):
    (found,) = launch_measurements(both, Shape(TDX, 234))
    assert found.value == digest("td")
    assert found.source == f"Google's launch endorsement {both.sha256.hex()}, any size of RAM"


def test_a_td_whose_size_was_measured():
    found = launch_measurements(verified(tds=[*OF_2024, (0, False, digest("td"))]), Shape(TDX, 16))
    assert [one.value for one in found] == [digest("td"), digest("16 False"), digest("16 True")]
    assert [one.source.partition(", ")[2] for one in found] == [
        "any size of RAM",
        "16 GiB of RAM",
        "16 GiB of RAM, early accept",
    ]


MISSING = [
    ("more CPUs than Google has", {}, Shape(SNP, 7), f"{', '.join(map(str, VCPUS))}, got 7"),
    ("a size of RAM that was not measured", {"tds": OF_2024}, Shape(TDX, 64), "16, 32, got 64"),
    ("SEV-SNP where only TDX is endorsed", {"snp": {}}, Shape(SNP, 8), "none, it says nothing of snp, got 8"),
    ("TDX where only SEV-SNP is endorsed", {"tds": []}, Shape(TDX, 16), "none, it says nothing of tdx, got 16"),
]


@pytest.mark.parametrize(("fault", "knobs", "shape", "message"), MISSING, ids=[fault for fault, *_ in MISSING])
def test_a_machine_that_is_not_endorsed(fault, knobs, shape, message):
    with pytest.raises(SpecError) as caught:
        launch_measurements(verified(**knobs), shape)
    assert str(caught.value).endswith(message), fault


# --- what a machine showed


def test_what_was_observed_is_what_is_endorsed(both):
    found = launch_measurements(both, Shape(SNP, 8))
    assert require_observed(found, observed_measurement(observed(), SNP), both) == found[0]


def test_a_machine_that_measured_something_else(both):
    found = launch_measurements(both, Shape(SNP, 8))
    with pytest.raises(MeasureError, match="for none: other firmware, or not Google's"):
        require_observed(found, bytes(48), both)


def test_a_machine_of_another_shape_is_named(both):
    found = launch_measurements(both, Shape(SNP, 8))
    with pytest.raises(MeasureError, match=r"only for others: .*, 16 vCPUs"):
        require_observed(found, digest("snp 16"), both)


def test_a_td_is_not_taken_for_a_machine_with_snp(both):
    with pytest.raises(MeasureError, match="any size of RAM"):
        require_observed(launch_measurements(both, Shape(SNP, 8)), digest("td"), both)


ODD = [
    ("no JSON", b"{", "not JSON"),
    ("a list", b"[]", "observed: not an object"),
    ("nothing", b"{}", "observed.facts"),
    ("facts that are a list", b'{"facts":[]}', "observed.facts"),
    ("a refusal", observed(verdict="refused"), "observed.verdict"),
    ("a machine with another CPU", observed("tdx"), "observed.facts.tee: expected snp, got tdx"),
    ("a machine without a CPU's report", observed(facts={}), "observed.facts.tee"),
    ("a measurement of SHA-256", observed(measured=bytes(32)), "expected 48 bytes"),
    ("no measurement", observed(facts={"tee": "snp"}), "launch_measurement: not lower-case hex"),
]


@pytest.mark.parametrize(("fault", "data", "message"), ODD, ids=[fault for fault, *_ in ODD])
def test_an_observation_that_is_none(fault, data, message):
    assert observed_measurement(observed(), SNP) == digest("snp 8")
    with pytest.raises(EvidenceError, match=message):
        observed_measurement(data, SNP)
    assert fault


# --- what platform values claim


def test_every_statement_may_be_claimed_and_more_words_may_follow(both):
    claims = [(one.value, one.source) for one in vouched(both)]
    assert len(claims) == len(VCPUS) + 1
    require_vouched(claims, (both,))
    require_vouched([(value, f"{said}; and seen on 26 November") for value, said in claims], (both,))


def test_what_claims_no_endorsement_is_the_operators_word(both):
    require_vouched([(bytes(48), "vitrine observe")], ())


CLAIMS = [
    ("a value that is not in it", bytes(48), "{right}, 8 vCPUs"),
    ("the value of another machine", digest("snp 16"), "{right}, 8 vCPUs"),
    ("the other technology's", digest("td"), "{right}, 8 vCPUs"),
    ("another endorsement", digest("snp 8"), f"{CLAIM}{'00' * 32}, 8 vCPUs"),
    ("no machine", digest("snp 8"), "{right}"),
    ("words without a separator", digest("snp 8"), "{right}, 8 vCPUs and others"),
]


@pytest.mark.parametrize(("attack", "value", "said"), CLAIMS, ids=[attack for attack, *_ in CLAIMS])
def test_a_claim_that_the_endorsement_does_not_hold(attack, value, said, both):
    right = f"{CLAIM}{both.sha256.hex()}"
    require_vouched([(digest("snp 8"), f"{right}, 8 vCPUs")], (both,))
    with pytest.raises(SpecError, match=r"launch_measurements\[1\]: expected a statement of a verified endorsement"):
        require_vouched([(bytes(48), "vitrine observe"), (value, said.format(right=right))], (both,))
    assert attack


def test_every_claim_that_does_not_hold_is_listed(both):
    wrong = [(bytes(48), one.source) for one in vouched(both)]
    with pytest.raises(SpecError) as caught:
        require_vouched(wrong, (both,))
    assert len(caught.value.faults) == len(wrong)


def test_a_claim_without_the_endorsement(both):
    with pytest.raises(SpecError, match="given: none"):
        require_vouched([(one.value, one.source) for one in vouched(both)], ())
