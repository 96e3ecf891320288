"""The processes of a VM: started detached, recognised beyond doubt, stopped for certain.

A process is ours when its working folder is the VM's folder *and* its command line is the planned one. Both
are read after a handle on the process is open, so a pid that has been given to somebody else in the meantime
is never signalled. Nothing has to be recorded for that, so an interruption at any moment loses no process.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provisioner.clouds.console import last_lines
from provisioner.errors import CloudError

_PROC = Path("/proc")
_PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "swtpm": "swtpm",
    "swtpm_setup": "swtpm-tools",
    "swtpm_localca": "swtpm-tools",
    "setsid": "util-linux",
}
_KILL_SECONDS = 10.0
_EXEC_POLLS = 1000
_EXEC_POLL_SECONDS = 0.001
# The inodes of the sockets in /proc/net/unix whose flags are __SO_ACCEPTCON; a name there may be any bytes.
_LISTENING = re.compile(rb"^[0-9a-f]+: \S+ \S+ 00010000 \S+ \S+ +(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and the folder that it runs in: together they identify one process of one VM."""

    directory: Path
    argv: tuple[str, ...]

    def launcher(self) -> Command:
        """Return what ``start`` runs: its child bears this command line until it becomes the command itself."""
        return Command(self.directory, ("setsid", "--fork", *self.argv))


def require(program: str) -> str:
    """Return the path of a program.

    Raises:
        CloudError: it is not installed; it names the Debian package.
    """
    path = shutil.which(program)
    if path is None:
        package = _PACKAGES.get(program, program)
        raise CloudError(f"{program} is not installed: apt install {package} (or run `make setup`)")
    return path


def run(command: Command, *, seconds: float) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        CloudError: it fails, with its last words, or the time limit ends it.
    """
    require(command.argv[0])
    try:
        done = subprocess.run(
            command.argv,
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CloudError(f"{command.argv[0]} did not end within {seconds:.0f} s; try again") from error
    except OSError as error:
        raise CloudError(f"{command.argv[0]} cannot be run in {command.directory}: {error}") from error
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise CloudError(f"{command.argv[0]} failed with status {done.returncode}: {last_lines(output, 4)}")
    return output


def start(command: Command, log: Path) -> None:
    """Start a command that outlives this process, with its output in ``log``.

    That it stays alive is not said: ask ``find`` afterwards.

    Raises:
        CloudError: it is not installed, or cannot be started in this folder.
    """
    for program in (command.argv[0], "setsid"):
        require(program)
    try:
        with log.open("wb") as output:
            # setsid forks: the command is nobody's child here, so that it is neither awaited nor taken down.
            subprocess.run(
                command.launcher().argv,
                cwd=command.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_KILL_SECONDS,
                check=True,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise CloudError(f"{command.argv[0]} cannot be started in {command.directory}: {error}; see {log}") from error


def find(command: Command) -> int | None:
    """Return the pid of the process that runs this command in this folder, or is about to; else None."""
    # In this order: what is no launcher any more by now is the command itself, or dead.
    return next(iter((*_pids(command.launcher()), *_pids(command))), None)


def listens(command: Command) -> bool:
    """Say whether the process of this command takes connections on a UNIX socket, without making one.

    The socket's path does not say so: it appears one call before ``listen``.
    """
    pid = find(command)
    if pid is None:
        return False
    try:
        listening = _LISTENING.findall((_PROC / "net/unix").read_bytes())
        files = [os.fsencode(file.readlink()) for file in (_PROC / str(pid) / "fd").iterdir()]
    except OSError:  # it ended, or closed a file just now
        return False
    return any(b"socket:[%s]" % inode in files for inode in listening)


def find_by_argument(part: str) -> str | None:
    """Return pid and folder, for a person to read, of a process with ``part`` in its command line, or None.

    It may be anybody's: such a process is named in a message, never signalled.
    """
    for entry in _PROC.iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(part) in (entry / "cmdline").read_bytes():
                return f"pid {entry.name} in {(entry / 'cwd').readlink()}"
        except OSError:  # it ended, or it is another user's
            continue
    return None


def stop(command: Command, *, seconds: float = _KILL_SECONDS) -> None:
    """End every process of this command: politely, then by force.

    Raises:
        CloudError: one survives even that.
    """
    for form in (command.launcher(), command):
        for pid in _pids(form):
            _stop_one(pid, form, seconds)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that a process has used.

    Raises:
        CloudError: it is gone.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise CloudError(f"process {pid} is gone") from error
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pids(command: Command) -> tuple[int, ...]:
    numbers = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return tuple(pid for pid in numbers if _matches(pid, command))


def _stop_one(pid: int, command: Command, seconds: float) -> None:
    for order in (signal.SIGTERM, signal.SIGKILL):
        with _handle(pid, command) as handle:
            if handle is None or _signal_and_wait(handle, order, seconds):
                return
    raise CloudError(f"process {pid} ({command.argv[0]}) does not end even when killed; see `ps {pid}`")


def _matches(pid: int, command: Command) -> bool:
    wanted = b"".join(os.fsencode(word) + b"\0" for word in command.argv)
    entry = _PROC / str(pid)
    try:
        for _ in range(_EXEC_POLLS):
            line = (entry / "cmdline").read_bytes()
            if line not in (b"", wanted) or not (entry / "cwd").samefile(command.directory):
                return False
            if line:
                return True
            # Inside execve a process has its old command line no more and its new one not yet.
            time.sleep(_EXEC_POLL_SECONDS)
    except OSError:  # it ended, or it is another user's and so not ours
        return False
    return False


@contextmanager
def _handle(pid: int, command: Command) -> Iterator[int | None]:
    """Hold the process itself, not its number; None when it is not (or no longer) the one we mean."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if _matches(pid, command) else None
    finally:
        os.close(handle)


def _signal_and_wait(handle: int, order: signal.Signals, seconds: float) -> bool:
    try:
        signal.pidfd_send_signal(handle, order)
    except ProcessLookupError:
        return True
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return True
    return False
