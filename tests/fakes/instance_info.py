"""What Google writes into the certificate of an attestation key: which instance it is for, as DER."""

from __future__ import annotations


def der(tag: int, *parts: bytes) -> bytes:
    """Encode one DER element."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    coded = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(coded)]) + coded + content


def der_integer(value: int) -> bytes:
    bits = (value if value >= 0 else ~value).bit_length()
    return der(0x02, value.to_bytes(bits // 8 + 1, "big", signed=True))


def instance_info(**changes) -> bytes:
    """Encode the instance information as Google's certificates have it; ``properties`` and ``further`` are DER."""
    fields = {
        "zone": der(0x0C, b"us-central1-a"),
        "project_number": der_integer(117478743145),
        "project_id": der(0x0C, b"vitrine-test"),
        "instance_id": der_integer(218557372616137117),
        "instance_name": der(0x0C, b"vitrine-1"),
        "properties": der(0xA0, der(0x30, *security_properties())),
        "further": b"",
    } | changes
    return der(0x30, *fields.values())


def security_properties(production: bytes = b"\xff") -> tuple[bytes, ...]:
    flags = (der(0xA2, b"\x01\x01\xff"), der(0xA3, der_integer(0)))
    return (der(0xA0, der_integer(0)), der(0xA1, b"\x01\x01" + production), *flags)
