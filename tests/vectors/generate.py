"""``python -m tests.vectors.generate``: make the vectors again, from the simulators. ``--check`` only compares.

Keys are made from their names and signatures have no chance in them, so that the same code makes the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from client_sdk.conformance.__main__ import ACCEPTED, judge
from tests.fakes import keys
from tests.vectors.manifest import BLOB, FOLDER, FORMAT, stage

keys.REPEATABLE["signatures"] = True

from tests.vectors import binding, events, nvidia, release, snp, tdx, tpm  # noqa: E402 - they sign when they are imported
from tests.vectors.alone import accepted_without  # noqa: E402
from tests.vectors.case import Case  # noqa: E402

NOTICE = (
    "Simulated evidence under test roots whose keys anybody can make (tests/fakes/keys.py). No real machine, and no "
    "key of any vendor, is in it. Never pin one of these roots, "
    "nor a publisher's, log's or witness's key from it."
)
SMALLEST_BLOB = 48  # shorter byte strings stay in the request
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def every_case() -> list[Case]:
    """Return every case, and refuse two of one name."""
    found = [case for family in (snp, tdx, tpm, binding, events, nvidia, release) for case in family.cases()]
    names = [case.id for case in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SystemExit(f"two cases are named {', '.join(twice)}")
    return found


def main(arguments: list[str]) -> int:
    """Write the folder, or say what is different in it."""
    blobs: dict[str, bytes] = {}
    cases = every_case()
    entries = [_entry(case, blobs) for case in cases]
    requests = {entry["id"]: entry["request"] for entry in entries}
    for entry in entries:
        if "control" in entry:
            entry["changed"] = sorted(_changed(requests[entry["control"]], entry["request"], ""))
    manifest = {
        "format": FORMAT,
        "notice": NOTICE,
        "controls": [entry for entry in entries if "rules" not in entry],
        "vectors": [entry for entry in entries if "rules" in entry],
    }
    files = {"manifest.json": _text(manifest).encode()} | {f"blobs/{name}": data for name, data in blobs.items()}
    if "--check" in arguments:
        return _compare(files)
    shutil.rmtree(FOLDER / "blobs", ignore_errors=True)
    (FOLDER / "blobs").mkdir()
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
    size = sum(map(len, files.values()))
    count = len(manifest["vectors"])
    print(f"{count} vectors, {len(manifest['controls'])} controls, {len(blobs)} blobs, {size / 1e6:.2f} MB")
    return 0


def _entry(case: Case, blobs: dict[str, bytes]) -> dict[str, Any]:
    """Judge a case, see that it comes out as it says, and take its bytes out."""
    data = json.dumps(case.request).encode()
    status, verdict = judge(stage(case.stage), data)
    if tuple(verdict.get("rules", ())) != case.rules or (status == ACCEPTED) != (not case.rules):
        raise SystemExit(f"{case.id}: expected {case.rules or 'accepted'}, got {verdict.get('rules')} {verdict}"[:900])
    entry: dict[str, Any] = {"id": case.id, "stage": case.stage, "what": case.what, "exit": status}
    if case.rules:
        alone = len(case.rules) == 1 and accepted_without(case.rules[0], case.stage, data)
        entry |= {"rules": list(case.rules), "control": case.control, "alone": alone}
    entry["request"] = _without_blobs(case.request, blobs)
    return entry


def _without_blobs(value: Any, blobs: dict[str, bytes]) -> Any:
    if isinstance(value, dict):
        return {name: _without_blobs(item, blobs) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_blobs(item, blobs) for item in value]
    if isinstance(value, str) and len(value) >= SMALLEST_BLOB and BASE64.fullmatch(value) and not _is_hex(value):
        data = base64.b64decode(value)
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {BLOB: digest}
    return value


def _is_hex(text: str) -> bool:
    return not text.strip("0123456789abcdef")


def _changed(control: Any, request: Any, path: str) -> set[str]:
    if isinstance(control, dict) and isinstance(request, dict) and BLOB not in control and BLOB not in request:
        names = control.keys() | request.keys()
        return {one for name in names for one in _changed(control.get(name), request.get(name), f"{path}.{name}")}
    return set() if control == request else {path.removeprefix(".")}


def _text(manifest: dict[str, Any]) -> str:
    """Write one line an entry: readable in a difference, and not long."""
    head = {name: value for name, value in manifest.items() if not isinstance(value, list)}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    for name in ("controls", "vectors"):
        rows = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in manifest[name])
        lines.append(f"{json.dumps(name)}: [\n{rows}\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compare(files: dict[str, bytes]) -> int:
    there = {path.relative_to(FOLDER).as_posix() for path in (FOLDER / "blobs").iterdir()} | {"manifest.json"}
    different = sorted(
        name for name in there | files.keys() if name not in there or _read(FOLDER / name) != files.get(name)
    )
    for name in different:
        print(f"differs: {name}")
    return 1 if different else 0


def _read(path: Path) -> bytes:
    return path.read_bytes()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
