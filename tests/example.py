"""``python -m tests.example DIR``: evidence of a simulated cloud VM, with all that is needed to judge it, to play with.

``--kind gcp-tdx|gcp-snp|azure-snp|azure-tdx`` (gcp-tdx) and ``--gpus N`` (0) say of which machine. DIR gets
``evidence.json`` with its ``nonce``, the instant ``at`` which it was made, ``release.json``, ``publisher.pub``,
``policy.toml``, a ``collateral`` folder, ``roots`` as PEM files, ``verify.py`` and a ``README``.

The roots are test roots, which anybody can sign with: the evidence proves nothing about any machine. They are no part
of the package, and the command ``vitrine`` takes no roots at all, for no option may turn simulated evidence into an
acceptance; so such evidence is judged in Python alone.
"""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from client_sdk.encoding import canonical_json
from client_sdk.fields import format_instant
from client_sdk.parse.snp import Product
from tests.fakes.simulated_cloud_tpm import azure_root, google_root
from tests.fakes.simulated_cloud_vm import GCP_SNP, GCP_TDX, KINDS, MOMENT, SimulatedCloudVm, intel
from tests.fakes.simulated_nvidia import device_root, rim_root
from tests.fakes.simulated_snp import ark
from tests.fakes.simulated_vm import publisher_key, release, signed

MOST_GPUS = 8
VERIFY = '''"""Judge this folder's evidence under its own roots: the makers' would not vouch for a simulated machine."""

from datetime import datetime
from pathlib import Path

from client_sdk import Publisher, Roots, anchors, load_collateral, load_policy, verify_stored

folder = Path(__file__).parent
kinds = ("google", "azure", "amd", "intel", "nvidia", "nvidia_rim")
pinned = {kind: anchors((folder / "roots" / f"{kind}.pem").read_bytes()) for kind in kinds}
accepted = verify_stored(
    (folder / "evidence.json").read_bytes(),
    bytes.fromhex((folder / "nonce").read_text()),
    releases=folder / "release.json",
    publisher=Publisher(keys=(folder / "publisher.pub",)),
    now=datetime.fromisoformat((folder / "at").read_text()),
    policy=load_policy(folder / "policy.toml", roots=Roots(simulated=False, **pinned)),
    collateral=load_collateral(folder / "collateral"),
)
print(accepted.report)
for check in accepted.checks:
    print(check.id, check.what)
'''
README = """Evidence of a simulated VM ({kind}, GPUs: {gpus}), made at {at}.

It proves nothing about any machine: the roots are test roots, and anybody can sign with them.


evidence.json  what a service answers to GET /.well-known/attestation?nonce=HEX
nonce          what it was asked with: {nonce}
at             the instant at which it is judged; the makers' statements are in date for some days
release.json   what the image measures, signed by publisher.pub
policy.toml    what is accepted
collateral/    what AMD, Intel and NVIDIA would publish about the hardware
roots/         the simulated makers' certificates, for this folder alone

From the source tree, with its folder in PYTHONPATH:

    .venv/bin/python {verify}

accepts it, and prints every check. Change a byte of anything, or a value in policy.toml, and it says what fails.

    {command}

refuses it, by rule K1.1: the command trusts the makers' own roots, takes no others, and they did not sign this.
"""


def write(folder: Path, kind: str = GCP_TDX, gpus: int = 0) -> None:
    """Write an example into a folder that is new or empty.

    Raises:
        OSError: it cannot be written, or holds something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; name a new folder")
    vm, nonce = SimulatedCloudVm(kind, "example", gpus=gpus), secrets.token_bytes(32)
    public = publisher_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    files = {
        "evidence.json": vm.evidence(nonce).to_json(),
        "nonce": nonce.hex().encode(),
        "at": format_instant(MOMENT).encode(),
        "release.json": signed(release(measured=vm.measurement())),
        "publisher.pub": public,
        "policy.toml": _policy(kind, gpus).encode(),
        "verify.py": VERIFY.encode(),
        "README": _readme(folder, kind, gpus, nonce).encode(),
        **{f"collateral/{path}": data for path, data in _with_index(vm.files()).items()},
        **{f"roots/{name}.pem": data for name, data in _roots(vm).items()},
    }
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def _policy(kind: str, gpus: int) -> str:
    lines = ["version = 1", ""]
    if kind.startswith("gcp"):
        lines += ["[google]", 'project = "vitrine-test"', 'zones = ["us-central1-a"]', ""]
    else:
        lines += ["[azure]", "console_enabled = false", ""]
    if kind == GCP_SNP:
        lines += ["[sev_snp]", 'cloud_vouched_boot = "an example: hardware names no image here"', ""]
    return "\n".join([*lines, "[nvidia]", f"count = {gpus}", ""])


def _readme(folder: Path, kind: str, gpus: int, nonce: bytes) -> str:
    at, here = format_instant(MOMENT), folder.resolve()
    words = [
        "--evidence",
        here / "evidence.json",
        "--nonce",
        nonce.hex(),
        "--at",
        at,
        "--release",
        here / "release.json",
    ]
    words += ["--publisher", here / "publisher.pub", "--collateral", here / "collateral"]
    command = shlex.join([".venv/bin/vitrine", "verify", *map(str, words)])
    verify = shlex.quote(str(here / "verify.py"))
    return README.format(kind=kind, gpus=gpus, at=at, nonce=nonce.hex(), verify=verify, command=command)


def _with_index(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Add the index that a folder of collateral has."""
    rows = [
        {"path": path, "sha256": sha256(data).hexdigest(), "source": "made by tests.example"}
        for path, data in sorted(files.items())
    ]
    index = {"version": 1, "gathered_at": format_instant(MOMENT), "files": rows}
    return {**files, "index.json": canonical_json(index)}


def _roots(vm: SimulatedCloudVm) -> dict[str, bytes]:
    """Return the simulated makers' certificates: of AMD the product line that the machine has."""
    found = {
        "google": google_root().der,
        "azure": azure_root().der,
        "amd": ark(vm.snp.product if vm.snp else Product.GENOA).der,
        "intel": intel().root.der,
        "nvidia": device_root().der,
        "nvidia_rim": rim_root().der,
    }
    return {name: load_der_x509_certificate(der).public_bytes(Encoding.PEM) for name, der in found.items()}


def main(arguments: list[str] | None = None) -> int:
    """Write an example; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.example", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="DIR", type=Path, help="a folder that is new or empty")
    parser.add_argument("--kind", choices=KINDS, default=GCP_TDX, help="the cloud and the CPU (gcp-tdx)")
    parser.add_argument("--gpus", metavar="N", type=int, default=0, choices=range(MOST_GPUS + 1), help="how many (0)")
    asked = parser.parse_args(arguments)
    try:
        write(asked.folder, asked.kind, asked.gpus)
    except OSError as error:
        parser.error(f"DIR: {error}")
    sys.stdout.write(f"see {asked.folder / 'README'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
