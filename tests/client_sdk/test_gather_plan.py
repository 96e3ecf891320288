"""What is wanted for which evidence: data, without a network. What a peer wrote never becomes part of an address."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import AttestationError, EvidenceError
from client_sdk.evidence import TeeEvidence
from client_sdk.gather.answers import check, names, unpack
from client_sdk.gather.contents import read
from client_sdk.gather.hosts import permitted
from client_sdk.gather.plan import follow, once, plan
from client_sdk.gather.wanted import TERMS, Kind, Wanted
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.snp import Product
from tests.fakes.gathering import NONCE, ROOTS, authority, azure_snp, evidence, google_ak, snp, tdx
from tests.fakes.simulated_cloud_tpm import AzureTpm, GoogleTpm, google_root
from tests.fakes.simulated_nvidia import BLACKWELL, SimulatedGpu, SimulatedRim
from tests.fakes.simulated_snp import SimulatedSnp
from tests.fakes.simulated_tdx import FMSPC, SimulatedTdx
from tests.fakes.simulated_vm import SimulatedVm

bounded = settings(max_examples=60, derandomize=True, deadline=None, database=None)
KDS, PCS = "https://kdsintf.amd.com", "https://api.trustedservices.intel.com"


def wanted(**parts):
    return plan(evidence(**parts), ROOTS)


def refused(match, **parts):
    with pytest.raises(EvidenceError, match=match):
        wanted(**parts)


def test_evidence_of_a_software_tpm_needs_nothing():
    assert plan(SimulatedVm().evidence(NONCE).to_json()) == ()


@pytest.mark.parametrize(
    ("product", "query"),
    [
        (Product.MILAN, "blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"),
        (Product.GENOA, "blSPL=10&teeSPL=00&snpSPL=23&ucodeSPL=84"),
        (Product.TURIN, "fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81"),
    ],
)
def test_a_chips_report(product, query):
    chip, folder = SimulatedSnp(product), f"amd/{product.lower()}"
    assert wanted(tee=snp(chip)) == (
        Wanted(
            Kind.VCEK,
            f"amd/vcek/{chip.chip_id.hex()}-{chip.reported_tcb.hex()}.der",
            (f"{KDS}/vcek/v1/{product}/{chip.hwid.hex()}?{query}",),
        ),
        Wanted(Kind.AMD_CA, f"{folder}/ask.der", (f"{KDS}/vcek/v1/{product}/cert_chain",)),
        Wanted(Kind.CRL, f"{folder}/crl.der", (f"{KDS}/vcek/v1/{product}/crl",)),
    )


def test_a_cloud_providers_key_cannot_be_asked_for():
    chip = SimulatedSnp(vlek=True)
    refused("the VLEK certificate has to come with a report like this one", tee=snp(chip))
    assert wanted(tee=snp(chip, chip.ask.der, chip.certificate())) == (
        Wanted(Kind.AMD_CA, "amd/milan/asvk.der", (f"{KDS}/vlek/v1/Milan/cert_chain",)),
        Wanted(Kind.CRL, "amd/milan/crl.der", (f"{KDS}/vlek/v1/Milan/crl",)),
    )


def test_a_masked_chip_cannot_be_asked_for():
    chip = SimulatedSnp()
    chip.chip_id = bytes(64)
    refused("the VCEK certificate has to come", tee=snp(chip))
    assert [one.kind for one in wanted(tee=snp(chip, chip.certificate()))] == [Kind.AMD_CA, Kind.CRL]


def test_a_report_without_cpuid():
    """Its certificate says the product; without one AMD is asked about both that wrote such reports."""
    chip = SimulatedSnp(Product.GENOA)
    chip.version, chip.cpuid = 2, (0, 0, 0)
    (one,) = wanted(tee=snp(chip))
    assert [url.split("/")[5] for url in one.urls] == ["Milan", "Genoa"]
    assert [new.path for new in follow(one, chip.certificate(), ROOTS)] == ["amd/genoa/ask.der", "amd/genoa/crl.der"]
    assert len(wanted(tee=snp(chip, chip.certificate()))) == 3
    vlek = SimulatedSnp(vlek=True)
    vlek.version, vlek.cpuid = 2, (0, 0, 0)
    refused("of which product it is", tee=snp(vlek))


def test_a_report_that_nobody_signed():
    chip = SimulatedSnp()
    chip.flags = 7 << 2
    refused("neither VCEK nor VLEK", tee=snp(chip))


def test_azures_wrapping_is_taken_off_wherever_it_is():
    chip = SimulatedSnp()
    tee = azure_snp(chip)
    (first, *_) = wanted(tee=tee)
    assert chip.chip_id.hex() in first.path
    bare = TeeEvidence("azure-snp", chip.report(), (), tee.report, b"")
    assert wanted(tee=bare)[0] == first


def test_an_intel_platform():
    fmspc = FMSPC.hex()
    assert wanted(tee=tdx(SimulatedTdx())) == (
        Wanted(Kind.TCB_INFO, f"intel/tcb_info-{fmspc}.json", (f"{PCS}/tdx/certification/v4/tcb?fmspc={fmspc}",)),
        Wanted(Kind.QE_IDENTITY, "intel/qe_identity.json", (f"{PCS}/tdx/certification/v4/qe/identity",)),
        Wanted(
            Kind.CRL,
            "intel/pck_crl-platform.der",
            (f"{PCS}/sgx/certification/v4/pckcrl?ca=platform&encoding=der",),
        ),
        Wanted(
            Kind.CRL,
            "intel/root_crl.der",
            ("https://certificates.trustedservices.intel.com/IntelSGXRootCA.der",),
        ),
    )


def test_a_platform_of_one_socket():
    platform = SimulatedTdx()
    platform.intel.platform_ca.common = "Intel SGX PCK Processor CA"
    assert wanted(tee=tdx(platform))[2].path == "intel/pck_crl-processor.der"


def test_a_quote_of_azures():
    platform = SimulatedTdx()
    hcl = AzureTpm(report_type=4).hcl_report()
    straight = TeeEvidence("azure-tdx", platform.quote(), (), hcl, b"")
    swapped = replace(straight, report=hcl, runtime_data=straight.report)
    assert wanted(tee=straight) == wanted(tee=swapped) == wanted(tee=tdx(platform))


TDX_FAULTS = {
    "another CA": ("intel.platform_ca.common", "Intel SGX PCK Root CA", "none of Intel's CAs"),
    "no PCK certificate": ("extension", b"\x30\x00", "pck"),
    "another certification": ("certification_types", (6, 1), "certification data of type 1"),
    "another version": ("version", 3, "version 3"),
}


@pytest.mark.parametrize(("path", "value", "match"), TDX_FAULTS.values(), ids=TDX_FAULTS)
def test_a_quote_that_names_nobody(path, value, match):
    refused(match, tee=tdx(SimulatedTdx().change(path, value)))


@pytest.mark.parametrize("kind", ["", "sev", "sgx", "nitro"])
def test_hardware_that_is_not_known(kind):
    refused(r"tee\.kind", tee=TeeEvidence(kind, b"", (), b"", b""))


@pytest.mark.parametrize("report", [b"", b"\0" * 1183, b"\0" * 1185, b"HCLA" + bytes(3000)])
def test_a_report_that_is_none(report):
    for kind in ("snp", "tdx", "azure-snp", "azure-tdx"):
        refused("report|quote", tee=TeeEvidence(kind, report, (), b"", b""))


def test_a_hopper_gpu():
    gpu = SimulatedGpu()
    found = wanted(gpus=(gpu,))
    assert [one.path for one in found[:2]] == [
        "nvidia/rim/NV_GPU_DRIVER_GH100_590.12.xml",
        "nvidia/rim/NV_GPU_VBIOS_G520_0200_885_9600A50001.xml",
    ]
    assert found[0].urls == ("https://rim.attestation.nvidia.com/v1/rim/NV_GPU_DRIVER_GH100_590.12",)
    # The boot ROM, the factory and the family: not the device's own certificate, and not the root.
    assert [(one.kind, one.urls) for one in found[2:]] == [(Kind.OCSP, ("https://ocsp.ndis.nvidia.com/",))] * 3
    assert len({one.path for one in found}) == 5


@pytest.mark.parametrize(("chip", "prefix"), [(None, "GB100"), (b"GB202\0\0", "GB202")])
def test_a_blackwell_gpu(chip, prefix):
    gpu = SimulatedGpu()
    gpu.form = BLACKWELL
    gpu.opaque |= {35: chip} if chip else {}
    assert wanted(gpus=(gpu,))[0].path == f"nvidia/rim/NV_GPU_CC_DRIVER_{prefix}_590.12.xml"


def test_a_switch():
    found = wanted(gpus=(SimulatedGpu.switch(),))
    assert [one.path for one in found if one.kind is Kind.RIM] == [
        "nvidia/rim/NV_SWITCH_BIOS_5612_0002_890_9610550001.xml"
    ]


def test_eight_gpus_share_drivers_and_authorities():
    gpus = tuple(SimulatedGpu(f"gpu {number}") for number in range(8))
    kinds = [one.kind for one in wanted(gpus=gpus)]
    assert (kinds.count(Kind.RIM), kinds.count(Kind.OCSP)) == (2, 8 + 2)


def test_a_rim_file_wants_the_status_of_its_signers():
    (one,) = wanted(gpus=(SimulatedGpu(),))[:1]
    assert [new.kind for new in follow(one, SimulatedRim().data(), ROOTS)] == [Kind.OCSP] * 2


HOSTILE = [
    b"../../../../etc/passwd\0",
    b"590.12/../x\0",
    b"590.12?x=1\0",
    b"590.12#\0",
    b"590 12\0",
    b"590.12%2e\0",
    b".590\0",
    b"590.\0",
    b"..\0",
    b"\0",
    b"a" * 33 + b"\0",
    b"590.12_1\0",
    b"590.12\\x\0",
]


@pytest.mark.parametrize("field", [3, 15, 17, 18, 35])
@pytest.mark.parametrize("value", HOSTILE)
def test_words_of_a_device_that_cannot_be_part_of_an_address(field, value):
    gpu = SimulatedGpu()
    gpu.opaque[field] = value
    if (field, value) == (35, b"\0"):  # the chip may be unstated
        assert wanted(gpus=(gpu,))
        return
    refused(r"gpu\[0\]", gpus=(gpu,))


@pytest.mark.parametrize("missing", [3, 6, 15, 17, 18])
def test_a_device_that_does_not_say_enough(missing):
    gpu = SimulatedGpu()
    del gpu.opaque[missing]
    refused(r"gpu\[0\]: the device states no", gpus=(gpu,))


def test_a_device_whose_certificates_lead_nowhere():
    gpu = SimulatedGpu()
    gpu.certificates = lambda: (gpu.leaf.der,)
    refused("do not lead to a root", gpus=(gpu,))
    gpu.certificates = tuple
    refused("has no certificate", gpus=(gpu,))


def test_a_pinned_root_need_not_be_in_the_chain():
    gpu = SimulatedGpu()
    chain = gpu.certificates()[:-1]
    gpu.certificates = lambda: chain
    assert len(wanted(gpus=(gpu,))) == 5


def test_a_key_of_a_tpm_wants_the_ca_that_is_missing():
    tpm = google_ak("http://pki.goog/cloud_integrity/a.crt", "https://pki.goog/cloud_integrity/b.crt")
    certificate = tpm.certificate()
    (one,) = wanted(ak=(certificate,))
    assert (one.kind, one.path, one.about) == (Kind.ISSUER, "tpm/", (certificate,))
    assert len(one.urls) == 2
    assert wanted(ak=(certificate, tpm.ca.der)) == ()
    assert follow(one, tpm.ca.der, ROOTS) == ()


def test_a_key_that_does_not_say_who_issued_it():
    silent = (GoogleTpm().certificate(),)
    refused("'EK/AK CA Intermediate' is missing, and nothing says where it is; give it by --ca", ak=silent)


def test_a_ca_that_the_operator_has_is_not_asked_for():
    tpm = GoogleTpm()
    certificate = tpm.certificate()
    others = (authority("unrelated", google_root()), tpm.ca)
    roots = replace(ROOTS, given=tuple(parse_certificate(ca.der, "ca") for ca in others))
    (one,) = plan(evidence(ak=(certificate,)), roots)
    assert one == Wanted(Kind.ISSUER, "tpm/", (), about=(certificate,), given=tpm.ca.der)
    assert follow(one, one.given, roots) == ()
    assert plan(evidence(ak=(certificate, tpm.ca.der)), roots) == ()


def test_a_ca_that_does_not_say_who_issued_it():
    other = authority("somebody's", authority("unknown", google_root()))
    with pytest.raises(EvidenceError, match="nothing says where it is"):
        follow(Wanted(Kind.ISSUER, "tpm/", ()), other.der, ROOTS)


@pytest.mark.parametrize("image", [b"", b"\x30\x82", b"no certificate", bytes(4096)])
def test_a_key_whose_certificate_is_none(image):
    refused("ak_certificates", ak=(image,))


def test_the_roots_that_ship_are_the_default():
    tpm = google_ak("http://pki.goog/cloud_integrity/a.crt")
    assert len(plan(evidence(ak=(tpm.certificate(), tpm.ca.der, google_root().der)))) == 0
    with pytest.raises(EvidenceError, match="nothing says where it is"):
        plan(evidence(ak=(tpm.certificate(), tpm.ca.der)))


@pytest.mark.parametrize("parts", [{"tee": snp(SimulatedSnp())}, {"gpus": (SimulatedGpu(),)}])
def test_a_plan_is_the_same_each_time_and_every_address_of_it_is_permitted(parts):
    data = evidence(**parts)
    assert plan(data, ROOTS) == plan(data, ROOTS)
    assert all(permitted(url) for one in plan(data, ROOTS) for url in one.urls)


def test_what_is_wanted_twice_is_asked_for_once():
    one = wanted(tee=snp(SimulatedSnp()))
    assert once([*one, *one]) == one


@bounded
@given(st.binary(max_size=2000))
def test_any_bytes_give_a_plan_or_an_error(data):
    for act in (
        lambda: plan(data, ROOTS),
        lambda: wanted(tee=TeeEvidence("snp", data, (), b"", b"")),
        lambda: wanted(tee=TeeEvidence("azure-tdx", data, (), data, b"")),
    ):
        try:
            act()
        except AttestationError:
            continue


_SAMPLES = (
    snp(SimulatedSnp()),
    tdx(SimulatedTdx()),
    azure_snp(SimulatedSnp()),
)


@bounded
@given(st.sampled_from(_SAMPLES), st.data())
def test_flipped_and_cut_reports_give_a_plan_of_permitted_addresses_or_an_error(tee, data):
    report = bytearray(tee.report)
    for _ in range(data.draw(st.integers(1, 3))):
        report[data.draw(st.integers(0, len(report) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, 3)) and len(report)
    changed = replace(tee, report=bytes(report[: cut or data.draw(st.integers(0, len(report)))]))
    try:
        found = wanted(tee=changed)
    except EvidenceError:
        return
    assert all(permitted(url) for one in found for url in one.urls)


PLACES = [
    *(
        "amd/milan/ask.der",
        "amd/milan/crl.der",
        f"amd/vcek/{'0' * 128}-{'0' * 16}.der",
        "amd/vlek/x-0000000000000000.der",
    ),
    *("intel/tcb_info-90c06f000000.json", "intel/qe_identity.json", "intel/qe_identity.pem", "intel/root_crl.der"),
    *(f"tpm/{'0' * 64}.der", "nvidia/rim/NV_GPU_DRIVER_GH100_590.12.xml", f"nvidia/ocsp/{'0' * 64}.der"),
]


@pytest.mark.parametrize("path", PLACES)
@bounded
@given(data=st.binary(max_size=300))
def test_any_bytes_in_a_folder_are_contents_or_an_error(path, data):
    with pytest.raises(EvidenceError):
        read(path, data)


@pytest.mark.parametrize("path", ["", "index.json", "amd/naples/ask.der", "../amd/milan/ask.der", "tpm/0.der", "x"])
def test_paths_that_no_folder_has(path):
    with pytest.raises(EvidenceError, match="no file of a collateral folder"):
        read(path, b"")


WANTED = [
    *wanted(tee=snp(SimulatedSnp()), gpus=(SimulatedGpu(),)),
    *wanted(tee=tdx(SimulatedTdx())),
    *wanted(ak=(google_ak("http://pki.goog/cloud_integrity/a.crt").certificate(),)),
]


@pytest.mark.parametrize("one", WANTED, ids=lambda one: f"{one.kind} {one.path[:24]}")
@bounded
@given(body=st.binary(max_size=300))
def test_any_answer_is_files_or_an_error(one, body):
    with pytest.raises(EvidenceError):
        check(one, unpack(one, {}, body))


def test_issuers_are_written_as_plain_pem(vendors):
    vendors.platforms.append(FMSPC.hex())
    one = wanted(tee=tdx(SimulatedTdx(vendors.intel)))[0]
    reply = vendors.reply("api.trustedservices.intel.com", f"/tdx/certification/v4/tcb?fmspc={FMSPC.hex()}", b"")
    headers = {name.lower(): value for name, value in reply.headers.items()}
    assert "%0A" in headers["tcb-info-issuer-chain"]
    got = unpack(one, headers, reply.body)
    assert got.keys() == names(one)
    pem = got[f"intel/tcb_info-{FMSPC.hex()}.pem"]
    assert pem == b"".join(link.pem for link in (vendors.intel.signer, vendors.intel.root))
    assert got[one.path] == reply.body


def test_every_kind_has_its_terms():
    assert set(TERMS) == set(Kind)
    assert all(terms.limit and terms.types and terms.refresh for terms in TERMS.values())
