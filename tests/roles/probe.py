"""Run by PID 1 of the image in place of a service's program: tries what a service that was taken over would try.

It prints what went well, as JSON. It must run on the image's Python without any package.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS, errno.EAFNOSUPPORT, errno.ENOENT}
ELSEWHERE = 2**22 - 1  # no process has it

# Number on x86-64 and arguments with which nothing happens: what counts is whether the kernel looks at them at all.
CALLS = {
    "trace": (101, (3, ELSEWHERE, 0, 0)),
    "read another's memory": (310, (ELSEWHERE, 0, 0, 0, 0, 0)),
    "mount": (165, (0, 0, 0, 0, 0)),
    "set the clock": (227, (99, 0)),
    "load a module": (175, (0, 0, 0)),
    "boot another kernel": (246, (0, 0, 0, 99)),
    "power off": (169, (0, 0, 0, 0)),
    "swap": (167, (0, 0)),
    "read the kernel's log": (103, (10, 0, 0)),
    "watch performance": (298, (0, 0, -1, -1, 0)),
    "load a program into the kernel": (321, (99, 0, 0)),
    "asynchronous rings": (425, (0, 0)),
    "faults in user space": (323, (99,)),
    "keyrings": (250, (99, 0, 0, 0, 0)),
    "a namespace of users": (272, (0x10000000,)),
    "a namespace of mounts": (272, (0x00020000,)),
    "real-time priority": (144, (0, 1, 0)),
    "files by handle": (304, (-1, 0, 0)),
    "another's descriptors": (438, (-1, 0, 0)),
    "another personality": (135, (0x0040000,)),
}
SOCKETS = {"unix": 1, "inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "vsock": 40}
FOLDERS = (
    *("/", "/dev", "/dev/shm", "/etc", "/run", "/tmp", "/usr", "/var", "/var/tmp", "/root", "/home"),
    *("/run/vitrine", "/run/vitrine/attester", "/run/vitrine/tls", "/run/vitrine/engine/m", "/run/vitrine/selfcheck"),
)
READABLE = (
    *("/usr/share/vitrine/model/m", "/run/vitrine/tls/k", "/run/vitrine/attester/k", "/run/vitrine/engine/m/k"),
    "/run/vitrine/selfcheck/k",
)


def tried(call) -> bool:
    """Whether it was let through, whatever came of it."""
    try:
        call()
    except OSError as error:
        return error.errno not in REFUSED
    return True


def system_call(number, arguments):
    words = [ctypes.c_long(value) for value in arguments]
    if LIBC.syscall(ctypes.c_long(number), *words) < 0:
        raise OSError(ctypes.get_errno(), "")


def in_a_child(call) -> bool:
    child = os.fork()
    if not child:
        os.close(1)  # what it says is not asked for
        try:
            done = tried(call)
        finally:
            os._exit(1 if "done" in locals() and done else 0)
    return os.waitpid(child, 0)[1] != 0


def write(folder):
    path = Path(folder) / f"probe-{os.getpid()}"
    path.write_text("#!/bin/sh\nexit 0\n")
    return path


def runs(folder) -> bool:
    """Whether a program that was written there runs: the loader, which needs no other file."""
    path = write(folder)
    path.write_bytes(Path("/lib64/ld-linux-x86-64.so.2").read_bytes())
    path.chmod(0o755)
    child = os.fork()
    if not child:
        os.close(1)  # what it says is not asked for
        try:
            os.execv(path, [str(path), "--version"])  # noqa: S606 - that it starts is the question
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def opens(path, flags):
    os.close(os.open(path, flags | os.O_CLOEXEC))


def devices():
    """Every device that opens, but for those that hold nothing."""
    every = [path for folder in ("/dev", "/dev/mapper") for path in Path(folder).glob("*")]
    found = [path for path in every if not path.is_symlink() and (path.is_char_device() or path.is_block_device())]
    names = {path.name for path in found if tried(lambda path=path: opens(path, os.O_RDWR | os.O_NONBLOCK))}
    return sorted(names - {"null", "zero", "full", "random", "urandom", "tty", "ptmx"})


def main():
    can = {name for name, what in CALLS.items() if in_a_child(lambda what=what: system_call(*what))}
    can |= {
        f"{name} socket"
        for name, kind in SOCKETS.items()
        if tried(lambda kind=kind: socket.socket(kind, 2 if kind != 17 else 3))
    }
    if tried(lambda: mmap.mmap(-1, 4096, prot=7)):
        can.add("make machine code")
    if "eth0" in Path("/proc/self/net/dev").read_text():
        can.add("the network")
    if Path("/proc/1").exists():
        can.add("other processes")
    if tried(lambda: opens("/proc/sys/kernel/msgmax", os.O_WRONLY)):
        can.add("a kernel setting")
    if tried(lambda: opens("/proc/sys/kernel/msgmnb", os.O_WRONLY)):
        can.add("other kernel settings")
    if resource.getrlimit(resource.RLIMIT_CORE)[1]:
        can.add("core dumps")
    if os.geteuid() == 0:
        can.add("root")
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    writable = [folder for folder in FOLDERS if tried(lambda folder=folder: write(folder))]
    told = {
        "can": sorted(can),
        "capabilities": sorted(bit for bit in range(64) if int(status["CapBnd"], 16) >> bit & 1),
        "effective": int(status["CapEff"], 16) & ~int(status["CapBnd"], 16),
        "devices": devices(),
        "writes": writable,
        "runs": [folder for folder in writable if runs(folder)],
        "reads": [path for path in READABLE if tried(lambda path=path: opens(path, os.O_RDONLY))],
    }
    json.dump(told, sys.stdout)


main()
