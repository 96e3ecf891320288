"""Unpacking the initrd: by the program zstd, since Python before 3.14 has no such library of its own."""

from __future__ import annotations

import subprocess
import tempfile

from provisioner.errors import BakeError, Fault, SpecError

LIMIT = 1 << 30


def unpacked(data: bytes, *, limit: int = LIMIT) -> bytes:
    """Return what a zstd frame holds.

    Raises:
        SpecError: there is no program zstd.
        BakeError: it is malformed, or holds more than ``limit`` bytes.
    """
    with tempfile.TemporaryFile() as packed:
        packed.write(data)
        packed.seek(0)
        try:
            program = subprocess.Popen(
                ["zstd", "-dc", "--quiet"], stdin=packed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise SpecError((Fault("zstd", "the program, of the package zstd: install it", "none"),)) from error
        with program:
            assert program.stdout is not None  # noqa: S101 - it is a pipe, as asked for
            found = program.stdout.read(limit + 1)
            if len(found) > limit:
                program.kill()
                raise BakeError(f"the initrd unpacks to more than {limit} bytes")
            program.stdout.read()
        if program.returncode:
            raise BakeError("the initrd is not what zstd unpacks")
    return found
