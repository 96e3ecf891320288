"""What Google states about an instance in its attestation key's certificate: extension 1.3.6.1.4.1.11129.2.1.21.

::

    SEQUENCE { UTF8String zone, INTEGER projectNumber, UTF8String projectId, INTEGER instanceId,
               UTF8String instanceName, [0] EXPLICIT SEQUENCE { [0] EXPLICIT INTEGER securityVersion,
               [1] EXPLICIT BOOLEAN isProduction, further fields } }

The instance id is an unsigned 64-bit number in a signed INTEGER. Real certificates carry further fields, whose meaning
is not published: they are stepped over. (Layout: google/go-tpm-tools, ``server/instance_info.go``.)
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.parse.der import SEQUENCE, DerReader

INSTANCE_INFO = "1.3.6.1.4.1.11129.2.1.21"
_PROPERTIES = 0xA0  # [0]; the fields in it are counted from [0] again
_PRODUCTION = 0xA1
MAX_TEXT = 256
MAX_SIZE = 4096
_WORD = 1 << 64


@dataclass(frozen=True, slots=True)
class GceInstance:
    """One instance. ``is_production`` is None where the certificate does not state it."""

    zone: str
    project_number: int
    project_id: str
    instance_id: int
    instance_name: str
    security_version: int | None
    is_production: int | None


def parse_instance(data: bytes) -> GceInstance:
    """Read the extension's value to its last byte.

    Raises:
        EvidenceError: with the offset inside the value.
    """
    outer = DerReader(data, "instance information")
    if len(data) > MAX_SIZE:
        raise outer.error(f"over the limit of {MAX_SIZE} bytes")
    fields = outer.inner(SEQUENCE)
    outer.finish()
    zone, project_number = fields.text(MAX_TEXT), _unsigned(fields)
    project_id, instance_id = fields.text(MAX_TEXT), _unsigned(fields)
    instance_name = fields.text(MAX_TEXT)
    security_version = is_production = None
    if fields.tag == _PROPERTIES:
        security_version, is_production = _properties(fields)
    _further(fields, _PROPERTIES)
    return GceInstance(zone, project_number, project_id, instance_id, instance_name, security_version, is_production)


def _properties(fields: DerReader) -> tuple[int | None, int | None]:
    explicit = fields.inner(_PROPERTIES)
    properties = explicit.inner(SEQUENCE)
    explicit.finish()
    security_version = is_production = None
    if properties.tag == _PROPERTIES:
        wrapped = properties.inner(_PROPERTIES)
        security_version = wrapped.integer()
        wrapped.finish()
    if properties.tag == _PRODUCTION:
        wrapped = properties.inner(_PRODUCTION)
        is_production = wrapped.boolean()
        wrapped.finish()
    _further(properties, _PRODUCTION)
    return security_version, is_production


def _further(fields: DerReader, last: int) -> None:
    """Step over optional fields, whose tags only grow: what was read cannot come a second time."""
    while (tag := fields.tag) is not None:
        if tag <= last or tag >> 5 != 0b101:
            raise fields.error(f"DER tag {tag:#04x} does not belong here")
        fields.skip()
        last = tag


def _unsigned(fields: DerReader) -> int:
    """Read a 64-bit number: unsigned as it is meant, or negative as a signed encoder writes its upper half."""
    value = fields.integer()
    if not -(_WORD // 2) <= value < _WORD:
        raise fields.error("a number that does not fit into 64 bits")
    return value % _WORD
