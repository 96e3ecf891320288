"""Looking at running processes through /proc, and starting an engine as its unit does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LISTEN = "0A"


def start(
    folder, entry, model, *, packages, environment=None, python=sys.executable, requests=64, module="serving.engines"
):
    """Start an engine with its socket in the folder; the model's folder bears its name."""
    (folder / "list.json").write_text(json.dumps([entry]))
    (folder / "models").mkdir(exist_ok=True)
    socket_of(folder, entry["name"]).parent.mkdir(exist_ok=True)
    named = folder / "models" / entry["name"]
    if not named.exists():
        named.symlink_to(model)
    argv = [python, "-S", "-P", "-m", module, entry["name"], "--list", str(folder / "list.json")]
    argv += ["--models", str(folder / "models"), "--sockets", str(folder), "--requests", str(requests)]
    told = {"PYTHONPATH": ":".join([str(ROOT), *map(str, packages)]), "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir(exist_ok=True)
    told |= environment or {}
    return subprocess.Popen(argv, env=told, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def socket_of(folder, name):
    """Where an engine that was started in the folder listens."""
    return folder / name / "engine.sock"


@contextlib.contextmanager
def notified(folder):
    """A socket for systemd's messages, and the environment that names it."""
    path = folder / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        yield channel, {"NOTIFY_SOCKET": str(path)}


def wait_ready(channel, process, seconds):
    """Wait for READY=1; an engine that ends instead fails at once."""
    deadline = time.monotonic() + seconds
    channel.settimeout(0.5)
    while True:
        with contextlib.suppress(TimeoutError):
            assert channel.recv(100) == b"READY=1"
            return
        assert process.poll() is None, "the engine ended before it was ready"
        assert time.monotonic() < deadline, f"not ready within {seconds} s"


def lives(channel, seconds):
    """How often the engine says that it lives, within so long."""
    channel.settimeout(0.1)
    deadline, count = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            count += channel.recv(100) == b"WATCHDOG=1"
    return count


def lives_again(channel, seconds):
    """Whether the engine says once that it lives, within so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if lives(channel, 0.5):
            return True
    return False


def falls_silent(channel, seconds, *, within):
    """Whether for once it does not say for so long that it lives; what was on its way may still come."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not lives(channel, seconds):
            return True
    return False


def family(pid):
    """The process and all that come from it, the oldest first."""
    found = [pid]
    for parent in found:
        for thread in _threads(parent):
            with contextlib.suppress(OSError):
                found += [int(word) for word in (thread / "children").read_text().split()]
    return found


def _threads(pid):
    """The folders of a process's threads: none, once it has ended."""
    with contextlib.suppress(OSError):
        return [*Path(f"/proc/{pid}/task").iterdir()]
    return []


def alive(pids):
    return [pid for pid in pids if state(pid) not in (None, "Z")]


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def gone(pids, seconds):
    """Whether all of them are, after at most so long."""
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pids)


def words(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def variables(pid):
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def server_of(pid):
    """The process that serves vLLM's HTTP, by its command line."""
    (found,) = [member for member in family(pid) if "vllm.entrypoints.openai.api_server" in words(member)]
    return found


def outputs(pid):
    return {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (1, 2)}


def written(pid):
    """Every regular file that a process has open for writing."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            flags = int(re.search(r"flags:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/{link.name}").read_text())[1], 8)
            if flags & (os.O_WRONLY | os.O_RDWR) and link.stat().st_mode & 0o170000 == 0o100000:
                found.add(str(link.readlink()))
    return found


def internet(pid):
    """(table, local address, peer's address, state) of every socket of the internet family that a process has."""
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:")}
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                found.append((table, fields[1].split(":")[0], fields[2].split(":")[0], fields[3]))
    return found
