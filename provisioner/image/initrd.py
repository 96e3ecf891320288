"""The initrd: busybox, dmsetup with its libraries, the kernel modules, our init; nothing else."""

from __future__ import annotations

from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image import cpio
from provisioner.image.chroot import run_inside
from provisioner.image.modules import Module, initrd_modules
from provisioner.image.packages import data_file
from provisioner.image.workshop import Workshop

_FOLDERS = ("bin", "dev", "lib", "lib/x86_64-linux-gnu", "lib64", "modules", "proc", "root", "run", "sbin", "sys")
# The busybox applets that init uses; no other name exists in there.
_APPLETS = ("cat", "grep", "insmod", "ls", "mkdir", "mount", "poweroff", "sh", "sleep", "switch_root")
_BUSYBOX = "usr/bin/busybox"
_DMSETUP = "usr/sbin/dmsetup"
_LOADER = "lib64/ld-linux-x86-64.so.2"


def make_initrd(workshop: Workshop, tree: Path, release: str, cmdline: str) -> bytes:
    """Build the compressed initrd of an image.

    Raises:
        BakeError: a module, a library or a tool is missing.
    """
    archive = cpio.write_cpio(initrd_entries(workshop.tools, initrd_modules(tree, release), cmdline))
    return workshop.run(["zstd", "-12", "-T1", "--quiet", "--stdout"], what="compressing the initrd", stdin=archive)


def initrd_entries(tools: Path, modules: tuple[Module, ...], cmdline: str) -> list[cpio.Entry]:
    """List what the initrd holds, in order."""
    order = "".join(f"{module.filename}\n" for module in modules)
    return [
        *(cpio.folder(path) for path in _FOLDERS),
        cpio.character_device("dev/console", 5, 1, 0o600),
        cpio.file("init", data_file("init.sh"), 0o755),
        cpio.file("cmdline", cmdline.encode("ascii")),
        cpio.file("bin/busybox", _read(tools, _BUSYBOX), 0o755),
        *(cpio.link(f"bin/{applet}", "busybox") for applet in _APPLETS),
        cpio.file("sbin/dmsetup", _read(tools, _DMSETUP), 0o755),
        *_libraries(tools),
        cpio.file("modules/order", order.encode()),
        *(cpio.file(f"modules/{module.filename}", module.data) for module in modules),
    ]


def tool_files(tools: Path) -> tuple[str, ...]:
    """Name every file of the tools tree that the initrd holds, by its path there."""
    return (_BUSYBOX, _DMSETUP, *(str(Path("/", path)) for path in _library_paths(tools)))


def _libraries(tools: Path) -> list[cpio.Entry]:
    return [cpio.file(path, _read(tools, path), 0o755) for path in _library_paths(tools)]


def _library_paths(tools: Path) -> list[str]:
    """Name the libraries that the tools tree's own loader would take for dmsetup."""
    text = run_inside(tools, [f"/{_LOADER}", "--list", f"/{_DMSETUP}"], what="listing dmsetup's libraries").decode()
    found = {_LOADER}
    for line in text.splitlines():
        words = line.split()
        if "=>" in words and words[2].startswith("/"):
            found.add(words[2].lstrip("/").removeprefix("usr/"))
    return sorted(found)


def _read(tools: Path, path: str) -> bytes:
    file = (tools / path).resolve()
    if not file.is_relative_to(tools.resolve()) or not file.is_file():
        raise BakeError(f"the tools tree has no /{path}; the initrd cannot do without it")
    return file.read_bytes()
