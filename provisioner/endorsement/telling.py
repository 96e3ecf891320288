"""What a verified endorsement says, for people and for machines."""

from __future__ import annotations

from typing import Any

from client_sdk.fields import format_instant
from provisioner.endorsement.parse import SevSnp, Tdx
from provisioner.endorsement.verify import VerifiedEndorsement
from provisioner.endorsement.vouched import Vouched


def as_json(verified: VerifiedEndorsement, found: tuple[Vouched, ...]) -> dict[str, Any]:
    """Return it as plain values; ``launch_measurements`` are as platform values state them."""
    golden = verified.golden
    return {
        "sha256": verified.sha256.hex(),
        "verified_at": format_instant(verified.verified_at),
        "checks": [check.as_dict() for check in verified.checks],
        "root_sha256": verified.root.hex(),
        "certificate_sha256": verified.certificate.fingerprint.hex(),
        "certificate_not_after": format_instant(verified.certificate.not_after),
        "timestamp": format_instant(golden.timestamp),
        "cl_spec": golden.cl_spec,
        "commit": golden.commit.hex(),
        "firmware_sha384": golden.digest.hex(),
        "firmware_was_given": verified.firmware_was_given,
        "sev_snp": _sev_snp(golden.sev_snp),
        "tdx": _tdx(golden.tdx),
        "unread": list(golden.unread),
        "launch_measurements": [{"value": one.value.hex(), "source": one.source} for one in found],
    }


def _sev_snp(found: SevSnp | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "svn": found.svn,
        "policy": found.policy,
        "family_id": found.family_id.hex(),
        "image_id": found.image_id.hex(),
        "measurements": {str(count): value.hex() for count, value in found.measurements.items()},
    }


def _tdx(found: Tdx | None) -> dict[str, Any] | None:
    if found is None:
        return None
    measurements = [
        {"ram_gib": one.ram_gib, "early_accept": one.early_accept, "mrtd": one.mrtd.hex()} for one in found.measurements
    ]
    return {"svn": found.svn, "measurements": measurements}


def as_text(verified: VerifiedEndorsement, found: tuple[Vouched, ...]) -> str:
    """Return it as lines: what was asked for last, as it goes into platform values."""
    golden, until = verified.golden, format_instant(verified.certificate.not_after)
    compared = "compared" if verified.firmware_was_given else "not compared: no --firmware"
    lines = [
        f"genuine: {len(verified.checks)} checks passed, under the root {verified.root.hex()}",
        f"endorsement {verified.sha256.hex()}",
        f"signed {format_instant(golden.timestamp)}, by a certificate until {until}",
        f"firmware {golden.digest.hex()} ({compared})",
        f"built from change list {golden.cl_spec or 'none'}, commit {golden.commit.hex() or 'none'}",
    ]
    if snp := golden.sev_snp:
        lines.append(f"sev-snp: version {snp.svn}, guest policy {snp.policy:#x}")
        lines += [f"  {count:3} vCPUs {value.hex()}" for count, value in snp.measurements.items()]
    if tdx := golden.tdx:
        lines.append(f"tdx: version {tdx.svn}")
        for one in tdx.measurements:
            size = f"{one.ram_gib:3} GiB" if one.ram_gib else "any RAM"
            lines.append(f"  {size} {one.mrtd.hex()}{' early accept' if one.early_accept else ''}")
    lines += [f"not read: {path}" for path in golden.unread]
    lines += [f"launch measurement {one.value.hex()}\n  source: {one.source}" for one in found]
    return "\n".join(lines) + "\n"
