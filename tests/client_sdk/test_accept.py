"""Accepting: every clause that does not hold is named at once, with what was expected and what was found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from client_sdk.accept import COVERS, accept
from client_sdk.binding import DEBUG_LOCKDOWN, LOCKDOWN
from client_sdk.errors import PolicyError
from client_sdk.evidence import PCRS, RuntimeEvent
from client_sdk.page import Heading, render
from client_sdk.policy import Production, SimulatedPlatform
from client_sdk.release import TemplateEvent
from client_sdk.report import Ledger
from client_sdk.roots import Roots
from tests.fakes.boot_log import (
    CONFIG,
    CRTM,
    GPT,
    IMAGE,
    Logged,
    after,
    authenticode,
    boot_log,
    change,
    section,
    variable,
)
from tests.fakes.judging import accepted, rules, simulated, verified
from tests.fakes.simulated_vm import SimulatedVm, TestCa, measurement, release


def refused(vm: SimulatedVm, *releases, policy=None) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        accepted(vm, *releases, policy=policy)
    return caught.value


def not_accepted(evidence, *, policy, releases) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        accept(evidence, releases=releases, policy=policy)
    return caught.value


def clauses(error: PolicyError) -> set[str]:
    return {failure.clause.split(":")[0] for failure in error.failures}


def other_command_line(vm):
    vm.log = boot_log(cmdline="vitrine.root=00:00:1 init=/bin/sh")


def other_initrd(vm):
    vm.log = boot_log(initrd=b"another")


def other_image(vm):
    vm.log = boot_log(image=b"another")


def image_that_started_another(vm):
    after(vm.log, 4, IMAGE, Logged(4, IMAGE, b"chained", b"\1" * 32))


def image_started_twice(vm):
    after(vm.log, 4, IMAGE, Logged(4, IMAGE, b"again", authenticode(b"uki")))


def other_partitions(vm):
    change(vm.log, 5, GPT, data=b"EFI PART" + bytes(10))


def secure_boot_on(vm):
    change(vm.log, 7, CONFIG, data=variable("SecureBoot", b"\1"))


def extra_section(vm):
    vm.log.extend(section(".hwids", b"hardware"))


def phase_missing(vm):
    vm.phases = ("sysinit",)


def phase_added(vm):
    vm.phases = ("sysinit", "ready", "shutdown")


def phases_swapped(vm):
    vm.phases = ("ready", "sysinit")


def lock_down_failed(vm):
    vm.runtime[0] = RuntimeEvent("lockdown", b"failed")


def gpu_in_place_of_none(vm):
    vm.runtime[2] = RuntimeEvent("gpu", bytes(32))


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (other_command_line, {"L7.pcr9", "L1.pcr11"}),
        (other_initrd, {"L7.pcr9", "L1.pcr11"}),
        (other_image, {"L1.pcr4", "L1.pcr11", "L10.2"}),
        (image_that_started_another, {"L1.pcr4"}),
        (image_started_twice, {"L1.pcr4", "L10.2"}),
        (other_partitions, {"L1.pcr5"}),
        (secure_boot_on, {"L1.pcr7"}),
        (extra_section, {"L1.pcr11"}),
        (phase_missing, {"L1.pcr11", "L1.phases"}),
        (phase_added, {"L1.pcr11", "L1.phases"}),
        (phases_swapped, {"L1.pcr11", "L1.phases"}),
        (lock_down_failed, {"L11.3"}),
        (gpu_in_place_of_none, {"L11.3"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_another_boot_than_the_released_one(attack, expected):
    vm = SimulatedVm()
    attack(vm)
    error = refused(vm)
    assert clauses(error) == expected
    assert set(rules(error)) == expected
    for failure in error.failures:
        assert failure.expected != failure.got
        assert str(failure) in str(error)


def test_a_failure_says_what_the_pcr_covers():
    vm = SimulatedVm()
    other_command_line(vm)
    message = str(refused(vm))
    assert "PCR 9 (kernel command line or initrd as the kernel saw them) is as the release predicts" in message
    assert set(COVERS) == set(PCRS)


def test_a_phase_that_the_release_lies_about_is_found_without_the_pcr():
    error = refused(SimulatedVm(), release(measured=replace(measurement(), phases=("sysinit",))))
    assert clauses(error) == {"L1.phases"}


@pytest.mark.parametrize(("pcr", "rule"), [(2, "L9"), (3, "L9"), (6, "L9"), (12, "L7"), (13, "L7"), (14, "L7")])
def test_golden_values_are_compared(pcr, rule):
    pcrs = tuple((index, b"\1" * 32 if index == pcr else value) for index, value in measurement().pcrs)
    error = refused(SimulatedVm(), release(measured=replace(measurement(), pcrs=pcrs)))
    assert clauses(error) == {f"{rule}.pcr{pcr}"}


def test_an_image_in_another_pcr_than_the_release_names():
    error = refused(SimulatedVm(), release(measured=replace(measurement(), image_pcr=2)))
    assert clauses(error) == {"L10.2"}


def test_another_image_digest_under_the_same_pcrs():
    error = refused(SimulatedVm(), release(measured=replace(measurement(), image_authenticode=b"\1" * 32)))
    assert clauses(error) == {"L10.2"}


def test_firmware_is_on_the_list_where_there_is_one():
    vm = SimulatedVm()
    known = verified(vm).pcrs[0]
    assert accepted(vm, release(measured=replace(measurement(), pcr0_allowed=(bytes(32), known)))).release.number == 1
    change(vm.log, 0, CRTM, data=b"another version")
    assert clauses(refused(vm, release(measured=replace(measurement(), pcr0_allowed=(known,))))) == {"L1.pcr0"}
    assert accepted(vm).policy.startswith("simulated"), "an unpinned PCR 0 is for the simulated policy to take"


def test_acpi_tables_are_on_the_list_where_there_is_one():
    known = verified(SimulatedVm()).firmware.configuration
    assert known
    pinned = release(measured=replace(measurement(), acpi_allowed=(bytes(32), *known)))
    assert accepted(SimulatedVm(), pinned).release.number == 1
    hostile = SimulatedVm()
    position = next(i for i, event in enumerate(hostile.log) if event.kind == 0x0000000A)
    hostile.log.insert(position, replace(hostile.log[position], digest=b"\xa5" * 32))
    assert clauses(refused(hostile, pinned)) == {"L1.acpi"}
    assert accepted(hostile).policy.startswith("simulated"), "unpinned tables are for the simulated policy to take"


def test_a_log_without_anything_from_the_host_where_tables_are_pinned():
    bare = SimulatedVm()
    bare.log = [event for event in bare.log if event.pcr != 1 or event.kind == 0x00000004]
    pinned = release(measured=replace(measurement(), acpi_allowed=(bytes(32),)))
    assert clauses(refused(bare, pinned)) == {"L1.acpi"}


def test_the_report_says_what_the_release_leaves_open():
    left = {row["rules"] for row in accepted(SimulatedVm()).report.as_dict()["not_run"]}
    assert {"L1.pcr0", "L1.acpi"} <= left
    known = verified(SimulatedVm())
    both = replace(measurement(), pcr0_allowed=(known.pcrs[0],), acpi_allowed=known.firmware.configuration)
    left = {row["rules"] for row in accepted(SimulatedVm(), release(measured=both)).report.as_dict()["not_run"]}
    assert not {"L1.pcr0", "L1.acpi"} & left


def test_during_a_rollout_both_releases_are_accepted():
    old, new = release(1), release(2, _measured(b"new"))
    assert accepted(SimulatedVm(), new, old).release.number == 1
    assert accepted(_vm_with(image=b"new"), new, old).release.number == 2


def _measured(image: bytes):
    return replace(measurement(_vm_with(image=image)), image_authenticode=authenticode(image))


def _vm_with(image: bytes) -> SimulatedVm:
    vm = SimulatedVm()
    vm.log = boot_log(image=image)
    return vm


def test_the_closest_release_explains_the_refusal():
    vm = _vm_with(image=b"old")
    other_partitions(vm)
    far, near = release(1), release(2, _measured(b"old"))
    for order in ((far, near), (near, far)):
        assert clauses(refused(vm, *order)) == {"L1.pcr5"}


def test_nothing_to_compare_with_is_a_refusal():
    error = not_accepted(verified(SimulatedVm()), policy=simulated(), releases=())
    assert clauses(error) == {"R4"}


def test_a_release_for_other_platforms_only():
    error = refused(SimulatedVm(), release(measured=replace(measurement(), platform="gcp")))
    assert clauses(error) == {"R4"}
    assert "gcp" in str(error)
    (failure,) = not_accepted(
        verified(SimulatedVm()), policy=simulated(), releases=(replace(release(), measurements=()),)
    ).failures
    assert failure.got == "none"


def test_simulated_evidence_does_not_pass_under_another_runs_ca():
    evidence = verified(SimulatedVm())
    error = not_accepted(evidence, policy=simulated(TestCa("another run")), releases=(release(),))
    assert clauses(error) == {"D2"}


def test_evidence_that_was_not_verified_as_simulated_does_not_pass_as_such():
    evidence = replace(verified(SimulatedVm()), simulated=False)
    error = not_accepted(evidence, policy=simulated(), releases=(release(),))
    assert clauses(error) == {"D1"}


def debug():
    """Return a VM with a console, and a release that says so."""
    vm, template = SimulatedVm(), measurement().pcr15_template
    vm.runtime[0] = RuntimeEvent("lockdown", DEBUG_LOCKDOWN)
    said = (TemplateEvent("lockdown", DEBUG_LOCKDOWN), *template[1:])
    return vm, release(measured=replace(measurement(), pcr15_template=said))


def test_the_simulated_policy_takes_a_debug_image_and_every_report_says_so_first():
    report = accepted(*debug()).report
    (told,) = report.as_dict()["facts"]["opted_out"]
    assert "DEBUG: whoever reaches the VM's console reads every prompt" in told
    assert "DEBUG" in render(report, Heading("https://a:1", "simulated", datetime(2026, 11, 1, tzinfo=UTC))).decode()
    assert "DEBUG" not in str(accepted(SimulatedVm()).report.as_dict())


def test_a_debug_image_does_not_fit_the_release_of_a_locked_one_nor_the_other_way_round():
    vm, released = debug()
    assert clauses(refused(vm, release())) == {"L11.3"}
    assert clauses(refused(SimulatedVm(), released)) == {"L11.3"}


def test_production_refuses_a_debug_release_besides_all_that_it_refuses_of_a_simulated_vm():
    vm, released = debug()
    error = not_accepted(verified(vm), policy=Production(), releases=(released,))
    assert clauses(error) == {"P1", "P2", "P3", "P9"}


def test_production_accepts_no_platform_of_this_version():
    evidence = verified(SimulatedVm())
    error = not_accepted(evidence, policy=Production(), releases=(release(),))
    assert clauses(error) == {"P1", "P2", "P3"}
    assert Production().roots.tpm == ()


@dataclass(frozen=True, slots=True)
class Picky:
    """A policy of a caller's own: it needs nothing but the three members."""

    name: str = "picky"
    roots: Roots = simulated().roots

    def judge(self, evidence, measurement, ledger: Ledger):
        assert measurement.platform == evidence.platform
        return ledger.judge("X1", "the TPM never restarted", expected=0, got=evidence.reset_count, condition=False)


def test_a_policy_of_ones_own_adds_clauses():
    error = refused(SimulatedVm(), policy=Picky())
    assert [str(failure) for failure in error.failures] == ["[X1: the TPM never restarted] expected 0, got 3"]


def test_the_policy_and_the_release_fail_together():
    vm = SimulatedVm()
    other_partitions(vm)
    lock_down_failed(vm)
    assert clauses(refused(vm, policy=Picky())) == {"L1.pcr5", "L11.3", "X1"}


def test_the_report_says_what_was_accepted():
    report = accepted(SimulatedVm()).report.as_dict()
    assert report["facts"]["simulated"] is True
    assert report["facts"]["policy"] == "simulated platform, proves nothing about the host"
    assert report["facts"]["release"] == 1
    assert report["facts"]["secure_boot"] == "off"
    assert set(report["facts"]["pcrs"]) == {str(index) for index in PCRS}
    assert {entry["rules"] for entry in report["not_run"]} >= {"L6", "T1 to T11", "G1 to G5"}
    ids = [check["id"] for check in report["checks"]]
    assert {"Q1.1", "Q8.3", "C2.2", "L7.pcr9", "L10.2", "L11.1", "D1", "D2"} <= set(ids)
    assert not [i for i in ids if i.startswith(("T", "G", "K3", "K4", "L6", "L8"))], "not run is never passed"
    assert LOCKDOWN.hex() in str(report)


def test_the_json_of_a_report_has_no_objects():
    text = accepted(SimulatedVm()).report.to_json()
    assert text.startswith(b'{"checks":[')
    assert b"object at" not in text


def test_policies_are_values():
    ca = TestCa()
    assert SimulatedPlatform(tpm_ca=ca.certificate) == SimulatedPlatform(tpm_ca=ca.certificate)


def test_a_release_that_is_for_gpus_takes_no_machine_without():
    template = tuple(replace(e, data=None) if e.kind == "gpu" else e for e in measurement().pcr15_template)
    due = release(measured=replace(measurement(), pcr15_template=template))
    assert clauses(refused(SimulatedVm(), due)) == {"L11.3"}
    silent = SimulatedVm()
    silent.runtime[2] = RuntimeEvent("gpu", b"")
    assert clauses(refused(silent, due)) == {"L11.3"}
