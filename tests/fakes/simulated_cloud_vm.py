"""Whole confidential VMs of clouds under test roots, composed of the simulated TPMs, CPUs and GPUs.

Every part is an attribute with knobs of its own; what binds the parts together is made here, from what they are when
:meth:`SimulatedCloudVm.evidence` is called. ``MOMENT`` is the real clock's, so that a server can show such evidence.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from hashlib import sha256

from client_sdk.binding import (
    LOCKDOWN,
    NO_GPU,
    SEALED,
    extra_data,
    gpu_digest,
    gpu_nonce,
    merkle_tree,
    report_data,
    runtime_digest,
)
from client_sdk.collateral import Collateral, collateral_of
from client_sdk.evidence import PCRS, Evidence, GpuEvidence, Quote, RuntimeEvent, TeeEvidence
from client_sdk.parse.rim import parse_rim
from client_sdk.parse.snp import Product
from client_sdk.release import EXACT_PCRS, WITHOUT_LOG, Measurement, TemplateEvent
from client_sdk.roots import Roots, anchors
from tests.fakes import boot_log, simulated_tdx
from tests.fakes.simulated_cloud_tpm import AzureTpm, CloudTpm, GoogleTpm, azure_root, gce_log, google_root
from tests.fakes.simulated_nvidia import SimulatedGpu, SimulatedOcsp, SimulatedRim, device_root, rim_root
from tests.fakes.simulated_snp import SimulatedSnp, ark_fields
from tests.fakes.simulated_tdx import SimulatedIntel, SimulatedTdx
from tests.fakes.simulated_vm import NOW, PHASES, ec_key, spki, tls_certificate

MOMENT = NOW
DAY = timedelta(days=1)
GCP_SNP, GCP_TDX, AZURE_SNP, AZURE_TDX = "gcp-snp", "gcp-tdx", "azure-snp", "azure-tdx"
KINDS = (GCP_SNP, GCP_TDX, AZURE_SNP, AZURE_TDX)
TECHNOLOGIES = {GCP_SNP: 4, GCP_TDX: 3}


@cache
def intel() -> SimulatedIntel:
    """Return Intel with dates around MOMENT."""
    found = SimulatedIntel()
    for certified in (found.root, found.platform_ca, found.signer):
        certified.since, certified.until = MOMENT - 365 * DAY, MOMENT + 365 * DAY
    return current(found)


def current(found: SimulatedIntel) -> SimulatedIntel:
    """Give everything that Intel serves dates around MOMENT."""
    for crl in (found.pck_crl, found.root_crl):
        crl.since, crl.until = MOMENT - 2 * DAY, MOMENT + 28 * DAY
    for document in (found.tcb_info, found.qe_identity):
        document["issueDate"] = simulated_tdx.instant(MOMENT - 2 * DAY)
        document["nextUpdate"] = simulated_tdx.instant(MOMENT + 28 * DAY)
    return found


@cache
def roots() -> Roots:
    """Return the test roots, given out as what production's are."""
    return Roots(
        simulated=False,
        google=anchors(google_root().der),
        azure=anchors(azure_root().der),
        amd=tuple(ark_fields(product) for product in Product),
        intel=anchors(intel().root.der),
        nvidia=(device_root().fields,),
        nvidia_rim=(rim_root().fields,),
    )


class SimulatedCloudVm:
    """One VM. Attributes that are None are computed when evidence is made."""

    def __init__(self, kind: str = GCP_TDX, name: str = "vm", *, gpus: int = 0):
        self.kind, self.name = kind, name
        self.platform = kind.partition("-")[0]
        self.tls = ec_key(f"tls {name}")
        self.tls_certificate = tls_certificate(self.tls)
        self.tpm: CloudTpm = _tpm(kind, name)
        self.log = gce_log(technology=TECHNOLOGIES.get(kind, 3), image_pcr=4)
        self.phases = PHASES
        self.gpus = [SimulatedGpu(f"{name} gpu {number}") for number in range(gpus)]
        self.told_gpus: tuple[GpuEvidence, ...] | None = None
        self.runtime: list[RuntimeEvent] | None = None
        self.td_log = simulated_tdx.td_log()
        self.snp = _snp() if kind.endswith("snp") else None
        self.tdx = _tdx(kind) if kind.endswith("tdx") else None
        self.told_report_data: bytes | None = None  # what the guest puts into the report, or into the HCL user data
        self.changes: dict[str, object] = {}  # fields of the evidence, changed at the end
        self._gpu_evidence: tuple[GpuEvidence, ...] | None = None

    @property
    def spki(self) -> bytes:
        return spki(self.tls_certificate)

    def gpu_evidence(self) -> tuple[GpuEvidence, ...]:
        """Return what the GPUs said at boot: made once, as certificates differ each time they are made."""
        if self._gpu_evidence is None:
            nonce = gpu_nonce(self.tpm.ak_name(), self.spki)
            self._gpu_evidence = tuple(GpuEvidence(gpu.evidence(nonce), gpu.certificates()) for gpu in self.gpus)
        return self._gpu_evidence if self.told_gpus is None else self.told_gpus

    def gpu(self) -> bytes:
        return gpu_digest(tuple(one.evidence for one in self.gpu_evidence()))

    def runtime_log(self) -> list[RuntimeEvent]:
        return self.runtime or [
            RuntimeEvent("lockdown", LOCKDOWN),
            RuntimeEvent("tls-spki", self.spki),
            RuntimeEvent("gpu", self.gpu() or NO_GPU),
            RuntimeEvent("sealed", SEALED),
        ]

    def extended(self) -> list[boot_log.Logged]:
        """Return what the boot extends: the log, and on Azure the paravisor's word of which VM it is."""
        if not isinstance(self.tpm, AzureTpm) or "tee" in self.changes:  # without a paravisor there is no id
            return self.log
        told = boot_log.Logged(6, 0xC, b"UUID: " + self.tpm.vm_id.upper().encode())
        return [told, *self.log]

    def pcrs(self) -> dict[int, bytes]:
        values = {pcr: boot_log.replay(self.extended(), pcr) for pcr in PCRS}
        for phase in self.phases:
            values[11] = sha256(values[11] + sha256(phase.encode()).digest()).digest()
        for event in self.runtime_log():
            values[15] = sha256(values[15] + runtime_digest(event.kind, event.data)).digest()
        return values

    def report_data(self) -> bytes:
        bound = report_data(self.tpm.ak_name(), self.spki, self.gpu(), self.pcrs()[15])
        return self.told_report_data or bound

    def tee(self) -> TeeEvidence:
        if isinstance(self.tpm, AzureTpm):
            return self._azure_tee(self.tpm)
        if self.snp:
            self.snp.report_data = self.report_data()
            return TeeEvidence("snp", self.snp.report(), (self.snp.certificate(), *self.snp.others()), b"", b"")
        assert self.tdx
        self.tdx.report_data, self.tdx.rtmrs = self.report_data(), list(simulated_tdx.extended(self.td_log))
        return TeeEvidence("tdx", self.tdx.quote(), (), b"", simulated_tdx.serialise(self.td_log))

    def _azure_tee(self, tpm: AzureTpm) -> TeeEvidence:
        tpm.claims["user-data"] = self.report_data().hex().upper()
        if self.snp:
            self.snp.report_data = tpm.signed_data()
            tpm.header[32] = self.snp.report()
            return TeeEvidence("azure-snp", tpm.hcl_report(), (self.snp.certificate(), *self.snp.others()), b"", b"")
        assert self.tdx
        self.tdx.report_data = tpm.signed_data()
        return TeeEvidence("azure-tdx", self.tdx.quote(), (), tpm.hcl_report(), b"")

    def evidence(self, nonce: bytes, others: tuple[bytes, ...] = ()) -> Evidence:
        """Answer one nonce, together with others that wait (behind it in the tree)."""
        self.tpm.pcrs = self.pcrs()
        root, places = merkle_tree((nonce, *others))
        attest = self.tpm.attest(extra_data(root, 1 + len(others), self.spki, self.gpu()))
        evidence = Evidence(
            platform=self.platform,
            tls_certificate=self.tls_certificate,
            ak_public=self.tpm.public(),
            ak_certificates=self.tpm.certificates,
            ek_certificates=(),
            quote=Quote(attest, self.tpm.signature(attest), places[0]),
            pcrs=tuple((index, self.tpm.pcrs[index]) for index in PCRS),
            event_log=b"" if self.platform == "azure" else boot_log.serialise(self.log),
            runtime_log=tuple(self.runtime_log()),
            tee=self.tee(),
            gpu=self.gpu_evidence(),
        )
        return replace(evidence, **self.changes)

    def files(self) -> dict[str, bytes]:
        """Return the collateral folder that belongs to this VM, path by path."""
        found: dict[str, bytes] = {}
        if self.snp:
            product = self.snp.product.value.lower()
            found[f"amd/{product}/ask.der"] = self.snp.ask.der
            found[f"amd/{product}/crl.der"] = self.snp.ark.crl(dates=(MOMENT - 30 * DAY, MOMENT + 300 * DAY))
        if self.tdx:
            found |= intel_files(self.tdx)
        for gpu, told in zip(self.gpus, self.gpu_evidence(), strict=False):
            path = gpu.path()
            for i, der in enumerate(told.certificates[1:4]):
                found[f"nvidia/ocsp/{sha256(der).hexdigest()}.der"] = answer(path[i], path[i + 1])
        if self.gpus:
            found |= rim_files()
        return dict(sorted(found.items()))

    def collateral(self, **changes: bytes | None) -> Collateral:
        """Return the collateral; files can be changed by path (``/`` is ``__`` there), None takes one away."""
        return collateral_of(changed(self.files(), changes), gathered_at=MOMENT)

    def measurement(self) -> Measurement:
        """State what this VM measures, as its publisher would."""
        pcrs, azure = self.pcrs(), self.platform == "azure"
        acpi = () if azure else tuple(e.extended() for e in self.log if e.pcr == 1 and e.kind != boot_log.SEPARATOR)
        rtmrs: tuple[tuple[int, bytes], ...] = ()
        launched = self.snp.measurement if self.snp else b""
        if self.tdx:
            launched = self.tdx.mr_td
            if not azure:
                values = simulated_tdx.extended(self.td_log)
                rtmrs = ((1, values[1]), (2, values[2]))
                acpi += tuple(e.measured for e in self.td_log if e.register == 1 and e.kind not in KNOWN)
        return Measurement(
            platform=self.platform,
            boot_mode="uefi",
            image_pcr=4,
            image_authenticode=boot_log.authenticode(b"uki"),
            pcrs=tuple((index, pcrs[index]) for index in (WITHOUT_LOG if azure else EXACT_PCRS)),
            pcr0_allowed=(pcrs[0],),
            phases=PHASES,
            pcr15_template=(
                TemplateEvent("lockdown", LOCKDOWN),
                TemplateEvent("tls-spki", None),
                TemplateEvent("gpu", None if self.gpus else NO_GPU),
                TemplateEvent("sealed", SEALED),
            ),
            rtmrs=rtmrs,
            launch_measurements=(launched,),
            acpi_allowed=acpi,
        )


KNOWN = (0x80000001, 0x4)  # the Secure Boot variables and separators


def changed(files: dict[str, bytes], changes: dict[str, bytes | None]) -> dict[str, bytes]:
    named = {path.replace("__", "/"): data for path, data in changes.items()}
    assert not [path for path, data in named.items() if data is None and path not in files]
    return {path: data for path, data in (files | named).items() if data is not None}


def intel_files(tdx: SimulatedTdx) -> dict[str, bytes]:
    served = tdx.intel.collateral()
    fmspc = tdx.fmspc.hex()
    return {
        f"intel/tcb_info-{fmspc}.json": served.tcb_info,
        f"intel/tcb_info-{fmspc}.pem": served.tcb_info_issuer_chain,
        "intel/qe_identity.json": served.qe_identity,
        "intel/qe_identity.pem": served.qe_identity_issuer_chain,
        "intel/pck_crl-platform.der": served.pck_crl,
        "intel/root_crl.der": served.root_crl,
    }


def answer(subject, issuer, *, made=MOMENT - timedelta(hours=1), until=MOMENT + 2 * DAY) -> bytes:
    ocsp = SimulatedOcsp(subject, issuer)
    ocsp.this_update, ocsp.next_update = made, until
    return ocsp.response()


DRIVER_RIM, FIRMWARE_RIM = (
    "nvidia/rim/NV_GPU_DRIVER_GH100_590.12.xml",
    "nvidia/rim/NV_GPU_VBIOS_G520_0200_885_9600A50001.xml",
)


@cache
def rim_files() -> dict[str, bytes]:
    """Return the RIM files of the simulated GPU, and answers about who signed them."""
    found: dict[str, bytes] = {}
    for path, rim in ((DRIVER_RIM, SimulatedRim()), (FIRMWARE_RIM, SimulatedRim.firmware())):
        rim.signer_dates = (MOMENT - 100 * DAY, MOMENT + 600 * DAY)
        found[path] = rim.data()
        chain = (rim.signer, rim.authority, rim_root())
        for i, der in enumerate(parse_rim(found[path], "rim").signature.certificates[:2]):
            found[f"nvidia/ocsp/{sha256(der).hexdigest()}.der"] = answer(chain[i], chain[i + 1])
    return found


def _tpm(kind: str, name: str) -> CloudTpm:
    if kind.startswith("gcp"):
        tpm: CloudTpm = GoogleTpm(name)
    else:
        tpm = AzureTpm(f"{name}.ConfidentialVM.Azure.test", report_type=2 if kind == AZURE_SNP else 4)
    tpm.selected = PCRS
    return tpm


def _snp() -> SimulatedSnp:
    snp = SimulatedSnp(Product.GENOA)
    snp.vek_dates = (MOMENT - 10 * DAY, MOMENT + 355 * DAY)
    snp.host_data = bytes(32)
    return snp


def _tdx(kind: str) -> SimulatedTdx:
    tdx = SimulatedTdx(intel())
    tdx.pck.since, tdx.pck.until = MOMENT - 365 * DAY, MOMENT + 365 * DAY
    if kind == AZURE_TDX:
        tdx.rtmrs = [bytes(48)] * 4
    return tdx


def other_intel(**changes) -> SimulatedIntel:
    """Return the same Intel, to serve something else."""
    found = current(SimulatedIntel())
    base = intel()
    found.root, found.platform_ca, found.signer, found.qe_signer = base.root, base.platform_ca, base.signer, base.signer
    for name, value in changes.items():
        setattr(found, name, value)
    return found
