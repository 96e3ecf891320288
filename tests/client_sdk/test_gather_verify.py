"""The end of it: what was gathered verifies, by the functions that clients verify with."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

import pytest

from client_sdk.evidence import Evidence
from client_sdk.parse.rim import parse_rim
from client_sdk.parse.snp import Product
from client_sdk.report import Ledger
from client_sdk.verify.ak import verify_azure_ak, verify_google_ak
from client_sdk.verify.amd_chain import RevocationList, verify_vek
from client_sdk.verify.nvidia import Revocation, verify_device
from client_sdk.verify.rim import verify_measurements, verify_rim
from client_sdk.verify.snp import verify_report
from client_sdk.verify.tdx import verify_quote
from client_sdk.verify.tdx_collateral import Collateral, MaxAges, verify_collateral
from tests.fakes import simulated_nvidia
from tests.fakes.gathering import (
    DAY,
    NOW,
    ROOTS,
    TDX_NOW,
    aia,
    authority,
    azure_snp,
    evidence,
    files,
    gather,
    google_ak,
    snp,
    tdx,
)
from tests.fakes.simulated_cloud_tpm import AzureTpm, azure_root, google_root
from tests.fakes.simulated_nvidia import SimulatedGpu
from tests.fakes.simulated_snp import SimulatedSnp
from tests.fakes.simulated_tdx import FMSPC, SimulatedTdx
from tests.fakes.simulated_vm import NOW as TODAY
from tests.fakes.vendors import MICROSOFT, POOL

AGE = timedelta(days=400)
CA_URL = f"http://{POOL}/03fac923d36887044de8/ca.crt"


@pytest.mark.parametrize("product", Product)
def test_a_report_signed_by_a_chip(vendors, tmp_path, product):
    chip = SimulatedSnp(product)
    vendors.chips.append(chip)
    gather(evidence(tee=snp(chip)), tmp_path / "out")
    got = files(tmp_path / "out")
    vcek = got[f"amd/vcek/{chip.chip_id.hex()}-{chip.reported_tcb.hex()}.der"]
    folder = f"amd/{product.lower()}"
    revocation = RevocationList(got[f"{folder}/crl.der"], AGE)
    others = (got[f"{folder}/ask.der"],)
    vek = verify_vek(vcek, others, chip.arks, revocation=revocation, now=NOW, ledger=Ledger())
    verify_report(chip.report(), vek, report_data=chip.report_data, ledger=Ledger())
    assert vek.crl_number == 5


@pytest.mark.parametrize("product", Product)
def test_a_report_signed_by_a_vlek_that_came_with_it(vendors, tmp_path, product):
    chip = SimulatedSnp(product, vlek=True)
    vendors.chips.append(chip)
    gather(evidence(tee=snp(chip, chip.certificate())), tmp_path / "out")
    got = files(tmp_path / "out")
    folder = f"amd/{product.lower()}"
    assert set(got) == {"index.json", f"{folder}/asvk.der", f"{folder}/crl.der"}
    revocation = RevocationList(got[f"{folder}/crl.der"], AGE)
    others = (got[f"{folder}/asvk.der"],)
    vek = verify_vek(chip.certificate(), others, chip.arks, revocation=revocation, now=NOW, ledger=Ledger())
    verify_report(chip.report(), vek, report_data=chip.report_data, ledger=Ledger())


def test_a_report_in_azures_wrapping(vendors, tmp_path):
    chip = SimulatedSnp(Product.GENOA)
    tee = azure_snp(chip)
    vendors.chips.append(chip)
    gather(evidence(tee=tee), tmp_path / "out")
    assert f"amd/vcek/{chip.chip_id.hex()}-{chip.reported_tcb.hex()}.der" in files(tmp_path / "out")


@pytest.mark.parametrize("version", [4, 5])
def test_a_tdx_quote(vendors, tmp_path, version):
    platform = SimulatedTdx(vendors.intel, version=version)
    vendors.platforms.append(FMSPC.hex())
    quote = tdx(platform)
    gather(evidence(tee=quote), tmp_path / "out", now=TDX_NOW)
    got = files(tmp_path / "out")
    anchors = vendors.intel.anchors
    facts = verify_quote(quote.report, anchors, now=TDX_NOW, ledger=Ledger())
    collateral = Collateral(
        tcb_info=got[f"intel/tcb_info-{FMSPC.hex()}.json"],
        tcb_info_issuer_chain=got[f"intel/tcb_info-{FMSPC.hex()}.pem"],
        qe_identity=got["intel/qe_identity.json"],
        qe_identity_issuer_chain=got["intel/qe_identity.pem"],
        pck_crl=got["intel/pck_crl-platform.der"],
        root_crl=got["intel/root_crl.der"],
    )
    ages = MaxAges(30 * DAY, 30 * DAY, 30 * DAY, 30 * DAY)
    verified = verify_collateral(facts, collateral, anchors, ages=ages, now=TDX_NOW, ledger=Ledger())
    assert verified.tcb.status == "UpToDate"


def test_a_gpu(vendors, tmp_path):
    gpu = SimulatedGpu()
    vendors.add_gpu(gpu)
    data = evidence(gpus=(gpu,))
    told = Evidence.from_json(data).gpu[0]  # certificates differ each time that they are made
    gather(data, tmp_path / "out")
    got = files(tmp_path / "out")

    def answers(ders):
        paths = [f"nvidia/ocsp/{sha256(der).hexdigest()}.der" for der in ders]
        return Revocation(tuple(got[path] for path in paths if path in got), DAY)

    device = verify_device(
        told.evidence,
        told.certificates,
        (simulated_nvidia.device_root().fields,),
        nonce=simulated_nvidia.NONCE,
        revocation=answers(told.certificates),
        now=NOW,
        ledger=Ledger(),
    )
    rims = []
    for path in sorted(path for path in got if path.startswith("nvidia/rim/")):
        revocation = answers(parse_rim(got[path], path).signature.certificates)
        anchors = (simulated_nvidia.rim_root().fields,)
        rims.append(verify_rim(got[path], anchors, revocation=revocation, now=NOW, ledger=Ledger()))
    appraisal = verify_measurements(device, tuple(rims), ledger=Ledger())
    assert set(appraisal.components) == {"driver", "vbios"}
    assert device.without_ocsp == ()
    assert {one.without_ocsp for one in rims} == {()}


def test_a_key_of_googles_tpm(vendors, tmp_path):
    tpm = google_ak(CA_URL)
    vendors.publish(CA_URL, tpm.ca.der, pem=True)
    certificate = tpm.certificate()
    gather(evidence(ak=(certificate,)), tmp_path / "out", now=TODAY)
    got = files(tmp_path / "out")
    path = f"tpm/{sha256(tpm.ca.der).hexdigest()}.der"
    assert set(got) == {"index.json", path}
    verify_google_ak((certificate, got[path]), ROOTS.tpm, now=TODAY, ledger=Ledger())


def test_a_key_of_azures_tpm_four_deep(vendors, tmp_path):
    """Both CAs are missing, the leaf is the TPM's padded image, and the first address of it does not answer."""
    tpm = AzureTpm()
    near, far = (f"http://{place}.pki.core.windows.net/cacerts/cert.cer" for place in ("primary-cdn", "second.eastus2"))
    above = f"http://{MICROSOFT}/pkiops/certs/Azure%20Cloud%20CA.crt"
    policy = authority("Azure Cloud Virtual TPM CA", azure_root())
    tpm.ca = authority("Azure Cloud Virtual TPM CA - 24", policy, above)
    tpm.extensions["aia"] = aia((near, far))
    vendors.publish(far, tpm.ca.der)
    vendors.publish(above, policy.der)
    image = tpm.certificate().ljust(4096, b"\0")
    gather(evidence(ak=(image,)), tmp_path / "out", now=TODAY)
    got = files(tmp_path / "out")
    others = tuple(data for path, data in got.items() if path.startswith("tpm/"))
    assert set(others) == {tpm.ca.der, policy.der}
    verify_azure_ak((image, *others), ROOTS.tpm, now=TODAY, ledger=Ledger())


def test_what_the_evidence_brings_is_not_asked_for(vendors, tmp_path):
    tpm = google_ak(CA_URL)
    run = gather(evidence(ak=(tpm.certificate(), tpm.ca.der, google_root().der)), tmp_path / "out", now=TODAY)
    assert run.collected.found == ()
    assert vendors.led == []
