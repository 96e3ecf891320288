"""AMD's, Intel's, NVIDIA's and the clouds' servers on loopback, in their wire formats, fed by the simulators.

TLS ends here with certificates of a test CA for the vendors' names. Every attribute is a knob.
"""

from __future__ import annotations

import base64
import io
import json
import re
import ssl
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from client_sdk.parse.snp import Product, parse_tcb
from tests.fakes.simulated_nvidia import SimulatedGpu, SimulatedOcsp, SimulatedRim, rim_root
from tests.fakes.simulated_snp import SimulatedSnp
from tests.fakes.simulated_tdx import SimulatedIntel
from tests.fakes.simulated_vm import TestCa, ec_key, usage

KDS, PCS, INTEL = "kdsintf.amd.com", "api.trustedservices.intel.com", "certificates.trustedservices.intel.com"
RIM, OCSP = "rim.attestation.nvidia.com", "ocsp.ndis.nvidia.com"
MICROSOFT, GOOG = "www.microsoft.com", "pki.goog"
POOL = "privateca-content-65cf0672-0000-2aab-ac57-14c14ef2aad0.storage.googleapis.com"
NAMES = (KDS, PCS, INTEL, RIM, OCSP, MICROSOFT, GOOG, POOL)


@dataclass
class Reply:
    """What a server says; ``after`` are seconds between two bytes of the body, ``cut`` bytes never come."""

    body: bytes = b""
    kind: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    cut: int = 0


NOTHING = Reply(b"<html>not found</html>", "text/html", 404)


class Vendors:
    """What every vendor would serve. ``replies`` (by host and path with query) override, one after the other."""

    def __init__(self):
        self.chips: list[SimulatedSnp] = []
        self.intel = SimulatedIntel()
        self.platforms: list[str] = []  # FMSPCs that Intel knows
        self.rims: dict[str, bytes] = {}
        self.certified: list[tuple] = []  # pairs of certificate and issuer that OCSP answers about
        self.ocsp_dates: tuple[datetime, datetime] | None = None
        self.files: dict[tuple[str, str], Reply] = {}  # CAs of clouds
        self.replies: dict[tuple[str, str], list[Reply]] = {}
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.tunnels: list[str] = []  # what was asked of the proxy
        self.ports: dict[int, int] = {}
        self.led: list[tuple[str, int]] = []  # who was connected to, by name

    def add_gpu(self, gpu: SimulatedGpu, *, driver: str = "NV_GPU_DRIVER_GH100_590.12") -> None:
        path = gpu.path()
        self.certified += [(path[i], path[i + 1]) for i in range(3)]
        self.rims[driver] = SimulatedRim().data()
        self.rims["NV_GPU_VBIOS_G520_0200_885_9600A50001"] = SimulatedRim.firmware().data()
        self.certify_rims()

    def certify_rims(self) -> None:
        rim = SimulatedRim()
        self.certified += [(rim.signer, rim.authority), (rim.authority, rim_root())]

    def publish(self, url: str, der: bytes, *, pem: bool = False) -> None:
        """Put a cloud's CA where a certificate says that it is."""
        parts = urlsplit(url)
        body = ssl.DER_cert_to_PEM_cert(der).encode() if pem else der
        kind = "application/x-x509-ca-cert" if not pem else "application/x-pem-file"
        self.files[parts.netloc, parts.path] = Reply(body, kind)

    def reply(self, host: str, target: str, body: bytes) -> Reply:
        """Answer a request, as the vendor of this name would."""
        parts = urlsplit(target)
        self.requests.append((host, target))
        if waiting := self.replies.get((host, target)):
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if (host, parts.path) in self.files:
            return self.files[host, parts.path]
        handler = {KDS: self._kds, PCS: self._pcs, INTEL: self._intel, RIM: self._rim, OCSP: self._ocsp}.get(host)
        return handler(parts, body) if handler else NOTHING

    def asked(self, host: str) -> list[str]:
        return [target for name, target in self.requests if name == host]

    def _kds(self, parts, _body) -> Reply:
        found = re.fullmatch(r"/(vcek|vlek)/v1/(Milan|Genoa|Turin)/([a-z0-9_]+)", parts.path)
        if not found:
            return NOTHING
        key, product, what = found[1], Product(found[2]), found[3]
        chip = next((one for one in self.chips if one.product is product and one.vlek is (key == "vlek")), None)
        if chip is not None and what == "cert_chain":
            pem = "".join(map(ssl.DER_cert_to_PEM_cert, (chip.ask.der, chip.arks[0].certificate.public_bytes(_DER))))
            return Reply(pem.encode(), "application/x-pem-file")
        if chip is not None and what == "crl":
            return Reply(chip.ark.crl(), "application/pkix-crl")
        for one in self.chips:
            if (one.product, one.hwid.hex()) == (product, what) and _levels(one) == parse_qs(parts.query):
                return Reply(one.certificate(), "application/pkix-cert")
        return NOTHING

    def _pcs(self, parts, _body) -> Reply:
        query = {name: value[0] for name, value in parse_qs(parts.query).items()}
        served = self.intel.collateral()
        if parts.path == "/tdx/certification/v4/tcb" and query.get("fmspc") in self.platforms:
            headers = {"TCB-Info-Issuer-Chain": served.tcb_info_issuer_chain.decode(), "Request-ID": "1"}
            return Reply(served.tcb_info, "application/json", headers=headers)
        if parts.path == "/tdx/certification/v4/qe/identity" and not query:
            headers = {"SGX-Enclave-Identity-Issuer-Chain": served.qe_identity_issuer_chain.decode()}
            return Reply(served.qe_identity, "application/json", headers=headers)
        if parts.path == "/sgx/certification/v4/pckcrl" and query == {"ca": "platform", "encoding": "der"}:
            headers = {"SGX-PCK-CRL-Issuer-Chain": served.tcb_info_issuer_chain.decode()}
            return Reply(served.pck_crl, "application/pkix-crl", headers=headers)
        return Reply(b"", "", 404, {"Error-Code": "NOT_FOUND"})

    def _intel(self, parts, _body) -> Reply:
        return Reply(self.intel.root_crl.der) if parts.path == "/IntelSGXRootCA.der" else NOTHING

    def _rim(self, parts, _body) -> Reply:
        name = parts.path.removeprefix("/v1/rim/")
        if name not in self.rims:
            return Reply(b'{"message":"RIM not found"}', "application/json", 404)
        value = {"id": name, "rim": base64.b64encode(self.rims[name]).decode(), "rim_format": "TCG"}
        value |= {"sha256": "00", "last_updated": "2026-05-01T09:05:11.595000", "request_id": "1"}
        return Reply(json.dumps(value).encode(), "application/json")

    def _ocsp(self, _parts, body) -> Reply:
        try:
            request = ocsp.load_der_ocsp_request(body)
        except ValueError:
            return Reply(b"", "application/ocsp-response", 400)
        for subject, issuer in self.certified:
            built = ocsp.OCSPRequestBuilder().add_certificate(
                subject.certificate, issuer.certificate, request.hash_algorithm
            )
            if built.build().public_bytes(_DER) == body:
                answer = SimulatedOcsp(subject, issuer)
                answer.named_by = request.hash_algorithm
                answer.this_update, answer.next_update = self.ocsp_dates or (answer.this_update, answer.next_update)
                return Reply(answer.response(), "application/ocsp-response")
        refused = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)
        return Reply(refused.public_bytes(_DER), "application/ocsp-response")


_DER = serialization.Encoding.DER


def _levels(chip: SimulatedSnp) -> dict[str, list[str]]:
    tcb = parse_tcb(chip.reported_tcb, chip.product)
    found = {"blSPL": tcb.bootloader, "teeSPL": tcb.tee, "snpSPL": tcb.snp, "ucodeSPL": tcb.microcode}
    if chip.product is Product.TURIN:
        found["fmcSPL"] = tcb.fmc
    return {name: [f"{level:02d}"] for name, level in found.items()}


@cache
def web_ca() -> TestCa:
    return TestCa("web CA", key=ec_key("web ca"))


@cache
def web_certificate() -> bytes:
    """Return key and certificate for all the vendors' names, PEM."""
    key, now = ec_key("web"), datetime.now(UTC)
    names = [x509.DNSName(name) for name in NAMES]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vendors")]))
        .issuer_name(web_ca().name)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(web_ca().key.public_key()), critical=False)
        .add_extension(usage("digital_signature"), critical=True)
    )
    made = builder.sign(web_ca().key, hashes.SHA256())
    pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem + made.public_bytes(_PEM)


_PEM = serialization.Encoding.PEM


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, vendors: Vendors, *, tls: bool):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.vendors, self.context = vendors, None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with tempfile.NamedTemporaryFile(suffix=".pem") as file:
                Path(file.name).write_bytes(web_certificate())
                self.context.load_cert_chain(file.name)

    def finish_request(self, request, client_address):
        request.settimeout(20)
        try:
            if self.context is None:
                return super().finish_request(request, client_address)
            with self.context.wrap_socket(request, server_side=True) as tls:
                super().finish_request(tls, client_address)
        except OSError:
            request.close()

    def handle_error(self, request, client_address):
        """Clients that hang up are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        self._handle(b"")

    def do_POST(self):
        self._handle(self.rfile.read(int(self.headers["Content-Length"])))

    def do_CONNECT(self):
        """Be a proxy: end the tunnel right here, as the host that was asked for."""
        vendors = self.server.vendors
        vendors.tunnels.append(self.path)
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        tls = _tunnel_context().wrap_socket(self.connection, server_side=True)
        self.connection, self.rfile, self.wfile = tls, tls.makefile("rb"), tls.makefile("wb", 0)
        with tls, self.rfile, self.wfile:
            self.handle_one_request()
        self.rfile = self.wfile = io.BytesIO()  # what the base class flushes and closes at the end
        self.close_connection = True

    def _handle(self, body):
        vendors = self.server.vendors
        vendors.headers.append({name.lower(): value for name, value in self.headers.items()})
        vendors.bodies.append(body)
        target = self.path
        if target.startswith("http://"):  # asked as a proxy
            vendors.tunnels.append(target)
            target = urlsplit(target)._replace(scheme="", netloc="").geturl()
        reply = vendors.reply(self.headers["Host"], target, body)
        self.send_response(reply.status)
        if reply.kind:
            self.send_header("Content-Type", reply.kind)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        sent = reply.body[: len(reply.body) - reply.cut]
        if not reply.after:
            self.wfile.write(sent)
        for offset in range(len(sent) if reply.after else 0):
            self.wfile.write(sent[offset : offset + 1])
            time.sleep(reply.after)
        self.close_connection = True


@cache
def _tunnel_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        Path(file.name).write_bytes(web_certificate())
        context.load_cert_chain(file.name)
    return context


@contextmanager
def serving(vendors: Vendors):
    """Run the servers until the block ends; yield their ports by the port that they stand for."""
    servers = {443: _Server(vendors, tls=True), 80: _Server(vendors, tls=False)}
    threads = [
        threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        for one in servers.values()
    ]
    for thread in threads:
        thread.start()
    try:
        yield {port: server.server_address[1] for port, server in servers.items()}
    finally:
        for server in servers.values():
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join(5)
