"""The judges, as Debian packages them: downloaded with apt from the machine's own mirror, unpacked, never installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from provisioner.image import apt, process
from provisioner.image.mirror import find_mirror

# Lynis as the image's own suite has it; the other one is in no released suite yet.
SUITES = {"lynis": "trixie", "kernel-hardening-checker": "sid"}
SECONDS = 240


@dataclass(frozen=True, slots=True)
class Judge:
    """An unpacked package."""

    name: str
    version: str
    folder: Path


def obtain(name: str, folder: Path) -> Judge:
    """Download and unpack a judge; apt checks the archive's signature."""
    home, suite = folder / f"apt-{name}", SUITES[name]
    mirror = find_mirror()
    conf = apt.private_conf(home)
    source = f"Types: deb\nURIs: {mirror.main}\nSuites: {suite}\nComponents: main\nSigned-By: {mirror.keyring}\n"
    (home / "sources.list.d/judges.sources").write_text(source)
    for words in (["update", "-q", "--error-on=any"], ["download", name]):
        process.run(
            ["apt-get", "-c", conf, *words], what=f"getting {name}", env=process.proxy_environment(), cwd=folder
        )
    (deb,) = folder.glob(f"{name}_*.deb")
    process.run(["dpkg-deb", "-x", deb, folder / name], what=f"unpacking {name}")
    version = process.run(["dpkg-deb", "-f", deb, "Version"], what=f"reading {name}").decode().strip()
    return Judge(name, version, folder / name)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that the kernel's judge looked at."""

    name: str
    kind: str
    wanted: str
    found: str
    holds: bool


def judge_kernel(judge: Judge, config: Path, cmdline: Path, sysctl: Path) -> tuple[Line, ...]:
    """Ask the kernel's judge about a configuration, a command line and settings as ``sysctl -a`` prints them."""
    program = judge.folder / "usr/bin/kernel-hardening-checker"
    argv = [sys.executable, program, "-m", "json", "-c", config, "-l", cmdline, "-s", sysctl]
    environment = {**os.environ, "PYTHONPATH": str(judge.folder / "usr/lib/python3/dist-packages")}
    done = subprocess.run(argv, capture_output=True, check=True, timeout=SECONDS, env=environment)
    # Its last line is for people.
    rows = json.loads(done.stdout.decode().partition("\n")[0])
    names = ("option_name", "type", "desired_val", "check_result", "check_result_bool")
    return tuple(Line(*(row[name] for name in names)) for row in rows)


@dataclass(frozen=True, slots=True)
class Lynis:
    """Lynis's verdict on a tree: its index, how many tests it made, and what it would change, by test."""

    index: int
    tests: int
    said: tuple[tuple[str, str], ...]


# Inside, in namespaces of its own and without a network: a shell and tools that are no part of what is judged.
SCRIPT = """
set -eu
root=$1 busybox=$2 lynis=$3 applets=$4
cd "$root"
mount -t tmpfs -o mode=755 judge dev
for node in null zero urandom; do : >dev/$node; mount --bind /dev/$node dev/$node; done
mount -t proc proc proc
for folder in tmp run var/log; do mount -t tmpfs judge $folder; done
mkdir -p run/judge/bin
cp "$busybox" run/judge/bin/busybox
for applet in $applets; do ln -s busybox run/judge/bin/$applet; done
cp -a "$lynis/usr/share/lynis/." "$lynis/etc/lynis/." run/judge
cp "$lynis/usr/sbin/lynis" run/judge/lynis
cat >>run/judge/custom.prf
exec chroot . /run/judge/bin/sh -c 'cd /run/judge && PATH=/run/judge/bin:/usr/sbin:/usr/bin HOME=/root \
  sh ./lynis audit system --quick --no-colors --no-log --report-file /run/judge/report >/dev/null 2>&1; cat report'
"""
APPLETS = """
awk basename cat chmod chown cp cut date df dirname echo egrep env expr false fgrep find grep head hostname id ls mkdir
mktemp mount mv printf ps readlink rm sed sh sha256sum sleep sort stat tail tee test touch tr true uname uniq wc who
whoami xargs [
"""


def judge_tree(judge: Judge, tree: Path, busybox: Path, skipped: tuple[str, ...]) -> Lynis:
    """Ask Lynis about a tree, which is copied first; tests that would look at this machine's kernel are skipped."""
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc"]
    argv = [*spaces, "sh", "-c", SCRIPT, "sh", tree.resolve(), busybox.resolve()]
    argv += [judge.folder.resolve(), " ".join(APPLETS.split())]
    profile = "".join(f"skip-test={test}\n" for test in skipped)
    done = subprocess.run(argv, input=profile, capture_output=True, text=True, check=True, timeout=SECONDS)
    return read_lynis(done.stdout)


def read_lynis(report: str) -> Lynis:
    """Read Lynis's report; one without an index is none."""
    pairs = [line.partition("=")[::2] for line in report.splitlines()]
    fields = dict(pairs)
    said = [value.split("|") for name, value in pairs if name in ("warning[]", "suggestion[]")]
    return Lynis(
        int(fields["hardening_index"]),
        len([test for test in fields["tests_executed"].split("|") if test]),
        tuple(sorted({(words[0], words[1]) for words in said})),
    )
