"""The image's own PID 1 over the tree, in namespaces of its own: units start in the sandboxes that they have in the VM.

Each unit runs a probe in place of its program. What differs from the VM: the kernel is this machine's, so its own
settings (sysctls, lockdown) and limits of memory are not what is seen here.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

PROBE = Path(__file__).with_name("probe.py")
# /proc/sys belongs to this machine: it is read-only, but for a setting of the namespace's own.
BOOT = """
set -eu
tree=$1 given=$2
mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir="$tree",upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --bind proc/sys proc/sys; mount --bind proc/sys/kernel/msgmax proc/sys/kernel/msgmax
mount -o remount,bind,ro proc/sys
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o nosuid,noexec,mode=0755 dev dev
for node in null zero full random urandom tty; do : >dev/$node; mount --bind /dev/$node dev/$node; done
mkdir dev/shm; mount -t tmpfs -o ro,nosuid,nodev,noexec shm dev/shm
mkdir dev/pts dev/mqueue; mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts; ln -s pts/ptmx dev/ptmx
mount -t mqueue mqueue dev/mqueue
mkdir dev/mapper
# Numbers of no driver: whoever is let learns that there is no such device.
mknod -m 666 dev/tpmrm0 c 10 251; mknod -m 666 dev/mapper/control c 10 252; mknod -m 666 dev/other c 10 253
mount -t tmpfs -o nosuid,nodev,noexec,mode=0755 run run
mount -t tmpfs tmp tmp; mount -t tmpfs tmp var
mkdir -p run/systemd/system run/result run/probe; cp -r "$given/units/." run/systemd/system
cp "$given/probe.py" "$given/files.py" run/probe; mount --bind "$given/result" run/result
mkdir -p usr/share/vitrine/model; mount -t tmpfs model usr/share/vitrine/model; echo m >usr/share/vitrine/model/m
ip link add eth0 type veth peer name peer0
exec env -i PATH=/usr/sbin:/usr/bin container=tests chroot . /usr/lib/systemd/systemd --system --unit=probe.target
"""
SETUP = """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=systemd-tmpfiles --create /usr/lib/tmpfiles.d/vitrine.conf
ExecStart=/usr/bin/python3 -S -P /run/probe/files.py
"""
# The image has no mkdir and no chmod.
FILES = """
from pathlib import Path
for name in ("tls", "attester", "selfcheck", "engine", "engine/m"):
    folder = Path("/run/vitrine", name)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777 if name == "engine/m" else 0o755)
    file = folder / "k"
    file.write_text("k")
    file.chmod(0o666 if name == "engine/m" else 0o644)
"""
PROGRAM = """[Service]
Type=oneshot
Restart=no
ExecStart=/usr/bin/python3 -S -P /run/probe/probe.py
StandardOutput=file:/run/result/{unit}
StandardError=file:/run/result/{unit}.err
"""
END = """[Unit]
DefaultDependencies=no
After={units}
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'systemd-analyze dump {units} >/run/result/shown'
"""
# Of what `systemd-analyze dump` says; this many bytes are no limit.
INFINITY = str(2**64 - 1)
SHOWN = ("MemoryMax", "TasksMax", "MemorySwapMax")


def original(tree: Path, unit: str) -> str:
    """The [Service] section as the role wrote it, of which the probe takes the place of the program."""
    template = re.sub(r"@.*\.", "@.", unit)
    section = (tree / "usr/lib/systemd/system" / template).read_text().partition("[Service]\n")[2]
    dropped = re.compile(r"^(Exec\w+|Type|Restart\w*|RemainAfterExit|WatchdogSec|RuntimeDirectory\w*)=")
    kept = [line for line in section.splitlines() if not dropped.match(line)]
    return "\n".join(kept)


def probed(tree: Path, folder: Path, units: tuple[str, ...]) -> tuple[dict[str, dict], dict[str, dict[str, str]]]:
    """Boot the tree; return what the probe was able to do in each unit, and what PID 1 says of the units' limits.

    ``control.service`` is one more: no unit of ours, so nothing confines it.
    """
    every = (*units, "control.service")
    _prepare(tree, folder, every)
    spaces = ["unshare", *("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child")]
    argv = [*spaces, "sh", "-c", BOOT, "sh", str(tree), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return {unit: _result(folder, unit) for unit in every}, _shown((folder / "result/shown").read_text())


def _shown(dump: str) -> dict[str, dict[str, str]]:
    blocks = [block.splitlines() for block in re.split(r"^→ Unit ", dump, flags=re.MULTILINE)[1:]]
    fields = {lines[0].rstrip(":"): [line.strip().partition(": ") for line in lines[1:]] for lines in blocks}
    return {unit: {name: value for name, _, value in told if name in SHOWN} for unit, told in fields.items()}


def _prepare(tree: Path, folder: Path, every: tuple[str, ...]) -> None:
    inside = folder / "units"
    inside.mkdir(parents=True)
    (folder / "result").mkdir()
    (folder / "probe.py").write_text(PROBE.read_text())
    (folder / "files.py").write_text(FILES)
    (inside / "setup.service").write_text(SETUP)
    for unit in every:
        written = "" if unit == "control.service" else original(tree, unit)
        about = "[Unit]\nDefaultDependencies=no\nRequires=setup.service\nAfter=setup.service\n[Service]\n"
        (inside / unit).write_text(f"{about}{written}\n")
        (inside / f"{unit}.d").mkdir()
        (inside / f"{unit}.d/99-probe.conf").write_text(PROGRAM.format(unit=unit))
    names = " ".join(every)
    (inside / "end.service").write_text(END.format(units=names))
    (inside / "probe.target").write_text(f"[Unit]\nWants={names}\nRequires=end.service\nAfter=end.service\n")


def _result(folder: Path, unit: str) -> dict:
    text, errors = folder / "result" / unit, folder / "result" / f"{unit}.err"
    assert text.is_file(), f"{unit} did not start"
    assert text.read_text(), f"{unit}: {errors.read_text() if errors.is_file() else 'said nothing'}"
    return json.loads(text.read_text())
