"""An EDK2 variable store with keys enrolled: what switches Secure Boot on in a VM of this machine.

Source: EDK2, MdeModulePkg/Include/Guid/VariableFormat.h (authenticated variables). The store is written offline, as
whoever owns the flash may; on real machines only the holder of a KEK changes db.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from provisioner.errors import MeasureError
from provisioner.measure.secure_boot import GLOBAL, IMAGE_SECURITY, SecureBootVariables
from provisioner.measure.window import Window

_NV_DATA = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
_AUTHENTICATED = UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
_SWITCH = UUID("f0a30bc7-af08-4556-99c4-001009c93a44").bytes_le  # EFI_SECURE_BOOT_ENABLE_DISABLE
_STORE_HEAD = 28
_FORMATTED_HEALTHY = b"\x5a\xfe"
_ADDED = 0x3F
_NV_BS = 0x03
_AUTHENTICATED_AT_RUN_TIME = 0x27  # non-volatile, boot and run time, time-based authenticated writes
_ALIGNMENT = 4
_YEAR = struct.pack("<HBBBBBxIhBx", 2026, 1, 1, 0, 0, 0, 0, 0, 0)  # an update has to be later


@dataclass(frozen=True, slots=True)
class _Variable:
    vendor: bytes
    name: str
    attributes: int
    value: bytes

    def record(self) -> bytes:
        name = self.name.encode("utf-16-le") + b"\0\0"
        authenticated = self.attributes != _NV_BS
        head = struct.pack("<HBxIQ", 0x55AA, _ADDED, self.attributes, 0)
        head += (_YEAR if authenticated else bytes(16)) + struct.pack("<III", 0, len(name), len(self.value))
        record = head + self.vendor + name + self.value
        return record + b"\xff" * (-len(record) % _ALIGNMENT)


def enrol(empty: bytes, variables: SecureBootVariables) -> bytes:
    """Return a copy of an empty store with PK, KEK, db and dbx in it, and Secure Boot switched on.

    Raises:
        MeasureError: it is no empty store of EDK2's, or the keys do not fit into it.
    """
    window = Window("variable store", empty)
    if window.take(16, 16) != _NV_DATA or window.take(40, 4) != b"_FVH":
        raise MeasureError("variable store: not one of EDK2's; take the firmware that the bake published")
    start = window.number(48, 2)
    if window.take(start, 16) != _AUTHENTICATED or window.take(start + 20, 2) != _FORMATTED_HEALTHY:
        raise MeasureError("variable store: not formatted for authenticated variables")
    room = window.take(start + _STORE_HEAD, window.number(start + 16, 4) - _STORE_HEAD)
    if room.strip(b"\xff"):
        raise MeasureError("variable store: not empty; keys are enrolled into the firmware's own empty one")
    records = b"".join(variable.record() for variable in _variables(variables))
    if len(records) > len(room):
        raise MeasureError(f"variable store: {len(records)} bytes of keys, room for {len(room)}")
    begin = start + _STORE_HEAD
    return empty[:begin] + records + empty[begin + len(records) :]


def _variables(variables: SecureBootVariables) -> tuple[_Variable, ...]:
    known = (
        _Variable(GLOBAL, "PK", _AUTHENTICATED_AT_RUN_TIME, variables.pk),
        _Variable(GLOBAL, "KEK", _AUTHENTICATED_AT_RUN_TIME, variables.kek),
        _Variable(IMAGE_SECURITY, "db", _AUTHENTICATED_AT_RUN_TIME, variables.db),
        _Variable(IMAGE_SECURITY, "dbx", _AUTHENTICATED_AT_RUN_TIME, variables.dbx),
        _Variable(_SWITCH, "SecureBootEnable", _NV_BS, b"\1"),
    )
    return tuple(variable for variable in known if variable.value)
