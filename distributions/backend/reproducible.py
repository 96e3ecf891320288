"""PEP 517's hooks: those of setuptools, with archives whose bytes follow from the sources and their commit alone.

What setuptools puts into an archive of the builder's machine is written anew: times become the commit's, modes what
they are in a fresh checkout of whatever umask, owners nobody, the order that of the names. What an earlier build left
in the checkout is not looked at. Compression is zlib's: another version of it may write other bytes.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from setuptools import build_meta as hooks

EPOCH = "SOURCE_DATE_EPOCH"
"""Variable that says when the sources are of (reproducible-builds.org, "SOURCE_DATE_EPOCH"), and file that keeps it."""
_EARLIEST = 315_532_800  # 1980, before which a zip file has no time
_FILE, _FOLDER = 0o644, 0o755
Settings = Mapping[str, object] | None

build_editable = hooks.build_editable
get_requires_for_build_editable = hooks.get_requires_for_build_editable
get_requires_for_build_sdist = hooks.get_requires_for_build_sdist
get_requires_for_build_wheel = hooks.get_requires_for_build_wheel
prepare_metadata_for_build_editable = hooks.prepare_metadata_for_build_editable
prepare_metadata_for_build_wheel = hooks.prepare_metadata_for_build_wheel


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build the source distribution; it has the time of the sources with it, for the wheel that is built from it."""
    epoch = source_epoch()
    with _untouched():
        name: str = hooks.build_sdist(sdist_directory, config_settings)
    path = Path(sdist_directory, name)
    path.write_bytes(_sdist(path.read_bytes(), epoch))
    return name


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build the wheel."""
    epoch = source_epoch()
    with _untouched():
        name: str = hooks.build_wheel(wheel_directory, config_settings, metadata_directory)
    path = Path(wheel_directory, name)
    path.write_bytes(_wheel(path.read_bytes(), epoch))
    return name


def source_epoch() -> int:
    """Return when the sources are of: what the variable says, or the source distribution, or the last commit.

    Raises:
        SystemExit: none of them says it.
    """
    said = os.environ.get(EPOCH) or _kept() or _committed()
    if not said.isdigit():
        raise SystemExit(f"{EPOCH} is {said!r}: set it to a time in seconds since 1970, or build from a git checkout")
    return max(int(said), _EARLIEST)


def _kept() -> str:
    path = Path(EPOCH)
    return path.read_text(encoding="ascii").strip() if path.is_file() else ""


def _committed() -> str:
    command = ["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"]
    try:
        return subprocess.run(command, capture_output=True, check=False, text=True).stdout.strip()
    except OSError:
        return ""


@contextmanager
def _untouched() -> Iterator[None]:
    """Let nothing in that an earlier build left: neither its list of sources, nor its files."""
    for stale in Path().glob("*.egg-info/SOURCES.txt"):
        stale.unlink()
    before = os.environ.get("DIST_EXTRA_CONFIG")
    with tempfile.TemporaryDirectory(prefix="vitrine-build-") as folder:
        config = Path(folder, "setup.cfg")
        config.write_text(f"[build]\nbuild_base = {folder}/build\n", encoding="utf-8")
        os.environ["DIST_EXTRA_CONFIG"] = str(config)
        try:
            yield
        finally:
            os.environ.pop("DIST_EXTRA_CONFIG")
            if before is not None:
                os.environ["DIST_EXTRA_CONFIG"] = before


def _wheel(data: bytes, epoch: int) -> bytes:
    """Write a wheel anew; its RECORD, which stays last, names contents and no times or modes."""
    written = io.BytesIO()
    moment = time.gmtime(epoch)[:6]
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist(), key=lambda name: (name.endswith("/RECORD"), ".dist-info/" in name, name)):
            entry = zipfile.ZipInfo(name, moment)
            entry.create_system, entry.compress_type = 3, zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100000 | _FILE) << 16
            new.writestr(entry, old.read(name))
    return written.getvalue()


def _sdist(data: bytes, epoch: int) -> bytes:
    """Write a source distribution anew, with the time of the sources in a file."""
    plain, written = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=plain, mode="w") as new:
        members = {member.name: member for member in old.getmembers()}
        root = min(members).split("/")[0]
        contents = {name: old.extractfile(member) for name, member in members.items()}
        files = {name: b"" if file is None else file.read() for name, file in contents.items()}
        members[f"{root}/{EPOCH}"] = tarfile.TarInfo(f"{root}/{EPOCH}")
        files[f"{root}/{EPOCH}"] = f"{epoch}\n".encode()
        for name in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = members[name].type, members[name].linkname
            entry.mode, entry.mtime = _FOLDER if entry.isdir() else _FILE, epoch
            entry.size = len(files[name])
            new.addfile(entry, io.BytesIO(files[name]))
    with gzip.GzipFile(filename="", mode="wb", fileobj=written, mtime=epoch) as packed:
        packed.write(plain.getvalue())
    return written.getvalue()
