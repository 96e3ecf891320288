"""Every parser of ``client_sdk/parse`` as something to fuzz, in the groups that a harness each is made of."""

from __future__ import annotations

from types import SimpleNamespace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_sdk.errors import EvidenceError
from client_sdk.evidence import Evidence
from client_sdk.parse import (
    amd_certificate,
    attest,
    azure,
    canonical_xml,
    ccel,
    certificate,
    crl,
    dice,
    eventlog,
    gce,
    intel_collateral,
    issuer_chain,
    names,
    nvidia,
    pck,
    pem,
    public,
    rim,
    signature,
    snp,
    tdx,
    variable,
)
from client_sdk.parse import der as strict_der
from client_sdk.report import Ledger
from client_sdk.verify.eventlog import verify_event_log
from client_sdk.verify.ocsp import _read as read_ocsp
from client_sdk.verify.replay import PADDING
from tests.fakes import boot_log
from tests.fakes.instance_info import instance_info
from tests.fakes.judging import NONCE, OTHERS
from tests.fakes.simulated_cloud_tpm import AzureTpm, GoogleTpm, many_banks
from tests.fakes.simulated_nvidia import SimulatedGpu, SimulatedRim, firmware_extension, p384
from tests.fakes.simulated_snp import SimulatedSnp
from tests.fakes.simulated_tdx import SimulatedTdx, serialise, td_log
from tests.fakes.simulated_vm import SimulatedVm
from tests.fuzz.logs import LOG_TARGETS
from tests.fuzz.target import Target

VM, TD, TD_15, SNP, GPU, RIM = (
    *(SimulatedVm(), SimulatedTdx(), SimulatedTdx(version=5, body_type=3)),
    *(SimulatedSnp(), SimulatedGpu(), SimulatedRim()),
)
EVIDENCE, GOOGLE, AZURE = VM.evidence(NONCE, OTHERS), GoogleTpm(), AzureTpm()
CA = SNP.ask.der
ATTEST = EVIDENCE.quote.attest
DEVICE_KEY = p384("device")
COLLATERAL = TD.intel.collateral()
EVENTS = boot_log.boot_log()
DICE = [
    firmware_extension(form, bytes(48), 3, DEVICE_KEY.public_key())
    for form in (dice.COMPOSITE_DEVICE_ID, dice.TCB_INFO)
]


def certificate_of_a_platform(data: bytes) -> object:
    return pck.parse_pck(certificate.parse_certificate(data, "pck").certificate, "pck")


def firmware_id(data: bytes, form: str) -> object:
    """Read an extension's value; a certificate around it would keep most mutations away from its reader."""
    extension = SimpleNamespace(
        oid=x509.ObjectIdentifier(form), value=x509.UnrecognizedExtension(x509.ObjectIdentifier(form), data)
    )
    return dice.parse_firmware_id(SimpleNamespace(certificate=SimpleNamespace(extensions=[extension])), "gpu")


def firmware_id_of_a_certificate(data: bytes) -> object:
    return dice.parse_firmware_id(certificate.parse_certificate(data, "gpu"), "gpu")


def elements(data: bytes) -> tuple[int, ...]:
    """Read what a DER reader reads, one method after another."""
    reader = strict_der.DerReader(data, "der").inner(strict_der.SEQUENCE)
    found = [reader.integer(), reader.boolean(), len(reader.text(16))]
    while reader.tag is not None:
        reader.skip()
    reader.finish()
    return tuple(found)


def xml(data: bytes) -> object:
    """Read a document and write it; what was written is read as the same, and written as the same."""
    root = canonical_xml.parse_xml(data, "xml")
    written = canonical_xml.canonical(root)
    if len(written) <= canonical_xml.MAX_SIZE:
        assert canonical_xml.canonical(canonical_xml.parse_xml(written, "xml")) == written
    return root


def statement(data: bytes) -> object:
    """Read a document as TCB info; as the identity of a quoting enclave where it is that."""
    try:
        found = intel_collateral.parse_statement(data, intel_collateral.TCB_INFO)
    except EvidenceError:
        found = intel_collateral.parse_statement(data, intel_collateral.QE_IDENTITY)
        return intel_collateral.parse_qe_identity(found.value)
    return intel_collateral.parse_tcb_info(found.value)


def tcb(data: bytes) -> object:
    return [snp.parse_tcb(data, product) for product in snp.Product]


def log(bank: int):
    return lambda data: eventlog.parse_event_log(data, bank=bank, padding=PADDING)


def subject_of(der: bytes) -> bytes:
    return certificate.parse_certificate(der, "CA").subject


def _crls() -> tuple[bytes, ...]:
    return (TD.intel.pck_crl.der, TD.intel.root_crl.der, SNP.ark.crl(revoked=(3, 1 << 150)))


CERTIFICATES = (
    *(EVIDENCE.ek_certificates[0], EVIDENCE.tls_certificate, SNP.certificate(), CA, TD.pck.der),
    *(GOOGLE.certificate(), AZURE.certificate(), GPU.leaf.der, GPU.rom.der),
)
PEM = x509.load_der_x509_certificate(CA).public_bytes(Encoding.PEM)
ROOTS = ("tdx root", "sev-snp vek", "gcp-vtpm leaf", "gcp-vtpm root", "azure-vtpm ak_cert", "sev-snp amd_chain")
LOGS = ("eventlog eventlog", "gcp-vtpm eventlog")
WHERE = "fuzz"

PARSERS = {
    "transparency": LOG_TARGETS,
    "certificates": (
        Target(
            "certificate",
            lambda data: certificate.parse_certificate(data, WHERE),
            CERTIFICATES,
            (certificate.parse_certificate,),
            ROOTS,
        ),
        Target("key", lambda data: certificate.spki_digest(data, WHERE), CERTIFICATES[1:2], (certificate.spki_digest,)),
        Target("pem", lambda data: pem.parse_pem_or_der(data, WHERE), (PEM, CA), (pem.parse_pem_or_der,), ROOTS),
        Target(
            "chain",
            lambda data: issuer_chain.parse_chain(data, WHERE),
            (TD.pck_chain(), COLLATERAL.tcb_info_issuer_chain),
            (issuer_chain.parse_chain,),
            ("tdx tcb_info_issuer_chain",),
        ),
        Target(
            "list",
            lambda data: crl.parse_crl(data, WHERE),
            _crls(),
            (crl.parse_crl,),
            ("tdx pck_crl", "tdx root_ca_crl"),
        ),
        Target("list bytes", lambda data: names.signed_list(data, WHERE), _crls(), (names.signed_list,)),
        Target(
            "names",
            lambda data: names.certificate_names(data, WHERE),
            (certificate.parse_certificate(CA, "CA").tbs,),
            (names.certificate_names,),
        ),
        Target(
            "name",
            lambda data: names.common_name(data, WHERE),
            (subject_of(CA), subject_of(TD.pck.der)),
            (names.common_name,),
        ),
        Target(
            "image",
            lambda data: strict_der.trim_certificate(data, WHERE),
            (CA + bytes(64),),
            (strict_der.trim_certificate,),
        ),
        Target("der", elements, (bytes.fromhex("300b020105010100" + "0c03616263"), b"\x30\x82\x01\x00"), ()),
        Target("responses", lambda data: read_ocsp(data, WHERE), (*GPU.ocsp(), *RIM.ocsp())),
    ),
    "tpm": (
        Target(
            "attest",
            attest.parse_attest,
            (ATTEST, GOOGLE.attest(b"nonce")),
            (attest.parse_attest,),
            ("gcp-vtpm attest", "azure-vtpm attest"),
        ),
        Target("quote info", attest.parse_quote_info, (attest.parse_attest(ATTEST).body,), (attest.parse_quote_info,)),
        Target(
            "signature",
            signature.parse_signature,
            (EVIDENCE.quote.signature, GOOGLE.signature(ATTEST)),
            (signature.parse_signature,),
            ("gcp-vtpm signature", "azure-vtpm signature"),
        ),
        Target(
            "public",
            public.parse_public,
            (EVIDENCE.ak_public, GOOGLE.public()),
            (public.parse_public,),
            ("gcp-vtpm ak_pub",),
        ),
        Target("instance", gce.parse_instance, (instance_info(),), (gce.parse_instance,)),
        Target("evidence", Evidence.from_json, (EVIDENCE.to_json(),)),
    ),
    "logs": (
        Target(
            "log",
            log(eventlog.SHA256),
            (boot_log.serialise(EVENTS), many_banks(EVENTS, 0x4, 0xB)),
            (eventlog.parse_event_log,),
            LOGS,
        ),
        Target("old log", log(eventlog.SHA1), (many_banks(EVENTS, legacy=True), many_banks(EVENTS, 0x4)), (), LOGS),
        Target("long log", log(eventlog.SHA384), (many_banks(EVENTS, 0x4, 0xB, 0xC),), (), LOGS),
        Target("boot", lambda data: verify_event_log(data, VM.pcrs(), ledger=Ledger()), (boot_log.serialise(EVENTS),)),
        Target("ccel", ccel.parse_ccel, (serialise(td_log()),), (ccel.parse_ccel,), ("tdx ccel",)),
        Target(
            "variable",
            lambda data: variable.parse_variable(data, 0),
            (boot_log.variable("Boot0000", b"value"),),
            (variable.parse_variable,),
        ),
        Target(
            "option",
            lambda data: variable.parse_description(data, "Boot0000"),
            (boot_log.load_option("UiApp"),),
            (variable.parse_description,),
        ),
        Target(
            "tag",
            lambda data: variable.parse_tag(data, 0),
            (bytes.fromhex("ec223b8f04000000") + b"text",),
            (variable.parse_tag,),
        ),
    ),
    "snp": (
        Target("report", snp.parse_report, (SNP.report(),), (snp.parse_report,), ("sev-snp report",)),
        Target("tcb", tcb, (bytes(range(8)),), (snp.parse_tcb,)),
        Target("product", lambda data: snp.product_of((*data[:3], 0, 0, 0)[:3]), (b"\x19\x01\x01",), (snp.product_of,)),
        Target(
            "vek",
            lambda data: amd_certificate.parse_vek(data, WHERE),
            (SNP.certificate(), SimulatedSnp(vlek=True).certificate()),
            (amd_certificate.parse_vek, amd_certificate.read_vek),
            ("sev-snp vek", "azure-vtpm vcek"),
        ),
    ),
    "tdx": (
        Target("header", tdx.parse_header, (TD.quote()[:48],), (tdx.parse_header,)),
        Target(
            "quote",
            tdx.parse_quote,
            (TD.quote(), TD_15.quote()),
            (tdx.parse_quote,),
            ("tdx quote", "azure-vtpm td_quote"),
        ),
        Target(
            "extensions",
            lambda data: pck.parse_sgx_extensions(data, WHERE),
            (TD.sgx_extensions(),),
            (pck.parse_sgx_extensions,),
        ),
        Target("pck", certificate_of_a_platform, (TD.pck.der,), (pck.parse_pck,)),
        Target(
            "statement",
            statement,
            (COLLATERAL.tcb_info, COLLATERAL.qe_identity),
            (intel_collateral.parse_statement, intel_collateral.parse_tcb_info, intel_collateral.parse_qe_identity),
            ("tdx tcb_info", "tdx qe_identity"),
        ),
    ),
    "azure": (
        Target(
            "hcl report",
            azure.parse_hcl_report,
            (AZURE.hcl_report(), AzureTpm(report_type=4).hcl_report()),
            (azure.parse_hcl_report,),
            ("azure-vtpm hcl_report",),
        ),
        Target("claims", azure.parse_runtime_claims, (AZURE.runtime_data(),), (azure.parse_runtime_claims,)),
    ),
    "nvidia": (
        Target(
            "transcript",
            lambda data: nvidia.parse_transcript(data, WHERE),
            (GPU.evidence(), SimulatedGpu.switch().evidence()),
            (nvidia.parse_transcript,),
            ("nvidia-gpu evidence",),
        ),
        Target("rim", lambda data: rim.parse_rim(data, WHERE), (RIM.data(),), (rim.parse_rim,), ("nvidia-gpu rim",)),
        Target(
            "xml",
            xml,
            (RIM.data(), b'<a xmlns="u" xmlns:b="v" b:c="1"><b:d>&#13;</b:d></a>'),
            (canonical_xml.parse_xml,),
            ("nvidia-gpu rim",),
        ),
        Target(
            "composite id",
            lambda data: firmware_id(data, dice.COMPOSITE_DEVICE_ID),
            (DICE[0].value,),
            (dice.parse_firmware_id,),
        ),
        Target("tcb info", lambda data: firmware_id(data, dice.TCB_INFO), (DICE[1].value,), ()),
        Target("device", firmware_id_of_a_certificate, (GPU.leaf.der,), ()),
    ),
}
