"""The GPU gate: the collector on a library in C, and a client that verifies what came of it."""

from __future__ import annotations

import grp
import os
import shutil
import stat
from dataclasses import replace
from types import SimpleNamespace

import pytest

from client_sdk.binding import gpu_digest, gpu_nonce
from client_sdk.evidence import GpuEvidence
from client_sdk.policy import NvidiaGpu
from client_sdk.report import Ledger
from serving.attest.gpu import FATAL_XIDS, GpuWatch, collect
from serving.attest.gpu_ready import main
from serving.attest.nvml import NvmlLibrary
from serving.errors import GpuError
from tests.fakes.fake_nvml import FakeMachine, build, pem
from tests.fakes.judging import NONCE as CLIENT_NONCE
from tests.fakes.judging import OTHERS
from tests.fakes.judging_cloud import accepted, verified
from tests.fakes.judging_cloud import refused as refused_by_client
from tests.fakes.simulated_cloud_vm import GCP_TDX, SimulatedCloudVm
from tests.fakes.simulated_nvidia import SimulatedGpu

NONCE = bytes(range(32))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine(built, tmp_path, monkeypatch):
    """Make a machine with these GPUs, and open its library: a copy, so that nothing of another test is in it."""

    def make(*gpus):
        made = FakeMachine(tmp_path, gpus or (SimulatedGpu(),))
        monkeypatch.setenv("VITRINE_FAKE_NVML", str(made.state))
        made.library = shutil.copy(built, tmp_path / "libnvidia-ml.so.1")
        return made

    return make


def opened(made):
    return NvmlLibrary(str(made.library))


def refused(made, match, count=1):
    with pytest.raises(GpuError, match=match) as caught:
        collect(opened(made), count, NONCE)
    return caught.value


def test_the_nonce_goes_in_and_the_report_and_chain_come_out(machine):
    gpu = SimulatedGpu()
    made = machine(gpu)
    (found,) = collect(opened(made), 1, NONCE)
    assert made.nonces == [NONCE]
    assert found.certificates == gpu.certificates()
    assert NONCE in found.evidence[:37]


def test_two_gpus_come_in_the_drivers_order(machine):
    gpus = SimulatedGpu("one"), SimulatedGpu("two")
    made = machine(*gpus)
    found = collect(opened(made), 2, NONCE)
    assert [one.certificates for one in found] == [gpu.certificates() for gpu in gpus]
    assert made.nonces == [NONCE, NONCE]


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ({"cc": 0}, "confidential computing is off"),
        ({"devtools": 1}, "devtools mode is on"),
        ({"environment": 0}, "environment is unavailable"),
        ({"environment": 1}, "environment is simulated"),
        ({"multi": 1}, "multi-GPU mode is protected PCIe"),
        ({"cc": 2}, "confidential computing is 2"),
        ({"ready": 1}, "accept work already"),
    ],
)
def test_a_state_that_is_not_confidential_is_refused_before_anything_is_asked(machine, state, match):
    made = machine()
    made.set(**state)
    refused(made, match)
    assert made.nonces == []


@pytest.mark.parametrize(("there", "due"), [(0, 1), (2, 1), (1, 2), (1, 0)])
def test_a_missing_or_surplus_gpu(machine, there, due):
    made = machine(*(SimulatedGpu(f"gpu {i}") for i in range(2)))
    made.set(count=there)
    refused(made, f"for {due} GPUs, and the machine has {there}", count=due)
    assert made.nonces == []


def test_one_gpu_that_is_shown_twice(machine):
    made = machine(SimulatedGpu("same"), SimulatedGpu("same"))
    refused(made, "two GPUs show one certificate", count=2)


def test_a_mode_that_changes_while_the_reports_are_made(machine):
    made = machine()
    library = opened(made)
    real = library.report

    def changed(index, nonce):
        made.set(devtools=1)
        return real(index, nonce)

    library.report = changed
    with pytest.raises(GpuError, match="devtools mode is on"):
        collect(library, 1, NONCE)


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("nvmlInit_v2", 9, "DRIVER_NOT_LOADED"),
        ("nvmlInit_v2", 18, "LIB_RM_VERSION_MISMATCH"),
        ("nvmlDeviceGetCount_v2", 999, "UNKNOWN"),
        ("nvmlDeviceGetHandleByIndex_v2", 15, "GPU_IS_LOST"),
        ("nvmlSystemGetConfComputeSettings", 3, "NOT_SUPPORTED"),
        ("nvmlDeviceGetConfComputeGpuAttestationReport", 999, "UNKNOWN"),
        ("nvmlDeviceGetConfComputeGpuCertificate", 16, "RESET_REQUIRED"),
        ("nvmlSystemGetConfComputeGpusReadyState", 12345, "an unknown error"),
    ],
)
def test_every_refusal_of_the_driver_is_an_error_with_its_name(machine, function, code, words):
    made = machine()
    made.fail(function, code)
    error = refused(made, rf"{function} answered {words} \({code}\)")
    assert error.code == code


@pytest.mark.parametrize("size", [0, 0x1401, 0xFFFFFFFF])
def test_a_chain_of_an_impossible_size_is_not_read(machine, size):
    made = machine()
    made.set(chain_size=size)
    refused(made, "attestation certificates has" if size else "has 0 bytes")


@pytest.mark.parametrize("size", [0, 0x2001, 0xFFFFFFFF])
def test_a_report_of_an_impossible_size_is_not_read(machine, size):
    made = machine()
    made.set(report_size=size)
    refused(made, f"attestation report has {size} bytes")


@pytest.mark.parametrize(
    ("chain", "match"),
    [
        (b"no certificate at all", "0 whole certificates"),
        (b"\xff" * 40, "not PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA", "0 whole certificates"),
        (pem((b"whole",)) + b"-----BEGIN CERTIFICATE-----\nAAAA", "1 whole certificates"),
        (b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", "not PEM"),
        (pem((b"x",)) * 17, "17 whole certificates"),
    ],
)
def test_a_chain_that_is_none(machine, chain, match, tmp_path):
    made = machine()
    (tmp_path / "chain0").write_bytes(chain)
    refused(made, match)


def test_a_driver_library_that_is_missing_or_too_old(tmp_path):
    with pytest.raises(GpuError, match="cannot be opened"):
        NvmlLibrary(str(tmp_path / "none.so"))
    with pytest.raises(GpuError, match="has no nvmlInit_v2; it is older than driver 550") as caught:
        NvmlLibrary("libc.so.6")
    assert caught.value.code == 13


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def watched(machine):
    made, clock = machine(SimulatedGpu("one"), SimulatedGpu("two")), Clock()
    return made, clock, GpuWatch(opened(made), 2, clock)


def test_a_machine_that_is_well_may_be_looked_at_for_ever(watched):
    _, clock, watch = watched
    for _ in range(5):
        watch.look()
        clock.now += 1.0


@pytest.mark.parametrize("index", [0, 1])
def test_a_lost_gpu_ends_it(watched, index):
    made, _, watch = watched
    made.lose(index)
    with pytest.raises(GpuError, match="GPU_IS_LOST"):
        watch.look()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_gpu_that_was_unplugged_or_plugged_in_ends_it(watched, count):
    made, _, watch = watched
    made.set(count=count)
    with pytest.raises(GpuError, match=f"for 2 GPUs, and the machine has {count}"):
        watch.look()


def test_a_mode_that_is_turned_off_later_ends_it(watched):
    made, _, watch = watched
    made.set(cc=0)
    with pytest.raises(GpuError, match="confidential computing is off"):
        watch.look()


@pytest.mark.parametrize("number", sorted(FATAL_XIDS))
def test_an_error_that_no_program_causes_ends_it_also_behind_others(watched, number):
    made, _, watch = watched
    made.events(31, 13, number)
    with pytest.raises(GpuError, match=f"XID {number}"):
        watch.look()


def test_errors_of_a_program_are_the_engines_own(watched):
    made, _, watch = watched
    made.events(31, 13, 43, 45)
    watch.look()


def test_a_library_that_cannot_wait_for_events_ends_it(watched):
    made, _, watch = watched
    made.fail("nvmlEventSetWait_v2", 15)
    with pytest.raises(GpuError, match="GPU_IS_LOST"):
        watch.look()


def test_it_looks_once_a_second_and_not_at_every_quote(watched):
    made, clock, watch = watched
    watch.look()
    made.lose(0)
    watch.look()
    clock.now += 0.99
    watch.look()
    clock.now += 0.02
    with pytest.raises(GpuError, match="GPU_IS_LOST"):
        watch.look()


DEVICES = """Character devices:
  1 mem
195 nvidia
195 nvidiactl
238 nvidia-uvm

Block devices:
259 blkext
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A system whose nodes are written down in place of made: that takes root, and real devices."""
    made = {}
    for path, text in (("proc/devices", DEVICES), ("sys/bus/pci/drivers_autoprobe", "1")):
        (tmp_path / "root" / path).parent.mkdir(parents=True)
        (tmp_path / "root" / path).write_text(text)
    (tmp_path / "root/dev").mkdir()

    def mknod(path, mode, device):
        assert stat.S_ISCHR(mode)
        path.write_text("")
        made[path.name] = (os.major(device), os.minor(device))

    monkeypatch.setattr(os, "mknod", mknod)
    monkeypatch.setattr(os, "chown", lambda path, user, group: made.update({f"owner of {path.name}": (user, group)}))
    monkeypatch.setattr(grp, "getgrnam", lambda name: {"vitrine-gpu": SimpleNamespace(gr_gid=883)}[name])
    return SimpleNamespace(path=tmp_path / "root", made=made)


def test_the_first_step_makes_nodes_binds_nothing_more_and_keeps_the_gpus(machine, root):
    made = machine(SimulatedGpu("one"), SimulatedGpu("two"))
    assert main(["keep", "2"], root.path, made.library) == 0
    assert {name: numbers for name, numbers in root.made.items() if "owner" not in name} == {
        "nvidiactl": (195, 255),
        "nvidia-uvm": (238, 0),
        "nvidia0": (195, 0),
        "nvidia1": (195, 1),
    }
    assert {numbers for name, numbers in root.made.items() if "owner" in name} == {(0, 883)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root.path / "dev").iterdir()} == {0o660}
    assert (root.path / "sys/bus/pci/drivers_autoprobe").read_text() == "0"
    assert (made.answers()["persistence.0"], made.answers()["persistence.1"]) == ("1", "1")
    assert "ready.0" not in made.answers()


def test_the_second_step_lets_them_work_and_touches_nothing_else(machine, root):
    made = machine()
    assert main(["work", "1"], root.path, made.library) == 0
    assert made.answers()["ready.0"] == "1"
    assert root.made == {}


@pytest.mark.parametrize("missing", ["238 nvidia-uvm", "195 nvidia"])
def test_a_driver_that_is_not_loaded_fails_the_first_step(machine, root, capsys, missing):
    (root.path / "proc/devices").write_text(DEVICES.replace(missing, "").replace("195 nvidiactl", ""))
    assert main(["keep", "1"], root.path, machine().library) == 1
    assert "not loaded" in capsys.readouterr().err
    assert root.made == {}


@pytest.mark.parametrize(
    ("step", "function"),
    [("keep", "nvmlDeviceSetPersistenceMode"), ("work", "nvmlSystemSetConfComputeGpusReadyState")],
)
def test_a_step_that_is_not_permitted_fails(machine, root, capsys, step, function):
    made = machine()
    made.fail(function, 4)
    assert main([step, "1"], root.path, made.library) == 1
    assert "NO_PERMISSION" in capsys.readouterr().err


def test_a_group_or_a_bus_that_is_not_there_fails_the_first_step(machine, root, capsys, monkeypatch):
    made = machine()
    monkeypatch.setattr(grp, "getgrnam", lambda name: {}[name])
    assert main(["keep", "1"], root.path, made.library) == 1
    shutil.rmtree(root.path / "sys")
    assert main(["keep", "1"], root.path, made.library) == 1
    assert "drivers_autoprobe" in capsys.readouterr().err


def test_gpus_that_say_yes_and_stay_closed(machine, root, capsys):
    made = machine()
    made.set(stays=1)
    assert main(["work", "1"], root.path, made.library) == 1
    assert "do not accept work" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["off", "1"], ["keep"], ["keep", "one"], ["keep", "1", "2"]])
def test_a_step_that_is_none(arguments, capsys):
    assert main(arguments) == 2
    assert "keep or work" in capsys.readouterr().err


def told(machine, vm, *gpus):
    """Have the collector ask a machine's GPUs as this VM's attester would."""
    made = machine(*(gpus or vm.gpus))
    return collect(opened(made), len(made.gpus), gpu_nonce(vm.tpm.ak_name(), vm.spki))


@pytest.mark.parametrize("gpus", [1, 2])
def test_a_client_accepts_what_the_collector_made(machine, gpus):
    vm = SimulatedCloudVm(GCP_TDX, gpus=gpus)
    vm.told_gpus = told(machine, vm)
    assert len(accepted(vm).evidence.gpus) == gpus
    assert verified(vm).gpu == gpu_digest(tuple(one.evidence for one in vm.told_gpus))


def test_a_client_refuses_a_gpu_that_is_shown_in_place_of_the_measured_one(machine):
    """Another machine's GPU answers with this boot's nonce, and its report is put into the evidence after *sealed*."""
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    theirs = told(machine, vm, SimulatedGpu("elsewhere"))
    refused_by_client(vm, "C2.2", evidence=replace(vm.evidence(CLIENT_NONCE, OTHERS), gpu=theirs))


def test_a_client_refuses_evidence_of_another_boot(machine):
    vm, other = SimulatedCloudVm(GCP_TDX, gpus=1), SimulatedCloudVm(GCP_TDX, "other", gpus=1)
    vm.told_gpus = told(machine, other, *vm.gpus)
    refused_by_client(vm, "G2.2")


def test_a_client_refuses_two_gpus_where_one_is_due(machine):
    vm = SimulatedCloudVm(GCP_TDX, gpus=2)
    vm.told_gpus = told(machine, vm)
    evidence = verified(vm)
    assert NvidiaGpu(2).judge(evidence, vm.measurement(), Ledger()) == ()
    (failure,) = NvidiaGpu(1).judge(evidence, vm.measurement(), Ledger())
    assert failure.clause.startswith("G4.1")


def test_a_client_refuses_a_chain_without_the_device(machine):
    vm = SimulatedCloudVm(GCP_TDX, gpus=1)
    (found,) = told(machine, vm)
    vm.told_gpus = (GpuEvidence(found.evidence, found.certificates[1:]),)
    refused_by_client(vm, "G1.2.1")
