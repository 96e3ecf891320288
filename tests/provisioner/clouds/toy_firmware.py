"""A firmware of a few bytes for QEMU: it prints a text on the serial port and then halts, or resets.

With it a real QEMU and a real swtpm start in a second, and everything but the guest is as in a deployment.
"""

from pathlib import Path

_SEGMENT = 1 << 16
_HALT = bytes.fromhex("f4ebfd")  # hlt; jmp back
_RESET = bytes.fromhex("baf90cb006eef4ebfd")  # out 0xcf9, 6; hlt


def toy_firmware(text: str, *, reset: bool = False) -> bytes:
    message_at = 0x100
    code = bytes.fromhex("baf803be") + message_at.to_bytes(2, "little") + bytes.fromhex("2eac84c07403eeebf7")
    code += _RESET if reset else _HALT
    rom = bytearray(_SEGMENT)
    rom[: len(code)] = code
    rom[message_at : message_at + len(text) + 1] = text.encode() + b"\0"
    rom[0xFFF0:0xFFF3] = bytes.fromhex("e90d00")  # the reset vector: jump to the code
    return bytes(rom)


def write_toy_firmware(folder: Path, text: str, *, reset: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    _write_changed(folder / "OVMF_CODE_4M.fd", toy_firmware(text, reset=reset))
    _write_changed(folder / "OVMF_VARS_4M.fd", bytes(_SEGMENT))
    return folder


def _write_changed(path: Path, content: bytes) -> None:
    # A file that is written anew counts as another firmware.
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
