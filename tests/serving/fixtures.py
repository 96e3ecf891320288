"""A real software TPM with an endorsement certificate, and a sealed attester on it."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tpm2_pytss import ESAPI
from tpm2_pytss.constants import ESYS_TR, TPMA_NV
from tpm2_pytss.types import TPM2B_NV_PUBLIC, TPM2B_SENSITIVE_CREATE, TPMS_NV_PUBLIC
from tpm2_pytss.utils import NoSuchIndex, create_ek_template

from client_sdk.binding import merkle_tree
from client_sdk.evidence import Evidence, Quote
from serving.attest.boot import Sealed, seal
from serving.attest.tpm import Tpm
from serving.selfcheck.checks import NAMES
from serving.selfcheck.verdict import write_passed
from tests.serving.tpm_wire import TpmWire
from tests.sockets import until_listens

EK_CERTIFICATE = 0x01C00002
EVENT_LOG = b"firmware log of a test"


@dataclass(frozen=True, slots=True)
class SoftwareTpm:
    """A swtpm process: where it listens, and the certificate that its endorsement key was given."""

    tcti: str
    ek_certificate: bytes

    @property
    def path(self) -> Path:
        return Path(self.tcti.removeprefix("swtpm:path="))


def start_swtpm(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    folder.mkdir(exist_ok=True)
    path = folder / "tpm"
    argv = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--flags", "not-need-init,startup-clear"]
    argv += ["--server", f"type=unixio,path={path}", "--ctrl", f"type=unixio,path={path}.ctrl"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for listening in (path, Path(f"{path}.ctrl")):
        until_listens(process, listening)
    return process, f"swtpm:path={path}"


def _certify(ek_public: bytes) -> bytes:
    authority = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unknown")]),
        public_key=serialization.load_pem_public_key(ek_public),
        serial_number=7,
        not_valid_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2040, 1, 1, tzinfo=UTC),
    )
    return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _no_index(index):
    raise NoSuchIndex(index)


def store_ek_certificate(tcti: str) -> bytes:
    """What swtpm_setup does: certify the endorsement key, and put the certificate where TPMs keep it."""
    with ESAPI(tcti) as esys:
        _, template = create_ek_template("EK-RSA2048", _no_index)
        handle, public, *_ = esys.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.ENDORSEMENT)
        certificate = _certify(public.to_pem())
        esys.flush_context(handle)
        attributes = TPMA_NV.OWNERREAD | TPMA_NV.AUTHREAD | TPMA_NV.OWNERWRITE | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA
        area = TPMS_NV_PUBLIC(nvIndex=EK_CERTIFICATE, nameAlg=0x000B, attributes=attributes, dataSize=len(certificate))
        index = esys.nv_define_space(None, TPM2B_NV_PUBLIC(nvPublic=area), ESYS_TR.OWNER)
        for offset in range(0, len(certificate), 512):
            esys.nv_write(index, certificate[offset : offset + 512], offset, ESYS_TR.OWNER)
    return certificate


@pytest.fixture
def bare_tcti(tmp_path):
    """A TPM without an endorsement certificate."""
    process, tcti = start_swtpm(tmp_path / "swtpm")
    yield tcti
    process.kill()
    process.wait()


@pytest.fixture
def software_tpm(bare_tcti) -> SoftwareTpm:
    return SoftwareTpm(bare_tcti, store_ek_certificate(bare_tcti))


@pytest.fixture
def tpm(software_tpm):
    opened = Tpm(software_tpm.tcti)
    yield opened
    opened.close()


@pytest.fixture
def wire(software_tpm, tmp_path):
    """A wire to the software TPM that a test may disturb."""
    made = TpmWire(software_tpm.path, tmp_path / "wire")
    yield made
    made.close()


@pytest.fixture
def verdict(tmp_path) -> Path:
    """The folder in which a passed self-check left its verdict."""
    folder = tmp_path / "selfcheck"
    folder.mkdir()
    write_passed(folder, NAMES, EVENT_LOG, b"")
    return folder


@pytest.fixture
def tls(tmp_path) -> Path:
    folder = tmp_path / "tls"
    folder.mkdir()
    folder.chmod(0o2750)
    return folder


@pytest.fixture
def machine(tmp_path) -> Path:
    """The root of a machine whose CPU is no TEE: nothing in /dev and /sys."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def sealed(tpm, verdict, tls, machine) -> Sealed:
    return seal(tpm, selfcheck=verdict, tls=tls, root=machine)


def ask(*nonces):
    return json.dumps({"op": "quote", "nonces": base64.b64encode(b"".join(nonces)).decode()}).encode() + b"\n"


def evidence_over(attester, nonces):
    """Return each nonce's evidence, put together as a gateway puts it together."""
    quote, (_, places) = attester.quote(nonces), merkle_tree(nonces)
    shared = Evidence.from_json(attester.evidence)
    return tuple(replace(shared, quote=Quote(*quote, place)) for place in places)


def nonce(number):
    return number.to_bytes(32, "big")


OPEN: list[Caller] = []


@pytest.fixture(autouse=True)
def _close_callers():
    yield
    while OPEN:
        OPEN.pop().close()


class Caller:
    """A caller of the socket, as the gateway is one."""

    def __init__(self, path):
        self.channel = socket.socket(socket.AF_UNIX)
        self.channel.settimeout(20)
        self.channel.connect(str(path))
        self.file = self.channel.makefile("rb")
        OPEN.append(self)

    def close(self):
        self.file.close()
        self.channel.close()

    def send(self, data):
        self.channel.sendall(data)
        return self

    def answer(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def error(self):
        return self.answer()["error"]["code"]

    def quote(self):
        """Return TPMS_ATTEST and TPMT_SIGNATURE."""
        answer = self.answer()
        return base64.b64decode(answer["attest"]), base64.b64decode(answer["signature"])
