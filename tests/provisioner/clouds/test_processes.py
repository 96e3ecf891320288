import os
import socket
import subprocess
import sys
import time

import pytest

from provisioner.clouds import processes
from provisioner.clouds.processes import Command
from provisioner.errors import CloudError

# Bash, because it is a binary: the kernel would rewrite the command line of a script.
STUBBORN = ("bash", "-c", "trap '' TERM; while true; do sleep 0.1; done")


@pytest.fixture
def sleeper(tmp_path):
    command = Command(tmp_path, ("sleep", "61"))
    processes.start(command, tmp_path / "log")
    yield command
    processes.stop(command)


def test_a_started_process_is_found_and_stopped(sleeper):
    pid = processes.find(sleeper)
    assert pid is not None
    assert os.getpgid(pid) == pid  # it is not in our group, so an interrupt at the terminal does not reach it
    processes.stop(sleeper)
    assert processes.find(sleeper) is None


def test_find_never_misses_a_process_that_is_just_starting(tmp_path):
    for _ in range(20):
        command = Command(tmp_path, ("sleep", "62"))
        processes.start(command, tmp_path / "log")
        assert processes.find(command) is not None
        processes.stop(command)
        assert processes.find(command) is None


def test_a_process_between_two_command_lines_is_found(tmp_path, monkeypatch):
    entry = tmp_path / "proc/4711"
    entry.mkdir(parents=True)
    (entry / "cwd").symlink_to(tmp_path)
    (entry / "cmdline").write_bytes(b"")
    monkeypatch.setattr(processes, "_PROC", tmp_path / "proc")

    def became(_):
        (entry / "cmdline").write_bytes(b"sleep\x0060\x00")

    monkeypatch.setattr(processes.time, "sleep", became)
    assert processes.find(Command(tmp_path, ("sleep", "60"))) == 4711
    assert processes.find(Command(tmp_path, ("sleep", "61"))) is None


def test_a_process_that_never_gets_a_command_line_is_not_waited_for_without_end(tmp_path, monkeypatch):
    entry = tmp_path / "proc/4711"
    entry.mkdir(parents=True)
    (entry / "cwd").symlink_to(tmp_path)
    (entry / "cmdline").write_bytes(b"")
    monkeypatch.setattr(processes, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(processes, "_EXEC_POLLS", 3)
    assert processes.find(Command(tmp_path, ("sleep", "60"))) is None


def test_the_same_command_in_another_folder_is_somebody_elses(sleeper, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stranger = Command(elsewhere, sleeper.argv)
    assert processes.find(stranger) is None
    processes.stop(stranger)
    assert processes.find(sleeper) is not None


def test_another_command_in_the_same_folder_is_somebody_elses(sleeper):
    stranger = Command(sleeper.directory, ("sleep", "6"))
    processes.stop(stranger)
    assert processes.find(stranger) is None
    assert processes.find(sleeper) is not None


def test_a_recycled_pid_is_never_signalled(sleeper, tmp_path):
    # The pid was ours a moment ago; the process that bears it now is not.
    recycled = processes.find(sleeper)
    processes._stop_one(recycled, Command(tmp_path, ("qemu-system-x86_64", "-S")), 0.1)
    assert processes.find(sleeper) == recycled


def test_a_pid_that_is_gone_is_stopped_already(tmp_path):
    ended = subprocess.Popen(("true",))
    ended.wait()
    processes._stop_one(ended.pid, Command(tmp_path, ("true",)), 0.1)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path):
    command = Command(tmp_path, STUBBORN)
    processes.start(command, tmp_path / "log")
    time.sleep(0.3)
    processes.stop(command, seconds=3)
    assert processes.find(command) is None


def test_a_process_that_survives_being_killed_is_an_error(tmp_path, monkeypatch):
    command = Command(tmp_path, STUBBORN)
    processes.start(command, tmp_path / "log")
    with monkeypatch.context() as patch:
        patch.setattr(processes.signal, "pidfd_send_signal", lambda *_: None)
        with pytest.raises(CloudError, match="does not end even when killed"):
            processes.stop(command, seconds=0.1)
    processes.stop(command, seconds=3)


LATE = "import pathlib, socket, time; s = socket.socket(socket.AF_UNIX); s.bind('s')"
LATE += "\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\ns.listen(); time.sleep(60)"


def test_a_socket_on_which_nobody_listens_yet_is_told_from_one_that_takes_connections(tmp_path):
    command, elsewhere = (Command(tmp_path / name, (sys.executable, "-c", LATE)) for name in ("here", "elsewhere"))
    command.directory.mkdir()
    elsewhere.directory.mkdir()
    (elsewhere.directory / "go").touch()  # it listens, on a socket of the same name
    strange = socket.socket(socket.AF_UNIX)
    strange.bind(b"\0\xff\n")  # somebody else's, with a name that is no text
    try:
        for one in (command, elsewhere):
            processes.start(one, one.directory / "log")
        _until((command.directory / "s").is_socket)
        _until(lambda: processes.listens(elsewhere))
        assert not processes.listens(command)
        (command.directory / "go").touch()
        _until(lambda: processes.listens(command))
    finally:
        for one in (command, elsewhere):
            processes.stop(one)
        strange.close()
    assert not processes.listens(command)


def _until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_zombie_counts_as_dead(tmp_path):
    child = subprocess.Popen(("sleep", "0.01"), cwd=tmp_path)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert processes.find(Command(tmp_path, ("sleep", "0.01"))) is None
    child.wait()


def test_run_returns_the_output(tmp_path):
    assert processes.run(Command(tmp_path, ("pwd",)), seconds=5).strip() == str(tmp_path)


def test_run_reports_status_and_last_words(tmp_path):
    with pytest.raises(CloudError, match=r"bash failed with status 3: no such luck"):
        processes.run(Command(tmp_path, ("bash", "-c", "echo no such luck >&2; exit 3")), seconds=5)


def test_run_ends_at_its_time_limit(tmp_path):
    begin = time.monotonic()
    with pytest.raises(CloudError, match="sleep did not end within 0 s"):
        processes.run(Command(tmp_path, ("sleep", "60")), seconds=0.2)
    assert time.monotonic() - begin < 5


def test_a_missing_program_names_its_debian_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CloudError, match="swtpm_setup is not installed: apt install swtpm-tools"):
        processes.run(Command(tmp_path, ("swtpm_setup",)), seconds=1)
    with pytest.raises(CloudError, match="qemu-system-x86_64 is not installed: apt install qemu-system-x86"):
        processes.start(Command(tmp_path, ("qemu-system-x86_64",)), tmp_path / "log")


@pytest.mark.parametrize(
    ("setsid", "seconds", "said"), [("exit 3", 60.0, "status 3"), ("exec sleep 5", 0.3, "timed out")]
)
def test_a_start_that_fails_is_a_clear_error(tmp_path, monkeypatch, setsid, seconds, said):
    program = tmp_path / "setsid"
    program.write_text(f"#!/bin/sh\n{setsid}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(processes, "_KILL_SECONDS", seconds)
    with pytest.raises(CloudError, match=rf"sleep cannot be started in {tmp_path}: .*{said}"):
        processes.start(Command(tmp_path, ("sleep", "60")), tmp_path / "log")


def test_a_log_that_cannot_be_written_is_a_clear_error(tmp_path):
    with pytest.raises(CloudError, match=rf"sleep cannot be started in {tmp_path}: .*no/log"):
        processes.start(Command(tmp_path, ("sleep", "60")), tmp_path / "no/log")


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path):
    gone = Command(tmp_path / "gone", ("sleep", "60"))
    with pytest.raises(CloudError, match=r"sleep cannot be run in .*gone"):
        processes.run(gone, seconds=5)
    with pytest.raises(CloudError, match=r"sleep cannot be started in .*gone"):
        processes.start(gone, tmp_path / "log")


def test_cpu_seconds_of_a_process_that_is_gone():
    ended = subprocess.Popen(("true",))
    ended.wait()
    with pytest.raises(CloudError, match="is gone"):
        processes.cpu_seconds(ended.pid)
    assert processes.cpu_seconds(os.getpid()) > 0
