"""Which of the releases that a caller gives are compared with (R1, R3, R4, R6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from client_sdk.errors import EvidenceError, PolicyError, VerificationError
from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.report import as_checks
from tests.fakes.judging import accepted
from tests.fakes.simulated_vm import NOW, SimulatedVm, publisher, publisher_key, release, signed

ONE, TWO = release(1), release(2)
REVOKING = replace(TWO, revokes=(1,))


def numbers(*releases, now=NOW):
    return [found.number for found in open_releases(tuple(map(signed, releases)), publisher(), now=now).releases]


def refused(rule, *releases, now=NOW):
    with pytest.raises(VerificationError) as caught:
        numbers(*releases, now=now)
    assert caught.value.rule == rule
    assert [check.id for check in caught.value.checks if not check.passed] == [rule]
    return str(caught.value)


def test_during_a_rollout_both_are_compared_with():
    assert numbers(ONE, TWO) == [1, 2]


def test_a_revoked_release_is_left_out_and_said_so():
    opened = open_releases((signed(ONE), signed(REVOKING)), publisher(), now=NOW)
    assert [found.number for found in opened.releases] == [2]
    assert opened.left_out == ("release 1 is revoked by release 2, its successor",)


def test_a_revoked_release_alone_is_refused_with_its_revoker():
    everything = replace(REVOKING, revokes=(1, 2))
    assert "release 1 is revoked by release 2" in refused("R3", ONE, everything)


@pytest.mark.parametrize("days", [-100, 100])
def test_what_was_revoked_does_not_come_back_when_the_revoking_release_is_out_of_its_dates(days):
    """Else an operator who keeps the revoked image running only had to wait."""
    start = NOW + timedelta(days=days)
    revoking = replace(REVOKING, not_before=start, not_after=start + timedelta(days=1))
    assert "release 1 is revoked by release 2" in refused("R3", ONE, revoking)
    assert numbers(ONE, release(3), revoking) == [3]


def test_another_services_release_revokes_nothing_here():
    assert numbers(ONE, replace(REVOKING, service="another")) == [1, 2]


def test_a_release_outside_its_dates_is_left_out_and_said_so():
    late = replace(TWO, not_before=NOW - (ONE.not_after - NOW), not_after=ONE.not_after + (ONE.not_after - NOW))
    opened = open_releases((signed(ONE), signed(late)), publisher(), now=ONE.not_after)
    assert [found.number for found in opened.releases] == [2]
    (said,) = opened.left_out
    assert "the release is inside its dates (release 1;" in said


def test_what_was_left_out_is_in_the_report():
    found = replace(accepted(SimulatedVm()), left_out=("release 1 is revoked by release 2",))
    assert found.report.as_dict()["facts"]["releases_left_out"] == ["release 1 is revoked by release 2"]


@pytest.mark.parametrize("now", [ONE.not_before - (NOW - ONE.not_before), ONE.not_after])
def test_none_inside_its_dates(now):
    refused("R6", ONE, now=now)


def test_one_that_the_publisher_did_not_sign_spoils_all():
    forged = signed(TWO, publisher_key("attacker"))
    with pytest.raises(VerificationError) as caught:
        open_releases((signed(ONE), forged), publisher(), now=NOW)
    assert caught.value.rule == "R1"


def test_the_report_names_the_keys_that_really_signed():
    absent, present = publisher_key("absent"), publisher_key()
    both = Publisher(keys=(absent.public_key(), present.public_key()))
    opened = open_releases(signed(ONE), both, now=NOW)
    (row,) = [check.as_dict() for check in as_checks(opened.rows) if check.id == "R1"]
    assert row["got"] == publisher().names
    assert row["expected"] == f"1 of {both.names}"


def test_no_release_at_all():
    with pytest.raises(PolicyError, match="R4"):
        open_releases((), publisher(), now=NOW)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(EvidenceError, match="cannot read"):
        open_releases(tmp_path / "none.json", publisher(), now=NOW)
