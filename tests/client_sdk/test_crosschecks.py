"""The vectors judged a second time by other people's code, because simulator and verifier could share a mistake.

Every control's signatures, chains, revocation lists and OCSP answers go to the ``openssl`` command, which knows nothing
of us; attacks on them have to be refused there as well, where openssl has a word on them.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from client_sdk.fields import instant
from client_sdk.verify.tdx_collateral import Collateral
from tests.client_sdk.test_differential_tdx import REFUSED, theirs
from tests.vectors.manifest import vectors

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl command to compare with")
VECTORS = {vector.id: vector for vector in vectors()}
PEM = b"-----BEGIN"


def of(stage, *, rules=None, needs=()):
    """Return the controls of a stage, or the attacks that these rules refuse, as parameters with their ids."""
    return [
        pytest.param(vector, id=vector.id)
        for vector in VECTORS.values()
        if vector.stage == stage
        and (not vector.rules if rules is None else vector.rules and vector.rules[0] in rules)
        and all(vector.fields.get(name) for name in needs)
    ]


def openssl(folder, *words, ok=True) -> str:
    done = subprocess.run(("openssl", *words), cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def data(text: str) -> bytes:
    return base64.b64decode(text)


def ders(blob: bytes) -> list[bytes]:
    """Return the certificates of a field: DER as it is, or each of a PEM bundle."""
    if PEM not in blob[:64]:
        return [blob]
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----(.*?)-----END", blob, re.DOTALL)
    return [base64.b64decode(b"".join(block.split())) for block in blocks]


def pem(folder, name, certificates: list[bytes]) -> str:
    head, tail = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
    (folder / name).write_bytes(b"".join(head + base64.encodebytes(der) + tail for der in certificates))
    return name


def key_of(folder, certificate: bytes) -> str:
    its = pem(folder, "its.pem", [certificate])
    (folder / "key.pem").write_text(openssl(folder, "x509", "-in", its, "-pubkey", "-noout"))
    return "key.pem"


def verify(folder, leaf: bytes, others: list[bytes], roots: list[bytes], now: str, *more, ok=True) -> None:
    """Let ``openssl verify`` judge a chain at an instant."""
    seconds = str(int(instant(now, "now").timestamp()))
    words = ["verify", "-no-CApath", "-no-CAstore", "-attime", seconds, "-CAfile", pem(folder, "roots.pem", roots)]
    words += ["-untrusted", pem(folder, "others.pem", others)] if others else []
    openssl(folder, *words, *more, pem(folder, "leaf.pem", [leaf]), ok=ok)


def signed(folder, certificate: bytes, message: bytes, signature: bytes, used: str, *, ok=True) -> None:
    """Let ``openssl dgst`` judge a signature in DER."""
    (folder / "message").write_bytes(message)
    (folder / "signature").write_bytes(signature)
    key = key_of(folder, certificate)
    openssl(folder, "dgst", f"-{used}", "-verify", key, "-signature", "signature", "message", ok=ok)


# ---- SEV-SNP


def snp_parts(vector):
    """Take a report apart by its published layout alone (AMD 56860, tables 23 and 139)."""
    report = data(vector.request["report"])
    r, s = (int.from_bytes(report[start : start + 72], "little") for start in (0x2A0, 0x2E8))
    return report[:0x2A0], encode_dss_signature(r, s)


@pytest.mark.parametrize("vector", of("snp"))
def test_the_signature_of_an_snp_report(vector, tmp_path):
    signed(tmp_path, data(vector.request["vek"]), *snp_parts(vector), "sha384")


@pytest.mark.parametrize("vector", of("snp", rules={"T2.13"}))
def test_a_forged_snp_report(vector, tmp_path):
    signed(tmp_path, data(vector.request["vek"]), *snp_parts(vector), "sha384", ok=False)


def amd(vector):
    request = vector.request
    others = ders(data(request["amd_chain"])) if "amd_chain" in request else []
    roots = [der for root in request["roots"] for der in ders(data(root))]
    return data(request["vek"]), [der for der in others if der not in roots], roots, request["now"]


@pytest.mark.parametrize("vector", [*of("snp"), *of("snp-cert")])
def test_a_chain_of_amds(vector, tmp_path):
    verify(tmp_path, *amd(vector))


# openssl has no word on weak hashes of these chains unless it is asked for a level, and names are no matter to us.
@pytest.mark.parametrize("vector", of("snp-cert", rules={"T2.1", "T2.2", "T2.3", "T2.4", "T2.5"}))
def test_a_chain_that_is_not_amds(vector, tmp_path):
    verify(tmp_path, *amd(vector), ok=False)


def crl_checked(vector, folder, *, ok=True):
    """Let openssl judge the ASK against the list of the ARK."""
    _, others, roots, now = amd(vector)
    (folder / "crl.der").write_bytes(data(vector.request["amd_crl"]))
    openssl(folder, "crl", "-inform", "DER", "-in", "crl.der", "-out", "crl.pem")
    verify(folder, others[0], [], roots, now, "-crl_check", "-CRLfile", "crl.pem", ok=ok)


@pytest.mark.parametrize("vector", of("snp-cert", needs=("amd_crl",)))
def test_a_revocation_list_of_amds(vector, tmp_path):
    crl_checked(vector, tmp_path)


OTHERWISE = {
    "snp-cert/a-list-too-old-for-the-caller": "the limit is the caller's own",
    "snp-cert/an-older-list-than-the-caller-takes": "the limit is the caller's own",
    "snp-cert/a-list-without-end": "openssl takes a list that names no day of the next one",
    "snp-cert/a-revoked-root": "openssl looks at the certificate below the root alone",
}


@pytest.mark.parametrize("vector", of("snp-cert", rules={"T11.amd.1", "T11.amd.2", "T11.amd.3"}))
def test_a_revocation_list_that_is_refused(vector, tmp_path):
    crl_checked(vector, tmp_path, ok=vector.id in OTHERWISE)


# ---- clouds


def cloud(vector):
    request = vector.request
    roots = [der for root in request["roots"] for der in ders(data(root))]
    return data(request["ak_cert"]), [data(one) for one in request["ak_intermediates"]], roots, request["now"]


CLOUDS = [*of("gce-ak"), *of("azure-ak"), *of("tpm-quote", needs=("ak_cert",)), *of("azure-hcl", needs=("ak_cert",))]


@pytest.mark.parametrize("vector", CLOUDS)
def test_a_chain_of_a_clouds(vector, tmp_path):
    verify(tmp_path, *cloud(vector))


CHAIN = {"K1.1", "K1.2", "K1.3", "K1.4", "K1.5"}
FORGED = [*of("gce-ak", rules=CHAIN, needs=("roots",)), *of("azure-ak", rules=CHAIN, needs=("roots",))]


@pytest.mark.parametrize("vector", FORGED)
def test_a_chain_that_is_not_a_clouds(vector, tmp_path):
    verify(tmp_path, *cloud(vector), ok=False)


# ---- NVIDIA


def devices(vector):
    request = vector.request
    return request.get("devices") or [request]


@pytest.mark.parametrize("vector", of("nvidia-gpu"))
def test_the_chain_and_the_signature_of_gpu_evidence(vector, tmp_path):
    roots = [der for root in vector.request["roots"] for der in ders(data(root))]
    for device in devices(vector):
        leaf, *others = [der for one in device["certificates"] for der in ders(data(one))]
        verify(tmp_path, leaf, others, roots, vector.request["now"])
        evidence = data(device["evidence"])
        r, s = (int.from_bytes(part, "big") for part in (evidence[-96:-48], evidence[-48:]))
        signed(tmp_path, leaf, evidence[:-96], encode_dss_signature(r, s), "sha384")


def ocsp(folder, answer: bytes, issuer: bytes) -> str:
    """Let ``openssl ocsp`` judge an answer's signature and print what it says."""
    (folder / "answer.der").write_bytes(answer)
    name = pem(folder, "issuer.pem", [issuer])
    words = ["ocsp", "-respin", "answer.der", "-issuer", name, "-CAfile", name, "-partial_chain", "-no_nonce"]
    words += ["-verify_other", name, "-resp_text", "-attime", "1780315200"]
    done = subprocess.run(("openssl", *words), cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def answers(vector):
    for device in devices(vector):
        chain = [der for one in device["certificates"] for der in ders(data(one))]
        yield from ((data(one), issuer) for one, issuer in zip(device["ocsp"], chain[2:], strict=True))


@pytest.mark.parametrize("vector", of("nvidia-gpu", needs=("ocsp",)))
def test_ocsp_answers(vector, tmp_path):
    for answer, issuer in answers(vector):
        said = ocsp(tmp_path, answer, issuer)
        assert "Response verify OK" in said
        assert "Cert Status: good" in said


BAD_ANSWERS = {"G1.6.1", "G1.6.2", "G1.6.3", "G1.6.responder.1"}


@pytest.mark.parametrize("vector", of("nvidia-gpu", rules=BAD_ANSWERS, needs=("ocsp",)))
def test_ocsp_answers_that_are_refused(vector, tmp_path):
    said = [ocsp(tmp_path, *pair) for pair in answers(vector)]
    weak = vector.id.endswith("weak-hash")  # openssl has no word on the hash
    good = all("Response verify OK" in one and "Cert Status: good" in one for one in said)
    assert good is weak


# ---- TDX


PARTS = ("tcb_info", "tcb_info_issuer_chain", "qe_identity", "qe_identity_issuer_chain", "pck_crl", "root_ca_crl")


@pytest.mark.parametrize("vector", of("tdx"))
def test_a_td_quote_as_dcap_qvl_judges_it(vector):
    request = vector.request
    collateral = Collateral(*[data(request[part]) for part in PARTS])
    now = instant(request["now"], "now")
    verdict = theirs(data(request["quote"]), collateral, data(request["roots"][0]), now)
    if verdict[0] == REFUSED and "ends-this-second" in vector.id:  # dcap-qvl's last second is the one before
        verdict = theirs(data(request["quote"]), collateral, data(request["roots"][0]), now - timedelta(seconds=1))
    assert verdict == ("UpToDate", ())


GENUINE = ("T6.4", "T6.5", "T6.6", "T6.7", "T6.9", "T6.10", "T6.11", "T7.1.1", "T7.1.2", "T7.3.1", "T7.3.3", "T7.4.3")
GENUINE += ("T7.6.1", "T7.8", "T7.9", "T7.11", "T7.13", "T7.15")


@pytest.mark.parametrize("vector", of("tdx", rules=set(GENUINE)))
def test_a_forged_td_quote_as_dcap_qvl_judges_it(vector):
    request = vector.request
    collateral = Collateral(*[data(request[part]) for part in PARTS])
    root, now = data(request["roots"][0]), instant(request["now"], "now")
    verdict = theirs(data(request["quote"]), collateral, root, now)
    print(vector.id, verdict)
    assert verdict[0] == REFUSED
