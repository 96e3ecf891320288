"""Evidence of simulated hardware for the gatherer, the vendors that know that hardware, and a run of the gatherer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Oid

from client_sdk.evidence import GpuEvidence, TeeEvidence
from client_sdk.gather.collect import Collected, Offline, Sources, collect
from client_sdk.gather.folder import index_of, write
from client_sdk.gather.kept import Cache
from client_sdk.gather.plan import PinnedRoots, plan
from client_sdk.gather.web import Web
from client_sdk.parse.certificate import parse_certificate
from tests.fakes import simulated_nvidia, simulated_tdx
from tests.fakes.simulated_cloud_tpm import AzureTpm, GoogleTpm, azure_root, google_root
from tests.fakes.simulated_nvidia import SimulatedGpu
from tests.fakes.simulated_snp import SimulatedSnp
from tests.fakes.simulated_tdx import SimulatedTdx
from tests.fakes.simulated_vm import SimulatedVm, TestCa, rsa_key

NONCE = bytes(range(32))
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TDX_NOW = simulated_tdx.NOW
ROOTS = PinnedRoots(
    tuple(parse_certificate(ca.der, "root") for ca in (google_root(), azure_root())),
    (simulated_nvidia.device_root().fields, simulated_nvidia.rim_root().fields),
)
DAY = timedelta(days=1)


def evidence(
    *,
    tee: TeeEvidence | None = None,
    gpus: tuple[SimulatedGpu, ...] = (),
    ak: tuple[bytes, ...] = (),
) -> bytes:
    """Return a VM's evidence with this hardware in it."""
    vm = SimulatedVm()
    vm.changes = {
        "tee": tee,
        "gpu": tuple(GpuEvidence(one.evidence(), one.certificates()) for one in gpus),
        "ak_certificates": ak,
    }
    return vm.evidence(NONCE).to_json()


def snp(chip: SimulatedSnp, *certificates: bytes) -> TeeEvidence:
    return TeeEvidence("snp", chip.report(), certificates, b"", b"")


def tdx(platform: SimulatedTdx) -> TeeEvidence:
    return TeeEvidence("tdx", platform.quote(), (), b"", b"")


def azure_snp(chip: SimulatedSnp) -> TeeEvidence:
    """Wrap a chip's report as Azure's paravisor does."""
    tpm = AzureTpm()
    chip.report_data = sha256(tpm.runtime_data()).digest() + bytes(32)
    tpm.report_data, tpm.header = chip.report_data, {32: chip.report()}
    return TeeEvidence("azure-snp", tpm.hcl_report(), (), b"", b"")


def aia(urls: Sequence[str]) -> tuple[x509.ExtensionType, bool]:
    """Return the extension that says where the issuer's certificate is."""
    access = [x509.AccessDescription(Oid.CA_ISSUERS, x509.UniformResourceIdentifier(url)) for url in urls]
    return x509.AuthorityInformationAccess(access), False


def authority(name: str, root: TestCa, *urls: str) -> TestCa:
    """Make a CA between a root and an attestation key, which says where its issuer is if it has addresses."""
    extensions = TestCa(name, key=rsa_key(name)).default_extensions(None)
    return TestCa(name, key=rsa_key(name), parent=root, extensions=[*extensions, *map(aia, urls and [urls])])


def google_ak(*urls: str, ca: TestCa | None = None) -> GoogleTpm:
    """Return a TPM of Google's whose certificate says where its issuer's is."""
    tpm = GoogleTpm()
    tpm.ca = ca or authority("EK/AK CA Intermediate", google_root())
    tpm.extensions["aia"] = aia(urls)
    return tpm


@dataclass
class Run:
    """What a run of the gatherer did."""

    collected: Collected
    changed: bool
    said: list[str]
    waited: list[float]


def gather(
    data: bytes,
    folder: Path,
    *,
    cache: Path | None = None,
    now: datetime = NOW,
    offline: bool = False,
    seconds: float = 10.0,
) -> Run:
    """Plan, collect and, where nothing failed, write; without waiting for real."""
    said, waited = [], []
    web = Offline() if offline else Web(seconds=seconds, say=said.append, sleep=waited.append)
    sources = Sources(web, Cache(cache) if cache else None, folder, ROOTS, lambda: now, said.append)
    collected = collect(plan(data, ROOTS), sources)
    changed = False
    if not collected.failures:
        changed = write(folder, *index_of(tuple(one.kept for one in collected.found), now))
    return Run(collected, changed, said, waited)


def files(folder: Path) -> dict[str, bytes]:
    """Return everything in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
