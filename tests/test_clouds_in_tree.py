"""The attester as the image has it, on a machine that pretends to be a cloud's, and the client's verdict on its words.

The TPM is real software, the attester runs inside the tools tree. CPU, kernel and paravisor are stand-ins under test
roots: what is tested is that the attester binds and sends what the client wants, not that hardware behaves like this.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import pytest

from client_sdk.accept import accept
from client_sdk.collateral import collateral_of
from client_sdk.errors import VerificationError
from client_sdk.evidence import Evidence
from client_sdk.parse.snp import Product
from client_sdk.policy import CloudVouchedBoot, Production, SevSnp, SimulatedCloud
from client_sdk.verifier import verify
from provisioner.image.chroot import Bind, enter
from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree
from serving.selfcheck.checks import NAMES
from serving.selfcheck.verdict import write_passed
from tests.fakes import boot_log, simulated_tdx
from tests.fakes.cloud_tpm import CloudCa, make_azure_like, make_ca, make_google_like
from tests.fakes.judging import NONCE
from tests.fakes.kernel_reports import StandInKernel
from tests.fakes.paravisor import StandInParavisor
from tests.fakes.simulated_cloud_tpm import jwk
from tests.fakes.simulated_cloud_vm import AZURE_SNP, GCP_SNP, GCP_TDX, MOMENT, SimulatedCloudVm, intel
from tests.fakes.simulated_snp import ark_fields
from tests.fakes.simulated_vm import release
from tests.fakes.tpm_commands import MAX_NV, connected, running
from tests.sockets import until_listens

REPOSITORY = Path(__file__).resolve().parent.parent
VCEK = UUID("63da758d-e664-4564-adc5-f4b93be8accd")
SECONDS = 60.0
KINDS = (GCP_SNP, GCP_TDX, AZURE_SNP)

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def tree():
    if os.geteuid() != 0:
        pytest.skip("entering a root file system needs root")
    return tools_tree(Sources(REPOSITORY / "build/cache"), progress=print).tree


@dataclass
class Site:
    """A machine's folder, its TPM's CA, and the simulated VM that says what it boots and what its CPU is."""

    kind: str
    folder: Path
    tree: Path
    ca: CloudCa = field(default_factory=make_ca)
    over: bytes | None = None  # what the CPU reports about, in place of what it was given

    def __post_init__(self):
        self.vm = SimulatedCloudVm(self.kind)
        for name in ("root", "state", "real", "run", "selfcheck", "tls"):
            (self.folder / name).mkdir()
        (self.folder / "tls").chmod(0o2750)

    def prepare(self):
        """Prepare TPM and CPU as the cloud would."""
        ccel = b""
        if self.kind == AZURE_SNP:
            make_azure_like(self.folder / "state", self.ca, report=self._take_key)
        else:
            make_google_like(self.folder / "state", self.ca)
            provider = "sev_guest" if self.vm.snp else "tdx_guest"
            kernel = StandInKernel(self.folder / "root", provider, self.report)
            if self.vm.snp:
                (kernel.entry / "auxblob").write_bytes(certificate_table(self.vm.snp.certificate()))
            else:
                ccel = simulated_tdx.serialise(self.vm.td_log)
        write_passed(self.folder / "selfcheck", NAMES, boot_log.serialise(self.vm.log), ccel)

    def _take_key(self, key):
        self.vm.tpm.claims["keys"] = [jwk("HCLAkPub", key)]
        return self.hcl_report(bytes(64))

    def report(self, data: bytes) -> bytes:
        """Do what the CPU does."""
        data = self.over or data
        if self.vm.snp:
            self.vm.snp.report_data = data
            return self.vm.snp.report()
        self.vm.tdx.report_data, self.vm.tdx.rtmrs = data, list(simulated_tdx.extended(self.vm.td_log))
        return self.vm.tdx.quote()

    def hcl_report(self, user_data: bytes) -> bytes:
        """Do what the paravisor does."""
        tpm = self.vm.tpm
        tpm.claims["user-data"] = (self.over or user_data).hex().upper()
        self.vm.snp.report_data = tpm.signed_data()
        tpm.header[32] = self.vm.snp.report()
        report = tpm.hcl_report()
        assert not report[MAX_NV:].strip(b"\0"), "a software TPM keeps no longer report"
        return report[:MAX_NV]

    def boot(self, stack: ExitStack) -> subprocess.Popen:
        """Measure a boot into the TPM, then start the attester."""
        real = stack.enter_context(running(self.folder / "state", self.folder / "real"))
        with connected(real) as tpm:
            for event in self.vm.extended():
                if event.kind != boot_log.NO_ACTION:
                    tpm.extend(event.pcr, event.extended())
            for phase in self.vm.phases:
                tpm.extend(11, boot_log.sha256(phase.encode()).digest())
        (self.folder / "run/tpm.ctrl").symlink_to("../real/tpm.ctrl")
        if self.kind == AZURE_SNP:
            stack.callback(StandInParavisor(self.folder / "run/tpm", real, self.hcl_report).close)
        else:
            (self.folder / "run/tpm").symlink_to("../real/tpm")
        options = "--tcti swtpm:path=/work/run/tpm --selfcheck /work/selfcheck --tls /work/tls --root /work/root"
        inside = f"cd /work/source && exec python3 -m serving.attest {options} --socket /work/attester.sock"
        (self.folder / "source").mkdir()
        binds = [Bind(self.folder, "/work", writable=True), Bind(REPOSITORY, "/work/source")]
        argv = enter(self.tree.resolve(), ["sh", "-c", inside], binds=binds)
        environment = {"PATH": "/usr/sbin:/usr/bin", "PYTHONDONTWRITEBYTECODE": "1", "TSS2_LOG": "all+NONE"}
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        stack.callback(process.stderr.close)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def evidence(self) -> Evidence:
        """Boot, and ask for evidence."""
        with ExitStack() as stack:
            process, path = self.boot(stack), self.folder / "attester.sock"
            until_listens(process, path, SECONDS)
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(SECONDS)
                channel.connect(str(path))
                asked = {"op": "quote", "nonces": base64.b64encode(NONCE).decode()}
                channel.sendall(b'{"op": "evidence"}\n' + json.dumps(asked).encode() + b"\n")
                with channel.makefile("rb") as file:
                    evidence, quote = json.loads(file.readline())["evidence"], json.loads(file.readline())
            # One nonce is a tree of its own: the empty quote has the right place already.
            return Evidence.from_json(json.dumps(evidence | {"quote": evidence["quote"] | quote}).encode())

    def policy(self, ca: CloudCa | None = None) -> SimulatedCloud:
        arks = tuple(ark_fields(product).certificate for product in Product)
        word = Production(snp=SevSnp(boot=CloudVouchedBoot("a test")))
        return SimulatedCloud((ca or self.ca).pem, amd=arks, intel=(intel().root.der,), judged_by=word)

    def verify(self, evidence: Evidence, ca: CloudCa | None = None):
        files = self.vm.files()
        if snp := self.vm.snp:
            files[f"amd/vcek/{snp.chip_id.hex()}-{snp.reported_tcb.hex()}.der"] = snp.certificate()
        collateral, roots = collateral_of(files, gathered_at=MOMENT), self.policy(ca).roots
        return verify(evidence, roots=roots, nonce=NONCE, now=MOMENT, collateral=collateral)


def certificate_table(vcek: bytes) -> bytes:
    return struct.pack("<16sII", VCEK.bytes, 48, len(vcek)) + bytes(24) + vcek


@pytest.fixture
def site(tree):
    """Sites in folders whose names are short enough for a socket's."""
    folders = []

    def _site(kind, **knobs):
        folders.append(Path(tempfile.mkdtemp(prefix="site-")))
        made = Site(kind, folders[-1], tree, **knobs)
        made.prepare()
        return made

    yield _site
    for folder in folders:
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_attester_says_on_a_pretended_cloud_is_accepted_with_the_cpus_report(site, kind):
    machine = site(kind)
    evidence = machine.evidence()
    assert evidence.platform == kind.partition("-")[0]
    assert evidence.tee.kind == (kind if kind == AZURE_SNP else kind.partition("-")[2])
    found = accept(
        machine.verify(evidence), releases=(release(measured=machine.vm.measurement()),), policy=machine.policy()
    )
    assert {check.passed for check in found.checks} == {True}
    assert {"D1", "K5.2", "Q3", "C2.2"} <= {check.id for check in found.checks}
    with pytest.raises(VerificationError, match=r"\[K1.1\]"):
        machine.verify(evidence, make_ca())


@pytest.mark.parametrize(("kind", "rule"), [(GCP_SNP, "T1.1"), (GCP_TDX, "T1.1")])
def test_a_cpu_that_reports_about_another_boot_is_refused(site, kind, rule):
    """The attester cannot read a report; the client does."""
    machine = site(kind, over=b"\1" * 64)
    with pytest.raises(VerificationError) as caught:
        machine.verify(machine.evidence())
    assert caught.value.rule == rule


def test_a_paravisor_that_reports_about_another_boot_is_seen_by_the_attester_itself(site):
    machine = site(AZURE_SNP, over=b"\1" * 64)
    with ExitStack() as stack:
        process = machine.boot(stack)
        assert process.wait(SECONDS) == 1
        assert b"does not name this boot" in process.stderr.read()
        assert not (machine.folder / "attester.sock").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_of_another_boot_does_not_pass_for_this_ones(site, kind):
    first, second = site(kind), site(kind)
    theirs = first.evidence()
    mine = replace(second.evidence(), tee=theirs.tee)
    with pytest.raises(VerificationError) as caught:
        second.verify(mine)
    assert caught.value.rule in {"T1.1", "T1.ak"}
