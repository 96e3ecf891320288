"""Print predicted and quoted PCRs of a running VM as a Markdown table: `python -m tests.pcr_table ORIGIN ROOT`."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

from client_sdk.binding import runtime_digest
from client_sdk.publisher import Publisher
from client_sdk.release import UNPINNED, Measurement, open_release
from tests.e2e.machine import vitrine

COVERS = {
    0: "platform firmware",
    1: "boot entries, ACPI",
    2: "drivers and option ROMs",
    3: "their configuration",
    4: "the UKI and its kernel",
    5: "partition table, exit of boot services",
    6: "platform events",
    7: "Secure Boot state",
    9: "command line and initrd, as the kernel saw them",
    11: "sections of the UKI, boot phases",
    12: "added command line, credentials",
    13: "system extensions",
    14: "shim's keys",
    15: "lock-down, TLS key, GPU, sealed",
}


def predicted(measurement: Measurement, spki: bytes) -> dict[int, str]:
    """Return what the release says of each PCR; PCR 15 follows from its template and this boot's TLS key."""
    values = {index: value.hex() for index, value in measurement.pcrs}
    register = bytes(32)
    for event in measurement.pcr15_template:
        register = _extend(register, runtime_digest(event.kind, spki if event.data is None else event.data))
    return values | {0: UNPINNED, 1: "grammar", 15: register.hex()}


def _extend(register: bytes, digest: bytes) -> bytes:
    return sha256(register + digest).digest()


def main(origin: str, root: Path) -> int:
    """Print the table; fail when a predicted value and a quoted one differ."""
    seen = vitrine("observe", origin, "--simulated", root / "tpm-ca.pem", "--json")
    if seen.status:
        sys.stderr.write(seen.err)
        return seen.status
    report = json.loads(seen.out)
    release = open_release((root / "release.json").read_bytes(), Publisher(keys=(root / "publisher.pub",)))
    wanted = predicted(release.measurements[0], bytes.fromhex(report["spki_sha256"]))
    differ = 0
    print("| PCR | covers | predicted | quoted | |\n|---|---|---|---|---|")
    for index, covers in COVERS.items():
        quoted = report["pcrs"][str(index)]
        verdict = (
            "not compared" if len(wanted[index]) != len(quoted) else "equal" if wanted[index] == quoted else "DIFFERENT"
        )
        differ += verdict == "DIFFERENT"
        print(f"| {index} | {covers} | `{wanted[index][:16]}` | `{quoted[:16]}` | {verdict} |")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
