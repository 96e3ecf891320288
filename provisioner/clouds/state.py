"""What is kept of each VM, in one place: <root>/vms/<name>/."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provisioner.atomic import replace_file
from provisioner.errors import CloudError
from provisioner.image.artefacts import FILES
from provisioner.plan import Plan

_VERSION = 1
_MODEL_DISK = FILES["model_disk"]
_LOCK_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a VM's folder says about it. It is written before anything starts, so it may promise too much."""

    plan_digest: str
    inputs: str
    port: int
    accelerator: str
    qemu: tuple[str, ...]
    swtpm: tuple[str, ...]

    @property
    def image(self) -> str:
        """The key of the image that it was made from: the name of the folder that its model disk lies in."""
        paths = [Path(one[0]) for one in json.loads(self.inputs)]
        return next((path.parent.name for path in paths if path.name == _MODEL_DISK), "")


@dataclass(frozen=True, slots=True)
class Store:
    """The folder with one sub-folder for each VM."""

    directory: Path

    def folder(self, name: str) -> Path:
        """Return where the VM of that name is kept."""
        return self.directory / name

    def names(self) -> tuple[str, ...]:
        """Return the names of all VMs that there is a folder of."""
        if not self.directory.is_dir():
            return ()
        return tuple(sorted(entry.name for entry in self.directory.iterdir() if entry.is_dir()))

    def read(self, name: str) -> Record | None:
        """Return a VM's record, or None when there is none.

        Raises:
            CloudError: it cannot be understood; something may run that only a person can name.
        """
        path = self.folder(name) / "state.json"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CloudError(f"cannot read {path}: {error.strerror}; run as the user who deployed") from error
        return _parse(path, text)

    def create(self, name: str, record: Record) -> Path:
        """Make an empty folder for a VM, with its record in it.

        Raises:
            CloudError: it cannot be written.
        """
        folder = self.folder(name)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700)
            replace_file(folder / "state.json", json.dumps({"version": _VERSION, **asdict(record)}).encode(), 0o600)
        except OSError as error:
            raise CloudError(f"cannot write {folder}: {error.strerror}; check its owner and the disk") from error
        return folder

    def remove(self, name: str) -> None:
        """Remove a VM's folder. What runs must have been stopped before: the record of it is lost here.

        Raises:
            CloudError: it cannot be removed.
        """
        try:
            shutil.rmtree(self.folder(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise CloudError(
                f"cannot remove {self.folder(name)}: {error.strerror}; check its owner, then run it again"
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Let one process at a time change VMs.

        Raises:
            CloudError: another one does not finish.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CloudError(f"cannot write {self.directory}: {error.strerror}; check its owner") from error
        try:
            _lock(descriptor, self.directory)
            yield
        finally:
            os.close(descriptor)


def record_of(plan: Plan) -> Record:
    """Return the record of a plan, with the identity of the files that it reads.

    Raises:
        CloudError: one of them is missing or unreadable.
    """
    inputs = [_identity(path) for path in (*plan.reads, *(copy.source for copy in plan.copies))]
    return Record(
        plan_digest=plan.digest,
        inputs=json.dumps(inputs),
        port=plan.port,
        accelerator=plan.accelerator,
        qemu=plan.qemu,
        swtpm=plan.swtpm,
    )


def _identity(path: Path) -> tuple[str, int, int, int]:
    """Name a file's content without reading it: a file that is written anew gets another identity."""
    try:
        status = path.stat()
    except OSError as error:
        raise CloudError(
            f"{path} cannot be used: {error.strerror}; disks and firmware come from a bake, run that first"
        ) from error
    if not os.access(path, os.R_OK):
        raise CloudError(f"{path} is not readable by this user; give it read permission")
    return (str(path), status.st_ino, status.st_size, status.st_mtime_ns)


def _parse(path: Path, text: str) -> Record:
    try:
        record = _decode(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CloudError(
            f"{path} is damaged ({error}): stop that VM by hand (`pgrep -af vitrine-`), then remove {path.parent}"
        ) from error
    return record


def _decode(values: Any) -> Record:
    if values.pop("version") != _VERSION:
        raise ValueError("it was written by another version")
    if not all(isinstance(one[0], str) for one in json.loads(values["inputs"])):
        raise ValueError("inputs are not files")
    for command in ("qemu", "swtpm"):
        if not values[command] or not all(isinstance(word, str) for word in values[command]):
            raise ValueError(f"{command} is not a command line")
        values[command] = tuple(values[command])
    return Record(**values)


def _lock(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise CloudError(f"another deploy or destroy holds {directory}; wait for it to end") from error
            time.sleep(0.2)
        else:
            return
