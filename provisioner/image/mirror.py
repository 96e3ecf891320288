"""Finding a Debian mirror: the one the host itself uses, or the one the inventory names; none is written down here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeError

# NVIDIA's driver lies in contrib and non-free; what the image is made of is named, and main alone has it.
COMPONENTS = ("main", "contrib", "non-free", "non-free-firmware")
DEFAULT_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SCHEMES = ("http://", "https://", "file:/", "copy:/", "mirror+http://", "mirror+https://", "mirror+file:/")
_ALIASES = ("stable", "oldstable", "testing", "unstable", "sid")


@dataclass(frozen=True, slots=True)
class Mirror:
    """Base addresses of the Debian archive and of its security archive, and the keyring that signs both."""

    main: str
    security: str
    keyring: Path = DEFAULT_KEYRING

    def base_of(self, filename: str) -> str:
        """Return the archive that holds a pool file: the security archive keeps its files below pool/updates."""
        base = self.security if filename.startswith("pool/updates/") else self.main
        # apt's file method would hand out links into the mirror instead of copies.
        return f"copy:{base.removeprefix('file:')}" if base.startswith("file:") else base

    def sources_list(self, suite: str) -> str:
        """Write the apt sources of one suite, deb822."""
        stanza = f"Types: deb\nURIs: {{}}\nSuites: {{}}\nComponents: {' '.join(COMPONENTS)}\nSigned-By: {{}}\n"
        return "\n".join(
            (
                stanza.format(self.main, f"{suite} {suite}-updates", self.keyring),
                stanza.format(self.security, f"{suite}-security", self.keyring),
            )
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    """One enabled binary source of the host's apt configuration."""

    uri: str
    suite: str
    components: tuple[str, ...]


def find_mirror(
    main: str | None = None, security: str | None = None, *, root: Path = Path("/"), keyring: Path = DEFAULT_KEYRING
) -> Mirror:
    """Take the named mirror, or else the host's own.

    Proves nothing about the mirror: what comes from it is checked against the lock and the archive's signatures.

    Raises:
        BakeError: no mirror is named and the host is not Debian, or its configuration names none.
    """
    if main is None:
        main, found = _from_host(root)
        security = security or found
    main = _address(main, "mirror")
    security = _address(security or _sibling(main), "security mirror")
    if not (root / keyring.relative_to("/")).is_file():
        raise BakeError(f"{keyring} is missing; install the package debian-archive-keyring")
    return Mirror(main=main, security=security, keyring=keyring)


def _from_host(root: Path) -> tuple[str, str | None]:
    release = _os_release(root / "etc/os-release")
    if release.get("ID") != "debian":
        name = release.get("PRETTY_NAME", "an unknown system")
        raise BakeError(f"this host is {name}, not Debian: set bake_mirror to a Debian mirror's address")
    entries = tuple(_host_entries(root / "etc/apt"))
    codename = release.get("VERSION_CODENAME", "")
    suites = (codename, *_ALIASES)
    main = [entry.uri for entry in entries if entry.suite in suites and "main" in entry.components]
    # Other people's repositories use Debian's suite names too; only Debian's own also has -updates.
    updated = {entry.uri for entry in entries if entry.suite.endswith("-updates")}
    security = [entry.uri for entry in entries if entry.suite.rstrip("/").endswith(("-security", "/updates"))]
    chosen = [uri for uri in main if uri in updated] or [uri for uri in main if uri.endswith("/debian")] or main
    if not chosen:
        raise BakeError("the host's apt configuration names no Debian mirror: set bake_mirror to one's address")
    return chosen[0], security[0] if security else None


def _os_release(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.partition("=") for line in path.read_text("utf-8", "replace").splitlines() if "=" in line)
    return {name: value.strip("\"'") for name, _, value in lines}


def _host_entries(etc_apt: Path) -> Iterator[_Entry]:
    parts = etc_apt / "sources.list.d"
    lists = [etc_apt / "sources.list", *sorted(parts.glob("*.list"))]
    for path in (path for path in lists if path.is_file()):
        yield from parse_one_line(path.read_text("utf-8", "replace"))
    for path in sorted(parts.glob("*.sources")):
        yield from parse_deb822(path.read_text("utf-8", "replace"))


def parse_one_line(text: str) -> Iterator[_Entry]:
    """Read the enabled binary entries of a sources.list."""
    for line in text.splitlines():
        bare = re.sub(r"\[[^]]*\]", " ", line.partition("#")[0])
        words = bare.split()
        if len(words) >= 3 and words[0] == "deb" and words[1].startswith(_SCHEMES):
            yield _Entry(uri=words[1].rstrip("/"), suite=words[2], components=tuple(words[3:]))


def parse_deb822(text: str) -> Iterator[_Entry]:
    """Read the enabled binary entries of a .sources file."""
    for stanza in re.split(r"\n\s*\n", _without_comments(text)):
        fields = _deb822_fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                if uri.startswith(_SCHEMES):
                    components = tuple(fields.get("components", "").split())
                    yield _Entry(uri=uri.rstrip("/"), suite=suite, components=components)


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _deb822_fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _sibling(main: str) -> str:
    if not main.endswith("/debian"):
        raise BakeError(f"no security archive is known beside {main}: set bake_security_mirror to its address")
    return f"{main}-security"


def _address(value: str, what: str) -> str:
    if not value.startswith(_SCHEMES) or len(shlex.split(value)) != 1:
        raise BakeError(f"{what}: expected an address such as http://…/debian, got {value!r}")
    return value.rstrip("/")
