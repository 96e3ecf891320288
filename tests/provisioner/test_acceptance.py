"""Accepting a deployment: what is wrong with our own files is said as such, and never blamed on the VM."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from provisioner import acceptance
from provisioner.acceptance import Trust, accept
from provisioner.errors import CloudError, MeasureError, SpecError
from tests.fakes.simulated_server import serving
from tests.fakes.simulated_vm import NOW, SimulatedVm, TestCa, publisher_key, release, signed


def at(target, origin):
    return replace(target, origin=origin)


def judged(target, vm, seconds=1.0):
    with serving(vm) as server:
        return accept(at(target, server.origin), seconds=seconds, progress=lambda _: None)


def test_what_was_predicted_is_accepted(target):
    assert judged(target, SimulatedVm())["verdict"] == "accepted"


@pytest.mark.parametrize("name", ["release", "publisher", "trust"])
@pytest.mark.parametrize("content", [None, b"", b"something else"])
def test_a_file_that_is_missing_or_another_is_no_word_about_the_vm(target, name, content):
    path = target.trust.file if name == "trust" else getattr(target, name)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=path.name) as caught:
        accept(target, seconds=0, progress=lambda _: None)
    assert "predicted" not in str(caught.value)


def test_a_release_of_another_key_is_said_in_its_own_words(target):
    target.release.write_bytes(signed(release(), publisher_key("other")))
    with pytest.raises(SpecError, match=r"release\.json: expected a release signed by the key in .*publisher\.pub"):
        accept(target, seconds=0, progress=lambda _: None)


@pytest.mark.parametrize("age", [timedelta(days=40), timedelta(days=-5)])
def test_a_release_outside_its_dates_is_said_in_its_own_words(target, age):
    target.release.write_bytes(signed(release(since=NOW - age)))
    with pytest.raises(SpecError, match=r"release\.json: expected a release inside its dates: deploy once more"):
        accept(target, seconds=0, progress=lambda _: None)


@pytest.mark.parametrize("text", [b"version = 2", b"nonsense", None])
def test_a_policy_file_that_cannot_be_read_is_our_own_fault(target, tmp_path, text):
    path = tmp_path / "policy.toml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(SpecError, match=r"policy\.toml: expected a policy file"):
        accept(replace(target, trust=Trust("policy", path)), seconds=0, progress=lambda _: None)


def test_collateral_that_is_not_there_is_our_own_fault(target, tmp_path):
    with pytest.raises(SpecError, match="expected a folder of collateral"):
        accept(replace(target, collateral=tmp_path / "nowhere"), seconds=0, progress=lambda _: None)


def test_a_production_policy_takes_no_simulated_machine(target, tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text("version = 1\n")
    with pytest.raises(MeasureError, match="D1"):
        judged(replace(target, trust=Trust("policy", path)), SimulatedVm())


def test_another_image_is_not_what_was_predicted(target):
    vm = SimulatedVm()
    vm.extra_extends[4] = b"\1" * 32
    with pytest.raises(MeasureError, match="not what was predicted, nothing is published"):
        judged(target, vm)


def test_a_tpm_of_another_ca_is_not_what_was_predicted(target):
    with pytest.raises(MeasureError, match="K1"):
        judged(target, SimulatedVm(ca=TestCa("another CA")))


def test_what_a_hostile_vm_sends_is_not_blamed_on_our_files(target):
    with serving(SimulatedVm()) as server:
        server.answer_with["/.well-known/attestation"] = (200, {}, b"{")
        with pytest.raises(MeasureError, match="not what was predicted"):
            accept(at(target, server.origin), seconds=1, progress=lambda _: None)


def test_a_vm_that_still_boots_is_asked_again(target, monkeypatch):
    said = []
    monkeypatch.setattr(acceptance, "PAUSE", 0.01)
    with serving(SimulatedVm()) as server:
        server.answer_with["/.well-known/attestation"] = (503, {}, b"{}")

        def progress(line):
            said.append(line)
            server.answer_with.clear()

        assert accept(at(target, server.origin), seconds=30, progress=progress)["verdict"] == "accepted"
    assert len(said) == 1


def test_nobody_who_answers_in_time_is_no_verdict(target):
    with pytest.raises(CloudError, match="did not answer within 0 s"):
        accept(target, seconds=0, progress=lambda _: None)
