"""Platform values as an operator would write them, every field a knob."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

from provisioner.measure.event import replay
from provisioner.measure.firmware import separator
from provisioner.measure.signature_list import list_of
from provisioner.platform_values import PlatformValues, parse_values

SEPARATOR = replay((separator(3),)).hex()
OWNER = UUID("d281fad2-8d88-47a4-9792-5baa47bb1b89")
SIGNER = b"the certificate that signs the UKI"
DATE = "2026-11-20T00:00:00Z"


def sourced(value: str, source: str = "seen on a machine of ours") -> dict[str, str]:
    return {"value": value, "source": source}


def variables(state: bytes) -> dict[str, Any]:
    pk, kek, db = (list_of(content, OWNER) for content in (b"pk", b"kek", SIGNER))
    values = {"SecureBoot": state, "PK": pk, "KEK": kek, "db": db, "dbx": b""}
    return {name: sourced(base64.b64encode(value).decode()) for name, value in values.items()}


def predicate(platform: str = "gcp", tee: str = "tdx", *, secure_boot: bool = False, **changes: Any) -> dict[str, Any]:
    log = [sourced("aa" * 32), *([sourced("bb" * 48)] if tee == "tdx" else [])]
    golden = {pcr: sourced(SEPARATOR) for pcr in ("2", "3", "6")}
    return {
        "version": 1,
        "platform": platform,
        "tee": tee,
        "date": DATE,
        "image_pcr": 2 if (platform, tee) == ("gcp", "tdx") else 4,
        "golden": golden if platform == "gcp" else {"1": sourced("01" * 32), "2": golden["2"], "3": golden["3"]},
        "variables": variables(b"\1" if secure_boot else b"\0"),
        "pcr0_allowed": [sourced("cc" * 32)],
        "acpi_allowed": log if platform == "gcp" else [],
        "launch_measurements": [sourced("dd" * 48)],
        **changes,
    }


def values(*arguments: Any, **changes: Any) -> PlatformValues:
    return parse_values(json.dumps(predicate(*arguments, **changes)).encode())
