"""Every stage of the conformance command as something to fuzz: one field of a good request at a time, or a whole text.

The first byte of an input chooses the field. What follows becomes the field: as base64 where the field holds bytes, as
the JSON text itself elsewhere. One value more than there are fields stands for a text that is the whole request.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from client_sdk.binding import extra_data, merkle_tree
from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, STAGES, judge
from client_sdk.encoding import canonical_json, from_base64, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import format_instant
from tests.fakes import boot_log
from tests.fakes import simulated_nvidia as nvidia
from tests.fakes import simulated_snp as snp
from tests.fakes import simulated_tdx as tdx
from tests.fakes import simulated_vm as vm
from tests.fakes.simulated_cloud_tpm import AzureTpm, CloudTpm, GoogleTpm, gce_log, replayed
from tests.fuzz.target import Target
from tests.vectors import release as releases

NONCE = b"nonce"
GROUPS = {
    "stages-snp": ("snp", "snp-cert"),
    "stages-tdx": ("tdx", "ccel"),
    "stages-tpm": ("tpm-quote", "binding", "event-log", "azure-hcl", "azure-ak", "gce-ak"),
    "stages-nvidia": ("nvidia-gpu", "nvidia-rim"),
    "stages-release": ("release",),
}
Path = tuple[str | int, ...]


def snp_report() -> dict[str, Any]:
    sim = snp.SimulatedSnp()
    return {
        "report": to_base64(sim.report()),
        "expected": {"report_data_hex": sim.report_data.hex(), "measurement_hex": sim.measurement.hex()},
        **snp_certificate(sim),
        "minimum_firmware": "1.55.0",
        "tcb_floors": {"milan": {"snp": 1}},
        "smt": "either",
        "deny_vek_serials": [9],
        "deny_chip_ids_hex": ["00" * 64],
        "max_vmpl": 3,
        "allow_vlek": True,
    }


def snp_certificate(sim: snp.SimulatedSnp | None = None) -> dict[str, Any]:
    sim = sim or snp.SimulatedSnp()
    return {
        "vek": to_base64(sim.certificate()),
        "amd_chain": to_base64(sim.ask.der),
        "amd_crl": to_base64(sim.ark.crl()),
        "roots": [to_base64(sim.ark.der)],
        "now": format_instant(snp.NOW),
        "crl_max_age_days": 400,
    }


def tdx_quote() -> dict[str, Any]:
    td = tdx.SimulatedTdx(version=5, body_type=3)
    collateral = td.intel.collateral()
    parts = {name: to_base64(getattr(collateral, name)) for name in collateral.__slots__}
    parts["root_ca_crl"] = parts.pop("root_crl")
    return {
        "quote": to_base64(td.quote()),
        **parts,
        "roots": [to_base64(td.intel.root.der)],
        "now": format_instant(tdx.NOW),
        "expected": {"report_data": td.report_data.hex(), "mr_td": td.mr_td.hex()},
        "params": {"graces": [{"status": "OutOfDate", "until": "2031-01-01T00:00:00Z"}], "deny_ppids": ["00" * 16]},
    }


def tdx_log() -> dict[str, Any]:
    td = tdx.SimulatedTdx()
    td.rtmrs = list(tdx.extended(tdx.td_log()))
    return {
        "ccel": to_base64(tdx.serialise(tdx.td_log(), padding=b"\xff" * 8)),
        "quote": to_base64(td.quote()),
        "roots": [to_base64(td.intel.root.der)],
        "now": format_instant(tdx.NOW),
        "params": {"grammar": "rtmr0"},
    }


def certified(cloud: CloudTpm) -> dict[str, Any]:
    return {
        "ak_cert": to_base64(cloud.certificate()),
        "ak_intermediates": [to_base64(der) for der in cloud.others],
        "roots": [to_base64(cloud.root.der)],
        "now": format_instant(vm.NOW),
    }


def quoted(cloud: CloudTpm) -> dict[str, Any]:
    attest = cloud.attest(NONCE)
    return {
        "attest": to_base64(attest),
        "signature": to_base64(cloud.signature(attest)),
        "pcrs": {"sha256": {str(pcr): value.hex() for pcr, value in cloud.pcrs.items()}},
        "expected": {"nonce_hex": NONCE.hex()},
    }


def tpm_quote() -> dict[str, Any]:
    cloud, events = GoogleTpm(), gce_log()
    cloud.pcrs |= replayed(events) | dict.fromkeys((8, 12, 13, 14, 15), bytes(32))
    log = to_base64(boot_log.serialise(events))
    return quoted(cloud) | certified(cloud) | {"ak_pub": to_base64(cloud.public()), "vendor": "google", "eventlog": log}


def event_log() -> dict[str, Any]:
    events = gce_log()
    pcrs = {str(pcr): value.hex() for pcr, value in replayed(events).items()}
    log = to_base64(boot_log.serialise(events))
    return {"call": "replay", "eventlog": log, "expected": {"pcrs": pcrs, "technology": "tdx"}, "elsewhere": [10]}


def binding() -> dict[str, Any]:
    nonces = tuple(bytes([number]) * 32 for number in range(5))
    root, places = merkle_tree(nonces)
    index, spki, gpu = 3, bytes(32), b"\1" * 32
    return {
        "extra_data_hex": extra_data(root, len(nonces), spki, gpu).hex(),
        "nonce_hex": nonces[index].hex(),
        "index": index,
        "tree_size": len(nonces),
        "path_hex": [node.hex() for node in places[index].path],
        "spki_hex": spki.hex(),
        "gpu_hex": gpu.hex(),
    }


def azure_hcl() -> dict[str, Any]:
    cloud = AzureTpm()
    request = {"hcl_report": to_base64(cloud.hcl_report()), **quoted(cloud), **certified(cloud)}
    expected = {"nonce_hex": NONCE.hex(), "user_data_hex": bytes(range(64)).hex(), "console_enabled": False}
    return request | {"ak_pub": to_base64(cloud.public()), "expected": expected}


def azure_ak() -> dict[str, Any]:
    cloud = AzureTpm()
    return certified(cloud) | {"ak_pub": to_base64(cloud.public())}


def gce_ak() -> dict[str, Any]:
    cloud = GoogleTpm()
    expected = {"project_number": 117478743145, "zone": ["us-central1-a"]}
    return certified(cloud) | {"ak_pub": to_base64(cloud.public()), "expected": expected}


def nvidia_gpu() -> dict[str, Any]:
    gpu, rims = nvidia.SimulatedGpu(), (nvidia.SimulatedRim(), nvidia.SimulatedRim.firmware())
    return {
        "evidence": to_base64(gpu.evidence()),
        "certificates": [to_base64(one) for one in gpu.certificates()],
        "ocsp": [to_base64(one) for one in gpu.ocsp()],
        "rims": [{"rim": to_base64(rim.data()), "ocsp": [to_base64(one) for one in rim.ocsp()]} for rim in rims],
        "roots": [to_base64(nvidia.device_root().der)],
        "rim_roots": [to_base64(nvidia.rim_root().der)],
        "expected": {"nonce": nvidia.NONCE.hex()},
        "policy": {"require_rims": ["driver"], "require_ocsp": True, "modes": ["single-gpu"]},
        "now": format_instant(nvidia.NOW),
    }


def nvidia_rim() -> dict[str, Any]:
    rim = nvidia.SimulatedRim()
    return {
        "rim": to_base64(rim.data()),
        "ocsp": [to_base64(one) for one in rim.ocsp()],
        "roots": [to_base64(nvidia.rim_root().der)],
        "policy": {"require_ocsp": True},
        "now": format_instant(nvidia.NOW),
    }


def release() -> dict[str, Any]:
    earlier, later = (releases.by(releases.NEXT, number) for number in (2, 3))
    log = releases.log_of(*releases.others(2), earlier)
    seen = log.bundle(earlier, rotations=(releases.ROTATION,))
    log.add(*releases.others(2, b"new"))
    shown = log.bundle(later, rotations=(releases.ROTATION,), since=(4,))
    return releases.request(shown, releases.logged(), seen)


REQUESTS: dict[str, Callable[[], dict[str, Any]]] = {
    "snp": snp_report,
    "snp-cert": snp_certificate,
    "tdx": tdx_quote,
    "ccel": tdx_log,
    "tpm-quote": tpm_quote,
    "binding": binding,
    "event-log": event_log,
    "azure-hcl": azure_hcl,
    "azure-ak": azure_ak,
    "gce-ak": gce_ak,
    "nvidia-gpu": nvidia_gpu,
    "nvidia-rim": nvidia_rim,
    "release": release,
}


def stage_target(name: str) -> Target:
    """Make what is fuzzed of one stage; seeds are the good request, and each field of it as it is."""
    module, function = STAGES[name]
    stage = getattr(importlib.import_module(f"client_sdk.conformance.{module}"), function)
    good = REQUESTS[name]()
    fields = list(leaves(good))

    def call(data: bytes) -> int:
        status, verdict = judge(stage, mutated(good, fields, data))
        assert status in (ACCEPTED, REFUSED, MALFORMED)
        assert canonical_json(verdict)  # it has to be written down whatever it says
        return status

    seeds = [bytes([number]) + spelled(value) for number, (_, value) in enumerate(fields)]
    return Target(name, call, (bytes([len(fields)]) + json.dumps(good).encode(), *seeds))


def mutated(good: dict[str, Any], fields: list[tuple[Path, Any]], data: bytes) -> bytes:
    """Return the request with one field changed, or another text for the whole."""
    chosen, payload = (data[0] if data else 0) % (len(fields) + 1), data[1:]
    if chosen == len(fields):
        return payload
    path, value = fields[chosen]
    text = json.dumps(placed(good, path, "\0"))
    told = json.dumps(to_base64(payload)).encode() if is_bytes(value) else payload
    return text.encode().replace(b'"\\u0000"', told)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every object, list and value in a request, and where it is."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))


def placed(value: Any, path: Path, new: Any) -> Any:
    """Return a copy with something else in one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = placed(value[path[0]], path[1:], new)
    return copy


def is_bytes(value: Any) -> bool:
    """Tell whether a field holds base64 (long enough not to be a word)."""
    try:
        return len(from_base64(value, "field")) > 100
    except EvidenceError:
        return False


def spelled(value: Any) -> bytes:
    return from_base64(value, "field") if is_bytes(value) else json.dumps(value).encode()


def stage_targets() -> dict[str, tuple[Target, ...]]:
    """Return the targets of all stages by group."""
    return {group: tuple(stage_target(name) for name in stages) for group, stages in GROUPS.items()}
