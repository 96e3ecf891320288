"""apt with a state of its own: resolves and downloads for another suite without touching the host's packages.

The host's apt.conf stays in force, so its proxy, its certificates and its credentials apply here too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.mirror import Mirror
from provisioner.image.packages import Package, Tree, Wanted
from provisioner.progress import Progress

_HELPER = "/usr/lib/apt/apt-helper"
_INSTALLED = re.compile(r"^Inst (?P<name>[^ :]+)(?::\S+)? \((?P<version>\S+) ", re.MULTILINE)
_BATCH = 25
# Names that stand for whatever their one dependency is today.
_META = ("linux-image-cloud-amd64",)
_APT_CONF = """\
Dir::State "{home}/state";
Dir::State::status "{home}/status";
Dir::Cache "{home}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{home}/sources.list.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "{home}/log";
APT::Architecture "amd64";
#clear APT::Architectures;
APT::Install-Recommends "false";
APT::Default-Release "";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
// apt would count itself among the essential packages.
pkgCacheGen::ForceEssential ",";
// Hooks of the host are about the host.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
"""


@dataclass(frozen=True, slots=True)
class Apt:
    """A private apt directory, up to date with one suite of one mirror."""

    conf: Path

    def resolve(self, wanted: Wanted) -> Tree:
        """Resolve one tree's wanted packages to exact package files.

        Raises:
            BakeError: a package does not exist or cannot be satisfied, in apt's own words.
        """
        unpack = [self._follow(name) if name in _META else name for name in wanted.unpack]
        chosen = self._simulate([*wanted.install], essential=True)
        # One by one: what is only unpacked may conflict, as a driver's parts do, with what it is unpacked beside.
        unpacked = {name: self._simulate([name], essential=False)[name] for name in unpack}
        packages = self._show({**chosen, **unpacked})
        return Tree(packages=packages, unpacked=tuple(sorted(unpacked)))

    def index_of(self, release: str) -> str:
        """Return the lists of packages of one release, such as trixie-security, as the archive signed them.

        Raises:
            BakeError: there is none, or it cannot be read.
        """
        asked = ["apt-get", "indextargets", "--format", "$(RELEASE) $(FILENAME)", "Identifier: Packages"]
        told = (line.partition(" ") for line in self._run(asked, "looking up the lists").splitlines())
        files = [filename for name, _, filename in told if name == release]
        if not files:
            raise BakeError(f"the mirror has no list of packages of {release}")
        return "\n\n".join(self._run([_HELPER, "cat-file", file], f"reading the list of {release}") for file in files)

    def _run(self, argv: Sequence[str], what: str) -> str:
        return process.run([argv[0], "-c", self.conf, *argv[1:]], what=what, env=process.proxy_environment()).decode()

    def _simulate(self, names: Sequence[str], *, essential: bool) -> dict[str, str]:
        patterns = ["?essential"] if essential else []
        if not names and not essential:
            return {}
        text = self._run(["apt-get", "-s", "-y", "install", *patterns, *names], "resolving packages")
        return {match["name"]: match["version"] for match in _INSTALLED.finditer(text)}

    def _follow(self, name: str) -> str:
        """Return the package behind a meta-package such as linux-image-cloud-amd64."""
        text = self._run(["apt-cache", "depends", "--important", name], f"looking up {name}")
        targets = re.findall(r"^  Depends: (\S+)", text, re.MULTILINE)
        if len(targets) != 1:
            raise BakeError(f"{name}: expected a meta-package with one dependency, got {targets}")
        return str(targets[0])

    def _show(self, versions: Mapping[str, str]) -> tuple[Package, ...]:
        pairs = [f"{name}={version}" for name, version in sorted(versions.items())]
        text = self._run(["apt-cache", "show", *pairs], "reading package records")
        packages = {package.name: package for package in map(_package, text.strip().split("\n\n"))}
        missing = set(versions) - set(packages)
        if missing:
            raise BakeError(f"the mirror's index has no record of {', '.join(sorted(missing))}")
        return tuple(packages[name] for name in sorted(packages))


def open_apt(home: Path, mirror: Mirror, suite: str, *, progress: Progress) -> Apt:
    """Make the private apt directory and bring it up to date.

    Raises:
        BakeError: the mirror cannot be reached or its signatures do not verify.
    """
    conf = private_conf(home)
    (home / "sources.list.d/vitrine.sources").write_text(mirror.sources_list(suite))
    progress(f"asking the mirror what {suite} holds today")
    update = ["apt-get", "-c", str(conf), "update", "-q", "--error-on=any"]
    try:
        process.run(update, what=f"reading the mirror's index of {suite}", env=process.proxy_environment())
    except BakeError as error:
        raise BakeError(f"{error}; is there a network, and is the mirror right (bake_mirror)?") from error
    return Apt(conf)


def private_conf(home: Path) -> Path:
    """Write the configuration that keeps apt's state below ``home``."""
    for name in ("state/lists/partial", "cache/archives/partial", "sources.list.d", "log"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "status").write_bytes(b"")
    conf = home / "apt.conf"
    conf.write_text(_APT_CONF.format(home=home.resolve()))
    return conf


def download(conf: Path, mirror: Mirror, packages: Sequence[Package], folder: Path, *, progress: Progress) -> str:
    """Download package files into ``folder`` as <sha256>.deb.part; a file that cannot be had is left out.

    Says nothing about what arrived: the caller checks sizes and hashes. Returns apt's last words for its messages.
    """
    words = ""
    for start in range(0, len(packages), _BATCH):
        batch = packages[start : start + _BATCH]
        size = sum(package.size for package in batch) / 1e6
        progress(f"downloading packages {start + 1}-{start + len(batch)} of {len(packages)} ({size:.1f} MB)")
        arguments: list[str | Path] = [_HELPER, "-c", conf, "download-file"]
        for package in batch:
            target = folder / f"{package.sha256}.deb.part"
            arguments += [
                f"{mirror.base_of(package.filename)}/{_quoted(package.filename)}",
                target,
                f"SHA256:{package.sha256}",
            ]
        try:
            process.run(arguments, what="downloading packages", env=process.proxy_environment())
        except BakeError as error:
            words = str(error)
            # Nothing at all of a whole batch: no network or a wrong mirror, and apt is slow to give up on each file.
            if not any((folder / f"{package.sha256}.deb.part").is_file() for package in batch):
                break
    return words


def _quoted(filename: str) -> str:
    # apt's own spelling: versions hold '+', which some mirrors read as a blank, and '~' stays.
    return filename.replace("+", "%2b")


def _package(stanza: str) -> Package:
    fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.MULTILINE))
    try:
        return Package(
            name=fields["Package"],
            version=fields["Version"],
            architecture=fields["Architecture"],
            filename=fields["Filename"],
            size=int(fields["Size"]),
            sha256=fields["SHA256"],
        )
    except (KeyError, ValueError) as error:
        raise BakeError(f"the mirror's index is malformed: {error}") from error
