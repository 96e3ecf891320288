"""Asking the kernel what stands behind a device-mapper device (``struct dm_ioctl`` of linux/dm-ioctl.h)."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from serving.errors import SelfCheckError

_HEADER = struct.Struct("=3I I I I i I I I Q 128s 129s 7s")
_TARGET = struct.Struct("=QQ i I 16s")
_SIZE = 16 * 1024
_TABLE_STATUS = 0xC138FD0C  # _IOWR(0xfd, 12, struct dm_ioctl), 312 bytes
_STATUS_TABLE = 1 << 4
_NUMBERS_BY_DEVICE = (4, 0, 0)


def read_table(control: Path, device: str) -> str:
    """Return the one-target table of the device ``major:minor`` as dmsetup prints it: ``verity 1 …``.

    Raises:
        SelfCheckError: when the device is none of the device mapper's, or has not exactly one target.
    """
    major, minor = (int(part) for part in device.split(":"))
    request = bytearray(_SIZE)
    _HEADER.pack_into(
        request, 0, *_NUMBERS_BY_DEVICE, _SIZE, _HEADER.size, 0, 0, _STATUS_TABLE, 0, 0, os.makedev(major, minor),
        b"", b"", b"",
    )  # fmt: skip
    try:
        number = os.open(control, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(number, _TABLE_STATUS, request)
        finally:
            os.close(number)
    except OSError as error:
        raise SelfCheckError((("verity", f"device {device} is not the device mapper's ({error.strerror})"),)) from error
    return decode_table(bytes(request))


def decode_table(answer: bytes) -> str:
    """Decode the kernel's answer to a table request with exactly one target."""
    fields = _HEADER.unpack_from(answer)
    start, targets = fields[4], fields[5]
    if targets != 1 or not _HEADER.size <= start <= len(answer) - _TARGET.size:
        raise SelfCheckError((("verity", f"expected one device-mapper target, found {targets}"),))
    kind: bytes = _TARGET.unpack_from(answer, start)[-1]
    parameters = answer[start + _TARGET.size :].split(b"\0", 1)[0]
    return (kind.rstrip(b"\0") + b" " + parameters).decode("ascii", "replace")
