import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from provisioner.clouds import processes, qemu
from provisioner.clouds.processes import Command
from provisioner.clouds.qmp import Address, Qmp
from provisioner.errors import CloudError
from tests import ports
from tests.provisioner.clouds.conftest import quiet
from tests.sockets import listens


def commands(cloud, plan):
    folder = cloud.store.folder(plan.name)
    return [Command(folder, plan.qemu), Command(folder, plan.swtpm)]


def alive(cloud, plan):
    return [processes.find(command) is not None for command in commands(cloud, plan)]


def test_apply_starts_qemu_and_its_tpm(cloud, make_plan, said):
    plan = make_plan()
    vm = cloud.apply(plan, progress=said.append)
    assert vm.running
    assert vm.endpoint == f"https://127.0.0.1:{plan.port}"
    assert cloud.find("toy") == vm
    assert cloud.list() == (vm,)
    assert cloud.wait_ready("toy", seconds=10, progress=said.append) == vm
    assert any("the gateway listens" in line for line in said)


def test_qemu_starts_only_when_its_tpm_listens(cloud, make_plan, monkeypatch):
    """It connects once, and ends when it is refused."""
    plan = make_plan()
    late = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('swtpm.sock'); time.sleep(1); s.listen()"
    plan = replace(plan, swtpm=(sys.executable, "-c", f"{late}; time.sleep(60)"))
    monkeypatch.setattr(processes, "start", partial(_start_to_connect, plan, processes.start))
    with pytest.raises(KeyboardInterrupt):
        cloud.apply(plan, progress=quiet)


def _start_to_connect(plan, start, command, log):
    """Be QEMU as far as its TPM is concerned."""
    if command.argv != plan.qemu:
        return start(command, log)
    with contextlib.chdir(command.directory):
        assert listens(Path("swtpm.sock"))
    raise KeyboardInterrupt


def test_destroy_leaves_nothing(cloud, make_plan):
    plan = make_plan()
    cloud.apply(plan, progress=quiet)
    cloud.destroy("toy", progress=quiet)
    assert alive(cloud, plan) == [False, False]
    assert not cloud.store.folder("toy").exists()
    assert cloud.list() == ()
    cloud.destroy("toy", progress=quiet)


def test_same_plan_is_left_alone_and_another_replaces_it(cloud, make_plan, said):
    first = cloud.apply(make_plan(), progress=quiet)
    assert cloud.apply(make_plan(), progress=said.append).pid == first.pid
    assert said == ["toy: runs already as planned"]
    second = cloud.apply(make_plan(memory_mib=640), progress=quiet)
    assert second.pid != first.pid
    assert second.plan_digest != first.plan_digest
    assert alive(cloud, make_plan(memory_mib=512)) == [False, True]  # one swtpm only, the second plan's


def test_a_disk_that_was_written_anew_under_the_same_name_replaces_the_vm(cloud, make_plan):
    plan = make_plan()
    first = cloud.apply(plan, progress=quiet)
    plan.reads[1].write_bytes(b"another image".ljust(1 << 16, b"\0"))
    assert cloud.apply(plan, progress=quiet).pid != first.pid


def test_a_dead_vm_is_cleaned_up_and_started_again(cloud, make_plan):
    plan = make_plan()
    first = cloud.apply(plan, progress=quiet)
    processes.stop(commands(cloud, plan)[0])
    assert not cloud.find("toy").running
    second = cloud.apply(plan, progress=quiet)
    assert second.running
    assert second.pid != first.pid


def test_a_vm_whose_tpm_died_is_not_running(cloud, make_plan):
    plan = make_plan()
    cloud.apply(plan, progress=quiet)
    processes.stop(commands(cloud, plan)[1])
    assert not cloud.find("toy").running
    assert cloud.apply(plan, progress=quiet).running


def test_a_paused_vm_is_not_left_alone(cloud, make_plan):
    plan = make_plan()
    first = cloud.apply(plan, progress=quiet)
    with Qmp(Address(first.directory / "qmp.sock")) as qmp:
        qmp.execute("stop")
    assert cloud.apply(plan, progress=quiet).pid != first.pid


@pytest.mark.parametrize("step", ["_make_tpm", "_start"])
def test_interrupted_between_steps_converges(cloud, make_plan, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr(qemu.QemuCloud, step, _interrupt)
        with pytest.raises(KeyboardInterrupt):
            cloud.apply(make_plan(), progress=quiet)
    _assert_converges(cloud, make_plan())


@pytest.mark.parametrize("starts", [1, 2])
def test_interrupted_right_after_a_process_has_started_converges(cloud, make_plan, monkeypatch, starts):
    plan, started = make_plan(), []

    def start_then_die(command, log, start=processes.start):
        start(command, log)
        started.append(command)
        if len(started) == starts:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(processes, "start", start_then_die)
        with pytest.raises(KeyboardInterrupt):
            cloud.apply(plan, progress=quiet)
    _assert_converges(cloud, plan)


def test_interrupted_before_the_record_is_complete_converges(cloud, make_plan):
    folder = cloud.store.folder("toy")
    folder.mkdir(parents=True)
    (folder / ".state.json").write_text('{"version"')
    _assert_converges(cloud, make_plan())


def _interrupt(*_args, **_kwargs):
    raise KeyboardInterrupt


def _assert_converges(cloud, plan):
    assert cloud.apply(plan, progress=quiet).running
    # A process that the interrupted attempt left behind would be a second one with this command line.
    for command in commands(cloud, plan):
        assert len(processes._pids(command)) == 1
    cloud.destroy("toy", progress=quiet)
    assert alive(cloud, plan) == [False, False]


def test_a_taken_port_is_named_and_nothing_starts(cloud, make_plan):
    plan = make_plan()
    taken = rf"port {plan.port} is taken by another process .*another port"
    with socket.create_server(("127.0.0.1", plan.port)), pytest.raises(CloudError, match=taken):
        cloud.apply(plan, progress=quiet)
    assert cloud.list() == ()


def test_a_port_taken_by_another_vm_names_that_vm(cloud, make_plan):
    cloud.apply(make_plan(name="first"), progress=quiet)
    with pytest.raises(CloudError, match="taken by the VM first"):
        cloud.apply(make_plan(name="second"), progress=quiet)


def test_a_vm_whose_folder_was_removed_while_it_ran_is_named(cloud, make_plan, tmp_path):
    plan = make_plan()
    vm = cloud.apply(plan, progress=quiet)
    aside = vm.directory.rename(tmp_path / "aside")
    with pytest.raises(CloudError, match=rf"taken by a VM of another folder, pid {vm.pid} in {aside}"):
        cloud.apply(plan, progress=quiet)
    for argv in (plan.qemu, plan.swtpm):
        processes.stop(Command(aside, argv))


@pytest.mark.parametrize("missing", ["qemu-system-x86_64", "swtpm", "swtpm_setup"])
def test_a_missing_program_names_its_package(cloud, make_plan, monkeypatch, missing):
    found = processes.shutil.which
    monkeypatch.setattr(processes.shutil, "which", lambda name: None if name == missing else found(name))
    with pytest.raises(CloudError, match=f"{missing} is not installed: apt install"):
        cloud.apply(make_plan(), progress=quiet)
    assert cloud.list() == ()


@pytest.mark.parametrize("name", ["OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"])
def test_missing_firmware_says_to_bake(cloud, make_plan, name):
    plan = make_plan()
    (plan.reads[0].parent / name).unlink()
    with pytest.raises(CloudError, match=rf"{name} cannot be used: No such file.*bake"):
        cloud.apply(plan, progress=quiet)


def test_qemu_that_dies_at_once_is_reported_with_its_words_and_leaves_no_tpm_running(cloud, make_plan):
    plan = make_plan()
    broken = type(plan)(**{**_fields(plan), "qemu": (*plan.qemu, "-device", "no-such-device")})
    with pytest.raises(CloudError, match=r"qemu-system-x86_64 died at once: .*no-such-device"):
        cloud.apply(broken, progress=quiet)
    assert alive(cloud, broken) == [False, False]
    assert not cloud.find("toy").running


def test_a_swtpm_that_dies_at_once_is_reported(cloud, make_plan):
    plan = make_plan()
    broken = type(plan)(**{**_fields(plan), "swtpm": (*plan.swtpm, "--no-such-option")})
    with pytest.raises(CloudError, match="swtpm died at once"):
        cloud.apply(broken, progress=quiet)


def test_swtpm_setup_that_fails_is_reported(cloud, make_plan):
    plan = make_plan()
    broken = type(plan)(**{**_fields(plan), "swtpm_setup": ("swtpm_setup", "--tpmstate", "nowhere")})
    with pytest.raises(CloudError, match="swtpm_setup failed with status"):
        cloud.apply(broken, progress=quiet)


def test_a_refusing_image_ends_the_wait_with_its_reason(cloud, make_plan):
    cloud.apply(make_plan("VITRINE-REFUSED efivar SystemdOptions\n"), progress=quiet)
    with pytest.raises(CloudError, match="refuses to run on this host: VITRINE-REFUSED efivar SystemdOptions"):
        cloud.wait_ready("toy", seconds=10, progress=quiet)


def test_a_guest_that_resets_is_dead_and_its_last_lines_are_shown(cloud, make_plan):
    try:
        cloud.apply(make_plan("dm-verity: corrupted\n", reset=True), progress=quiet)
    except CloudError as error:  # it may be gone before QEMU has answered once
        assert "dm-verity: corrupted" in str(error)  # noqa: PT017
        return
    with pytest.raises(CloudError, match="the VM has ended; its console ends with: dm-verity: corrupted"):
        cloud.wait_ready("toy", seconds=10, progress=quiet)


def test_a_silent_guest_runs_into_the_time_limit(cloud, make_plan):
    cloud.apply(make_plan("VITRINE initrd\n"), progress=quiet)
    _until_it_says("VITRINE initrd", cloud)
    begin = time.monotonic()
    with pytest.raises(
        CloudError, match=r"not ready within 1 s; its console ends with: VITRINE initrd.*deploy_seconds"
    ):
        cloud.wait_ready("toy", seconds=1, progress=quiet)
    assert time.monotonic() - begin < 10


def _until_it_says(words, cloud):
    """Wait for the guest's first words: QEMU answers before it runs."""
    deadline = time.monotonic() + 60
    while words not in cloud.read_console("toy"):
        assert time.monotonic() < deadline, f"the console does not say {words}"
        time.sleep(0.05)


def test_waiting_for_a_vm_that_is_not_there(cloud):
    with pytest.raises(CloudError, match="there is no VM ghost: deploy it first"):
        cloud.wait_ready("ghost", seconds=1, progress=quiet)


def test_destroy_does_not_touch_a_process_with_the_same_command_elsewhere(cloud, make_plan, tmp_path):
    cloud.apply(make_plan(name="one"), progress=quiet)
    other = make_plan(name="two", port=ports.free_port())
    cloud.apply(other, progress=quiet)
    assert make_plan(name="one").swtpm == other.swtpm
    cloud.destroy("one", progress=quiet)
    assert cloud.find("two").running


def test_a_qemu_that_ignores_sigterm_is_killed(cloud, make_plan):
    plan = make_plan()
    vm = cloud.apply(plan, progress=quiet)
    os.kill(vm.pid, signal.SIGSTOP)
    processes.stop(commands(cloud, plan)[0], seconds=3)
    assert alive(cloud, plan)[0] is False


def _fields(plan):
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}
