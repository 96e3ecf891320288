"""Connection plugin: run commands in a root file system that lies in a folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO, Any

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: rootdir
short_description: run tasks in a root file system folder, cut off from the host
description:
  - Every command runs in fresh mount, PID, UTS, IPC and network namespaces, with the folder as its root.
  - There is no network inside. Mounts are private to the command and end with it, however it ends.
  - Files are transferred by a process inside the root, so a symbolic link in the tree leads nowhere else.
  - It keeps a mistake in a role from touching the host. It is not a jail for hostile code.
requirements:
  - root on the controller; unshare, setpriv, mount and chroot (Debian packages util-linux, mount, coreutils)
options:
  root:
    description: absolute path of the folder that holds the root file system
    type: str
    required: true
    vars:
      - name: ansible_rootdir
      - name: ansible_host
  pipelining:
    description: send modules through standard input; nothing is written into the tree
    type: bool
    default: true
    vars:
      - name: ansible_pipelining
"""

SETUP_FAILED = 125
MOUNT_POINTS = ("proc", "dev", "run", "tmp")

# What a role may never do to the host's kernel, whatever it runs.
DROPPED_CAPABILITIES = (
    *("sys_admin", "sys_module", "sys_rawio", "sys_boot", "sys_time", "sys_ptrace", "sys_resource"),
    *("mknod", "net_admin", "net_raw", "syslog", "bpf", "perfmon", "wake_alarm", "mac_admin", "mac_override"),
)

# Runs as PID 1 of the new namespaces. "$1" is the root, the rest is the command: nothing is quoted twice.
# /proc/sys is read-only because most of it belongs to the host's kernel, not to a namespace.
SETUP = """
set -eu
umask 022
fail() { echo "rootdir: cannot prepare $1" >&2; exit 125; }
cd -- "$1" || fail "$1"
shift
echo vitrine > /proc/sys/kernel/hostname || fail 'the host name'
mount -t proc -o nosuid,nodev,noexec proc ./proc || fail /proc
mount --bind ./proc/sys ./proc/sys && mount -o remount,bind,ro ./proc/sys || fail /proc/sys
if [ -e ./proc/sysrq-trigger ]; then
  mount --bind /dev/null ./proc/sysrq-trigger || fail /proc/sysrq-trigger
fi
mount -t tmpfs -o nosuid,noexec,mode=0755 rootdir ./dev || fail /dev
for node in null zero full random urandom; do
  : > "./dev/$node"
  mount --bind "/dev/$node" "./dev/$node" || fail "/dev/$node"
done
ln -s /proc/self/fd ./dev/fd
ln -s /proc/self/fd/0 ./dev/stdin
ln -s /proc/self/fd/1 ./dev/stdout
ln -s /proc/self/fd/2 ./dev/stderr
mkdir -m 1777 ./dev/shm
mount -t tmpfs -o nosuid,nodev,mode=0755 rootdir ./run || fail /run
mount -t tmpfs -o nosuid,nodev,mode=1777 rootdir ./tmp || fail /tmp
exec setpriv --bounding-set "$1" chroot . "$2" "$3" "$4" "$5" "$6"
"""


def entering(root: Path, shell: str, *, argument: str = "") -> list[str]:
    """Give the argv that runs ``shell`` in the tree with ``argument`` as its "$1"."""
    dropped = ",".join(f"-{name}" for name in DROPPED_CAPABILITIES)
    return [
        # The tree's processes die with the Ansible worker, even when that one is killed.
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--kill-child"),
        *("sh", "-c", SETUP, "rootdir", str(root), dropped),
        *("/bin/sh", "-c", shell, "sh", argument),
    ]


def environment() -> dict[str, str]:
    """Give the environment inside the tree: nothing of the caller's."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def usable_root(given: str) -> Path:
    """Resolve and check the folder, and say what is wrong with it in one sentence."""
    if os.geteuid() != 0:
        raise AnsibleConnectionFailure("rootdir: needs root, to enter a root file system; run as root or with sudo")
    if not Path(given).is_absolute():
        raise AnsibleConnectionFailure(f"rootdir: {given!r} is not an absolute path; set ansible_rootdir")
    root = Path(given).resolve()
    if not root.is_dir():
        raise AnsibleConnectionFailure(f"rootdir: {given} is not a folder; was the tree prepared?")
    if root == Path("/"):
        raise AnsibleConnectionFailure("rootdir: / is the host's own root; refusing to configure the host")
    for name in MOUNT_POINTS:
        point = root / name
        # A link here would have the private mounts land somewhere else.
        if point.is_symlink() or not point.is_dir():
            raise AnsibleConnectionFailure(f"rootdir: {root} is no root file system: /{name} is not a real folder")
    if not (os.path.lexists(root / "bin" / "sh") or os.path.lexists(root / "usr" / "bin" / "sh")):
        raise AnsibleConnectionFailure(f"rootdir: {root} is no root file system: it has no /bin/sh")
    return root


class Connection(ConnectionBase):
    """One root file system in a folder."""

    transport = "rootdir"
    has_pipelining = True

    def _connect(self) -> Connection:
        if not self._connected:
            self._root = usable_root(self.get_option("root"))
            self._connected = True
        return self

    def _run(self, argv: list[str], **streams: Any) -> tuple[int, bytes, bytes]:
        """Run to the end. On any exception the child is killed, and its namespaces go with it."""
        try:
            done = subprocess.run(argv, env=environment(), check=False, stderr=subprocess.PIPE, **streams)
        except OSError as error:
            raise AnsibleConnectionFailure(f"rootdir: cannot start {argv[0]}: {error}") from error
        if done.returncode == SETUP_FAILED and b"rootdir: cannot prepare" in done.stderr:
            raise AnsibleConnectionFailure(done.stderr.decode(errors="replace").strip())
        return done.returncode, done.stdout or b"", done.stderr

    def exec_command(
        self,
        cmd: str,
        in_data: bytes | None = None,
        sudoable: bool = True,  # noqa: FBT001, FBT002 - Ansible's signature
    ) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._run(entering(self._root, cmd), input=in_data or b"", stdout=subprocess.PIPE)

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        if not Path(in_path).is_file():
            raise AnsibleFileNotFound(f"rootdir: no such file: {in_path}")
        with Path(in_path).open("rb") as source:
            self._transfer('cat > "$1"', out_path, stdin=source, stdout=subprocess.DEVNULL)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        with Path(out_path).open("wb") as target:
            self._transfer('cat < "$1"', in_path, stdin=subprocess.DEVNULL, stdout=target)

    def _transfer(self, shell: str, inner: str, *, stdin: IO[bytes] | int, stdout: IO[bytes] | int) -> None:
        code, _, errors = self._run(entering(self._root, shell, argument=inner), stdin=stdin, stdout=stdout)
        if code != 0:
            said = errors.decode(errors="replace").strip()
            raise AnsibleConnectionFailure(f"rootdir: transfer of {inner} failed ({code}): {said}")

    def close(self) -> None:
        self._connected = False
