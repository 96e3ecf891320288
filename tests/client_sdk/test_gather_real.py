"""Real evidence gives a plan, and what vendors really published passes as an answer to it.

``VITRINE_EVIDENCE`` names a folder with the evidence and its ``CASES.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from client_sdk.errors import EvidenceError
from client_sdk.evidence import TeeEvidence
from client_sdk.gather import amd, nvidia, tpm
from client_sdk.gather.answers import check, unpack
from client_sdk.gather.contents import read
from client_sdk.gather.hosts import permitted
from client_sdk.gather.intel import ISSUER_CHAINS
from client_sdk.gather.plan import follow, plan, shipped_roots
from client_sdk.gather.wanted import Kind, Wanted
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.pem import parse_pem_or_der
from tests.fakes.gathering import evidence

FOLDER = os.environ.get("VITRINE_EVIDENCE", "")
CASES = [
    case
    for case in (json.loads((Path(FOLDER) / "CASES.json").read_bytes()) if FOLDER else [])
    if case["expect"] == "accept"
]
RIMS = sorted((Path(FOLDER) / "nvidia-gpu" / "rims").iterdir()) if FOLDER else []
pytestmark = pytest.mark.skipif(not FOLDER, reason="VITRINE_EVIDENCE names no folder of real evidence")


def cases(*roles):
    """Return the cases that have these inputs, with their bytes by role."""
    return [
        pytest.param({role: blobs(name) for role, name in case["inputs"].items()}, id=case["id"])
        for case in CASES
        if set(roles) <= case["inputs"].keys()
    ]


def blobs(names):
    if isinstance(names, list):
        return tuple((Path(FOLDER) / name).read_bytes() for name in names)
    return (Path(FOLDER) / names).read_bytes()


def answered(wanted, body, **headers):
    assert all(permitted(url) for url in wanted.urls)
    return check(wanted, unpack(wanted, headers, body))


@pytest.mark.parametrize("told", cases("report", "vek", "amd_chain"))
def test_snp(told):
    (vek,) = parse_pem_or_der(told["vek"], "vek")
    found = amd.plan(told["report"], (vek,))
    bodies = {Kind.VCEK: vek, Kind.AMD_CA: told["amd_chain"]}
    for one in found:
        if one.kind in bodies:
            assert answered(one, bodies[one.kind])
    if found[0].kind is Kind.VCEK:
        assert follow(found[0], vek) == found[1:]


@pytest.mark.parametrize("name", ["genoa_crl.der", "milan_crl.der"])
def test_amds_lists(name):
    wanted = Wanted(Kind.CRL, f"amd/{name.partition('_')[0]}/crl.der", ("https://kdsintf.amd.com/vcek/v1/Milan/crl",))
    (contents,) = answered(wanted, blobs(f"sev-snp/trust/{name}"))
    assert "revocation list of ARK-" in contents.what


@pytest.mark.parametrize("told", cases("quote", "tcb_info", "pck_crl") + cases("td_quote", "tcb_info", "pck_crl"))
def test_tdx(told):
    tee = TeeEvidence("tdx", told.get("quote") or told["td_quote"], (), b"", b"")
    if "hcl_report" in told:
        tee = TeeEvidence("azure-tdx", told["hcl_report"], (), told["td_quote"], b"")
    tcb, qe, pck, root = plan(evidence(tee=tee))
    for one, body, chain in (
        (tcb, "tcb_info", "tcb_info_issuer_chain"),
        (qe, "qe_identity", "qe_identity_issuer_chain"),
    ):
        headers = {ISSUER_CHAINS[one.kind].lower(): quote(told[chain].decode())}
        assert len(answered(one, told[body], **headers)) == 2
    assert answered(pck, told["pck_crl"])
    assert answered(root, told["root_ca_crl"])


@pytest.mark.parametrize("told", cases("hcl_report", "vcek"))
def test_azures_snp(told):
    found = plan(evidence(tee=TeeEvidence("azure-snp", told["hcl_report"], (), b"", b"")))
    assert answered(found[0], told["vcek"])


@pytest.mark.parametrize(
    "told", cases("leaf", "intermediates") + cases("ak_cert", "intermediates") + cases("ak_cert", "ak_intermediates")
)
def test_keys_of_clouds(told):
    """What the evidence brings is not asked for; a leaf alone wants its issuer, which some of Azure's do not name."""
    roots, leaf = shipped_roots().tpm, told.get("leaf") or told["ak_cert"]
    others = told.get("intermediates") or told["ak_intermediates"]
    ders = tuple(parse_pem_or_der(one, "intermediate")[0] for one in others)
    assert tpm.plan((leaf, *ders), roots, ()) == ()
    given = tuple(parse_certificate(der, "intermediate") for der in ders)
    (one,) = tpm.plan((leaf,), roots, given)
    assert answered(one, one.given)
    if "ak_cert" in told and "hcl_report" in told:
        with pytest.raises(EvidenceError, match="'Global Virtual TPM CA - 03' is missing"):
            tpm.plan((leaf,), roots, ())
    elif "leaf" in told:
        (one,) = tpm.plan((leaf,), roots, ())
        assert [body for body in others if issued(one, body)]


def issued(wanted, body):
    try:
        return answered(wanted, body)
    except EvidenceError:
        return ()


@pytest.mark.parametrize("told", cases("evidence", "cert_chain"))
def test_devices(told):
    chain = parse_pem_or_der(told["cert_chain"], "chain")
    found = nvidia.plan(told["evidence"], chain, shipped_roots().nvidia, "gpu")
    kinds = [one.kind for one in found]
    assert kinds.count(Kind.RIM) in (1, 2)
    assert kinds.count(Kind.OCSP) == 3
    assert all(permitted(url) for one in found for url in one.urls)


@pytest.mark.parametrize("path", [path for path in RIMS if not path.name.startswith("bad")], ids=lambda path: path.name)
def test_rims(path):
    data = path.read_bytes()
    assert read("nvidia/rim/NV_GPU_DRIVER_GH100_1.xml", data).what
    wanted = Wanted(Kind.RIM, "nvidia/rim/NV_GPU_DRIVER_GH100_1.xml", ())
    assert [one.kind for one in follow(wanted, data)] == [Kind.OCSP] * 3


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("hopper-sdk-535.86", "1010_0200_882_96005E0001"),
        ("nvswitch-ls10", "NV_SWITCH_BIOS_5612_0002_890_9610550001"),
    ],
)
def test_a_rim_has_the_name_that_the_device_leads_to(folder, name):
    evidence_, chain = (blobs(f"nvidia-gpu/{folder}/{file}") for file in ("evidence.bin", "cert_chain.pem"))
    found = nvidia.plan(evidence_, parse_pem_or_der(chain, "chain"), shipped_roots().nvidia, "gpu")
    assert [one.path for one in found if name in one.path]
