"""Vendors that are slow, busy, wrong or not themselves: bounded in time, size and type, and nothing is half done."""

from __future__ import annotations

import json
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from client_sdk.errors import FetchError
from client_sdk.gather.hosts import hosts, permitted
from client_sdk.gather.wanted import TERMS, Kind, Wanted
from client_sdk.gather.web import Web
from client_sdk.parse.snp import Product
from tests.fakes.gathering import NOW, TDX_NOW, aia, authority, evidence, files, gather, google_ak, snp, tdx
from tests.fakes.loopback import LeftLoopbackError, deaf_address, mute_address, resolve
from tests.fakes.simulated_cloud_tpm import google_root
from tests.fakes.simulated_nvidia import SimulatedGpu
from tests.fakes.simulated_snp import SimulatedSnp
from tests.fakes.simulated_tdx import FMSPC, SimulatedTdx
from tests.fakes.simulated_vm import NOW as TODAY
from tests.fakes.simulated_vm import TestCa, ec_key
from tests.fakes.vendors import INTEL, KDS, OCSP, PCS, POOL, RIM, Reply

CRL, CHAIN = "/vcek/v1/Milan/crl", "/vcek/v1/Milan/cert_chain"
TCB = f"/tdx/certification/v4/tcb?fmspc={FMSPC.hex()}"
CA_URL = f"http://{POOL}/03fac923d36887044de8/ca.crt"
PORTAL = b"<html><title>Sign in to the airport's network</title></html>"


@pytest.fixture
def chip(vendors):
    """A chip that AMD knows; what goes wrong is its revocation list."""
    made = SimulatedSnp()
    vendors.chips.append(made)
    made.data = evidence(tee=snp(made))
    return made


def failed(run, *, count=1):
    assert len(run.collected.failures) == count, run.collected.failures
    assert not run.changed
    return run.collected.failures[0]


def test_only_loopback_is_reached(vendors, chip, tmp_path):
    """The guard: without the fake's map a vendor's name is not even looked up, and no address is connected to."""
    with pytest.raises(LeftLoopbackError):
        socket.getaddrinfo(KDS, 443)
    with socket.socket() as sock, pytest.raises(LeftLoopbackError):
        sock.connect(("192.0.2.1", 443))
    gather(chip.data, tmp_path / "out")
    assert {name for name, _ in vendors.led} == {KDS}


def test_only_the_needed_ids_leave(vendors, chip, tmp_path):
    gather(chip.data, tmp_path / "out")
    wanted = f"/vcek/v1/Milan/{chip.hwid.hex()}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"
    assert vendors.asked(KDS) == [wanted, CHAIN, CRL]
    assert set(vendors.bodies) == {b""}
    for headers in vendors.headers:
        assert headers == {
            "host": KDS,
            "user-agent": "vitrine-collateral",
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "close",
        }


def test_turins_chip_id_is_cut_and_its_fmc_told(vendors, tmp_path):
    turin = SimulatedSnp(Product.TURIN)
    vendors.chips.append(turin)
    gather(evidence(tee=snp(turin)), tmp_path / "out")
    asked = vendors.asked(KDS)[0]
    assert asked == f"/vcek/v1/Turin/{turin.hwid.hex()}?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81"
    assert len(turin.hwid) == 8


def test_a_report_without_cpuid_is_asked_for_in_both_products(vendors, tmp_path):
    genoa = SimulatedSnp(Product.GENOA)
    genoa.version, genoa.cpuid = 2, (0, 0, 0)
    vendors.chips.append(genoa)
    gather(evidence(tee=snp(genoa)), tmp_path / "out")
    assert [target.split("/")[3] for target in vendors.asked(KDS)] == ["Milan", "Genoa", "Genoa", "Genoa"]
    assert "amd/genoa/ask.der" in files(tmp_path / "out")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_vendor_that_asks_to_wait(vendors, chip, tmp_path, status):
    good = Reply(chip.ark.crl(), "application/pkix-crl")
    vendors.replies[KDS, CRL] = [Reply(status=status, headers={"Retry-After": "7"}), good]
    run = gather(chip.data, tmp_path / "out")
    assert run.changed
    assert 7.0 in run.waited
    assert any(f"waiting 7 s: https://{KDS}{CRL} answered HTTP {status}" in line for line in run.said)


def test_a_date_to_wait_for(vendors, chip, tmp_path):
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    good = Reply(chip.ark.crl(), "application/pkix-crl")
    vendors.replies[KDS, CRL] = [Reply(status=429, headers={"Retry-After": moment}), good]
    assert any(20 < pause < 31 for pause in gather(chip.data, tmp_path / "out").waited)


@pytest.mark.parametrize("header", ["", "soon", "-1", "1e9", "٣"])
def test_a_vendor_that_does_not_say_how_long_is_left_longer_each_time(vendors, chip, tmp_path, header):
    headers = {"Retry-After": header.encode().decode("latin-1")} if header else {}
    vendors.replies[KDS, CRL] = [Reply(status=429, headers=headers)]
    run = gather(chip.data, tmp_path / "out")
    assert "HTTP 429" in failed(run)
    assert [pause for pause in run.waited if pause >= 2] == [2.0, 4.0, 8.0]
    assert vendors.asked(KDS).count(CRL) == 4


def test_a_vendor_that_wants_an_hour_is_not_waited_for(vendors, chip, tmp_path):
    vendors.replies[KDS, CRL] = [Reply(status=429, headers={"Retry-After": "3600"})]
    run = gather(chip.data, tmp_path / "out")
    failed(run)
    assert vendors.asked(KDS).count(CRL) == 1
    assert run.collected.retry_after == 3600
    assert max(run.waited) <= 1.0


def test_a_vendor_that_wants_an_hour_is_not_asked_for_anything_else(vendors, chip, tmp_path):
    first = f"/vcek/v1/Milan/{chip.hwid.hex()}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"
    vendors.replies[KDS, first] = [Reply(status=429, headers={"Retry-After": "3600"})]
    run = gather(chip.data, tmp_path / "out")
    failed(run, count=3)
    assert vendors.asked(KDS) == [first]
    assert ["was not asked, after its host failed" in line for line in run.collected.failures] == [False, True, True]
    assert run.collected.retry_after == 3600


def test_a_vendor_that_is_away_costs_its_time_limit_once(vendors, chip, tmp_path):
    gpu = SimulatedGpu()
    vendors.add_gpu(gpu)
    data = evidence(tee=snp(chip), gpus=(gpu,))
    vendors.replies[OCSP, "/"] = [Reply(b"0" * 100, "application/ocsp-response", cut=1)]
    run = gather(data, tmp_path / "out")
    failed(run, count=6)
    assert len(vendors.asked(OCSP)) == 4  # the tries of the first one
    assert len(run.collected.found) == 5


def test_a_mirror_is_asked_though_the_other_is_away(vendors, tmp_path):
    names = [f"{place}.pki.core.windows.net" for place in ("primary-cdn", "secondary-cdn")]
    tpm = google_ak(*(f"http://{name}/ca.crt" for name in names))
    vendors.replies[names[0], "/ca.crt"] = [Reply(status=503)]
    vendors.publish(f"http://{names[1]}/ca.crt", tpm.ca.der)
    assert gather(evidence(ak=(tpm.certificate(),)), tmp_path / "out", now=TODAY).changed


def test_amd_is_asked_once_a_second_and_intel_at_once(vendors, chip, tmp_path):
    vendors.platforms.append(FMSPC.hex())
    assert len(gather(chip.data, tmp_path / "amd").waited) == 2  # three requests
    assert gather(evidence(tee=tdx(SimulatedTdx(vendors.intel))), tmp_path / "intel", now=TDX_NOW).waited == []


def test_a_chip_that_amd_does_not_know(vendors, chip, tmp_path):
    vendors.chips.clear()
    message = failed(gather(chip.data, tmp_path / "out"), count=3)
    assert "VCEK certificate" in message
    assert "HTTP 404: the vendor does not know it" in message
    assert not (tmp_path / "out").exists()


def test_a_platform_that_intel_does_not_know(vendors, tmp_path):
    run = gather(evidence(tee=tdx(SimulatedTdx(vendors.intel))), tmp_path / "out", now=TDX_NOW)
    assert f"tcb?fmspc={FMSPC.hex()} answered HTTP 404" in failed(run)


def test_a_driver_without_a_rim(vendors, tmp_path):
    gpu = SimulatedGpu()
    vendors.add_gpu(gpu)
    del vendors.rims["NV_GPU_DRIVER_GH100_590.12"]
    run = gather(evidence(gpus=(gpu,)), tmp_path / "out")
    assert "RIM file: https://rim.attestation.nvidia.com/v1/rim/NV_GPU_DRIVER_GH100_590.12 answered" in failed(run)


def test_all_failures_are_reported_together_and_what_came_is_kept(vendors, chip, tmp_path):
    vendors.replies = {(KDS, CRL): [Reply(status=404)], (KDS, CHAIN): [Reply(status=404)]}
    assert len(gather(chip.data, tmp_path / "out", cache=tmp_path / "cache").collected.failures) == 2
    vendors.replies = {}
    vendors.requests.clear()
    assert gather(chip.data, tmp_path / "out", cache=tmp_path / "cache").changed
    assert vendors.asked(KDS) == [CHAIN, CRL]


BROKEN = {
    "truncated": Reply(b"0" * 900, "application/pkix-crl", cut=100),
    "empty": Reply(b"", "application/pkix-crl"),
    "no list": Reply(b"\x30\x03\x02\x01\x00", "application/pkix-crl"),
    "html": Reply(PORTAL, "text/html"),
    "html that says that it is a list": Reply(PORTAL, "application/pkix-crl"),
    "no type": Reply(b"0", ""),
    "packed": Reply(b"0", "application/pkix-crl", headers={"Content-Encoding": "gzip"}),
    "refused": Reply(b"", "text/plain", 403),
    "nothing to say": Reply(b"", "application/pkix-crl", 204),
    "partial": Reply(b"0", "application/pkix-crl", 206),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_none(vendors, chip, tmp_path, reply):
    vendors.replies[KDS, CRL] = [reply]
    assert "revocation list: " in failed(gather(chip.data, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/html; charset=utf-8", "x"])
def test_the_right_answer_as_another_type(vendors, chip, tmp_path, kind):
    vendors.replies[KDS, CRL] = [Reply(chip.ark.crl(), kind)]
    assert "which is another kind of thing" in failed(gather(chip.data, tmp_path / "out"))


def test_the_right_answer_in_an_encoding_that_nobody_asked_for(vendors, chip, tmp_path):
    headers = {"Content-Encoding": "br"}
    vendors.replies[KDS, CRL] = [Reply(chip.ark.crl(), "application/pkix-crl", headers=headers)]
    failed(gather(chip.data, tmp_path / "out"))


@pytest.mark.parametrize("kind", ["", "application/pkix-crl; x=y", "Application/PKIX-CRL"])
def test_types_are_read_as_the_standard_has_it(vendors, chip, tmp_path, kind):
    vendors.replies[KDS, CRL] = [Reply(chip.ark.crl(), kind)]
    assert gather(chip.data, tmp_path / "out").changed


def test_a_connection_that_breaks_off_is_tried_again(vendors, chip, tmp_path):
    body = chip.ark.crl()
    broken, good = (Reply(body, "application/pkix-crl", cut=cut) for cut in (100, 0))
    vendors.replies[KDS, CRL] = [broken, broken, good]
    assert gather(chip.data, tmp_path / "out").changed


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", [f"https://{KDS}/vcek/v1/Genoa/crl", "https://evil.example/", "file:///etc/passwd"])
def test_a_redirect_is_not_followed(vendors, chip, tmp_path, status, target):
    vendors.replies[KDS, CRL] = [Reply(status=status, headers={"Location": target})]
    assert "redirects" in failed(gather(chip.data, tmp_path / "out"))
    assert {name for name, _ in vendors.led} == {KDS}
    assert len(vendors.asked(KDS)) == 3


@pytest.mark.parametrize("kind", [Kind.VCEK, Kind.AMD_CA, Kind.TCB_INFO, Kind.RIM, Kind.OCSP])
def test_an_answer_over_its_limit(vendors, tmp_path, kind):
    vendors.platforms.append(FMSPC.hex())
    chip, gpu = SimulatedSnp(), SimulatedGpu()
    vendors.chips.append(chip)
    vendors.add_gpu(gpu)
    terms = TERMS[kind]
    big = Reply(b" " * (terms.limit + 1), min(terms.types))
    first = f"/vcek/v1/Milan/{chip.hwid.hex()}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"
    place = {
        Kind.VCEK: (KDS, first),
        Kind.AMD_CA: (KDS, CHAIN),
        Kind.TCB_INFO: (PCS, TCB),
        Kind.RIM: (RIM, "/v1/rim/NV_GPU_DRIVER_GH100_590.12"),
        Kind.OCSP: (OCSP, "/"),
    }[kind]
    vendors.replies[place] = [big]
    if kind is Kind.TCB_INFO:
        run = gather(evidence(tee=tdx(SimulatedTdx(vendors.intel))), tmp_path / "out", now=TDX_NOW)
    else:
        run = gather(evidence(tee=snp(chip), gpus=(gpu,)), tmp_path / "out")
    assert f"more than the {terms.limit} bytes" in run.collected.failures[0]
    assert vendors.requests.count(place) == (6 if kind is Kind.OCSP else 1)  # not tried again; six certificates


def test_a_slow_drip_does_not_outlive_the_time_limit(vendors, chip, tmp_path):
    vendors.replies[KDS, CRL] = [Reply(chip.ark.crl(), "application/pkix-crl", after=0.05)]
    started = time.monotonic()
    run = gather(chip.data, tmp_path / "out", seconds=0.5)
    assert re.search("timed out|time limit", failed(run))
    assert time.monotonic() - started < 10


def test_a_slow_drip_without_tls_does_not_either(vendors, tmp_path):
    tpm = google_ak(CA_URL)
    vendors.replies[POOL, "/03fac923d36887044de8/ca.crt"] = [
        Reply(tpm.ca.der, "application/x-x509-ca-cert", after=0.05)
    ]
    started = time.monotonic()
    run = gather(evidence(ak=(tpm.certificate(),)), tmp_path / "out", now=TODAY, seconds=0.5)
    assert re.search("timed out|time limit", failed(run))
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("dead", [deaf_address, mute_address])
def test_addresses_that_are_silent_leave_time_of_the_limit_for_the_one_behind_them(vendors, monkeypatch, dead):
    vendors.replies[KDS, CRL] = [Reply(b"a list", "application/pkix-crl")]
    here, url = ("127.0.0.1", vendors.ports.pop(443)), f"https://{KDS}{CRL}"
    with dead() as silent:
        resolve(monkeypatch, silent, silent, here)
        began = time.monotonic()
        answer = Web(seconds=3, say=pytest.fail).ask(Wanted(Kind.CRL, "crl.der", (url,)), url)
        assert time.monotonic() - began < 3
    assert answer.body == b"a list"


def test_many_addresses_of_which_none_answers_share_one_time_limit(vendors, chip, tmp_path, monkeypatch):
    vendors.ports.clear()
    with deaf_address() as deaf:
        resolve(monkeypatch, *[deaf] * 8)
        began = time.monotonic()
        assert "is there a network?" in failed(gather(chip.data, tmp_path / "out", seconds=0.5), count=3)
        assert time.monotonic() - began < 6  # four tries


def test_nobody_there(vendors, chip, tmp_path, monkeypatch):
    vendors.ports[443] = 9
    message = failed(gather(chip.data, tmp_path / "out"), count=3)
    assert "is there a network?" in message


def test_a_server_that_this_systems_roots_do_not_vouch_for(vendors, chip, tmp_path, monkeypatch):
    other = tmp_path / "other.pem"
    other.write_bytes(TestCa("other", key=ec_key("other ca")).pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    run = gather(chip.data, tmp_path / "out")
    assert "is not trusted by this system" in failed(run, count=3)
    assert vendors.requests == []
    assert [pause for pause in run.waited if pause > 1] == []  # waiting does not help


def test_a_certificate_for_another_name(vendors, tmp_path):
    """The fake has no certificate for this mirror, so nothing is sent to it."""
    tpm = google_ak("https://crl.microsoft.com/pki/ca.crt")
    run = gather(evidence(ak=(tpm.certificate(),)), tmp_path / "out", now=TODAY)
    assert "not trusted by this system: Hostname mismatch" in failed(run)
    assert vendors.requests == []


def test_the_environments_proxy_is_used(vendors, chip, tmp_path, monkeypatch):
    proxy = f"http://127.0.0.1:{vendors.ports[80]}"
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    tpm = google_ak(CA_URL)
    vendors.publish(CA_URL, tpm.ca.der)
    assert gather(chip.data, tmp_path / "amd").changed
    assert gather(evidence(ak=(tpm.certificate(),)), tmp_path / "google", now=TODAY).changed
    assert vendors.tunnels == [f"{KDS}:443"] * 3 + [CA_URL]
    assert vendors.led == []


def test_no_proxy_is_honoured_too(vendors, chip, tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "amd.com")
    assert gather(chip.data, tmp_path / "out").changed


FORBIDDEN = [
    "file:///etc/passwd",
    "ftp://www.microsoft.com/pkiops/certs/ca.crt",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1/pkiops/certs/ca.crt",
    "http://[::1]/ca.crt",
    "http://localhost/ca.crt",
    "http://evil.example/ca.crt",
    "http://www.microsoft.com.evil.example/pkiops/certs/ca.crt",
    "http://evil.example/www.microsoft.com/pkiops/certs/ca.crt",
    "http://www.microsoft.com@evil.example/pkiops/certs/ca.crt",
    "http://www.microsoft.com:8080/pkiops/certs/ca.crt",
    "http://www.microsoft.com/other/ca.crt",
    "http://wwwXmicrosoft.com/pkiops/certs/ca.crt",
    "http://storage.googleapis.com/bucket/ca.crt",
    "http://anything.storage.googleapis.com/ca.crt",
    "http://a.b.c.pki.core.windows.net/ca.crt",
    "http://pki.core.windows.net/ca.crt",
    "http://kdsintf.amd.com/vcek/v1/Milan/crl",
    "https://kdsintf.amd.com/other",
    "http://pki.goog/cloud_integrity/a b",
    "http://pki.goog/cloud_integrity/a\r\nHost: evil.example",
    "http://pki.goog/cloud_integrity/" + "a" * 2000,
    "",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_an_address_that_is_no_vendors_is_never_asked(vendors, tmp_path, url):
    tpm = google_ak(url)
    run = gather(evidence(ak=(tpm.certificate(),)), tmp_path / "out", now=TODAY)
    assert "is no address of a vendor" in failed(run)
    assert (vendors.led, vendors.requests) == ([], [])


def test_a_forbidden_address_does_not_hide_the_next_one(vendors, tmp_path):
    tpm = google_ak("file:///etc/passwd", CA_URL)
    vendors.publish(CA_URL, tpm.ca.der)
    assert gather(evidence(ak=(tpm.certificate(),)), tmp_path / "out", now=TODAY).changed


def test_a_ca_that_did_not_issue_what_names_it(vendors, tmp_path):
    tpm = google_ak(CA_URL)
    vendors.publish(CA_URL, authority("another", google_root()).der)
    run = gather(evidence(ak=(tpm.certificate(),)), tmp_path / "out", now=TODAY)
    assert "did not issue the certificate that names it" in failed(run)


def test_cas_that_never_end(vendors, tmp_path):
    """Each CA says that there is one above it: the search ends, at the last one that anybody serves."""
    above = google_root()
    chain = [above]
    for number in range(6):
        above = authority(f"endless {number}", above, f"http://{POOL}/{number}.crt")
        chain.append(above)
        if number:
            vendors.publish(f"http://{POOL}/{number}.crt", chain[-2].der)
    tpm = google_ak(f"http://{POOL}/top.crt", ca=above)
    vendors.publish(f"http://{POOL}/top.crt", above.der)
    run = gather(evidence(ak=(tpm.certificate(),)), tmp_path / "out", now=TODAY)
    assert len(run.collected.found) == 6


def test_the_right_answer_about_something_else(vendors, chip, tmp_path):
    other = SimulatedSnp()
    other.hwid = bytes(64)
    first = f"/vcek/v1/Milan/{chip.hwid.hex()}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"
    other.extensions["4"] = bytes(64)
    vendors.replies[KDS, first] = [Reply(other.certificate(), "application/pkix-cert")]
    assert "of another chip or TCB" in failed(gather(chip.data, tmp_path / "out"))
    chip.levels[8] += 1
    vendors.replies[KDS, first] = [Reply(chip.certificate(), "application/pkix-cert")]
    assert "of another chip or TCB" in failed(gather(chip.data, tmp_path / "out"))


def test_another_products_chain(vendors, chip, tmp_path):
    genoa = SimulatedSnp(Product.GENOA)
    vendors.chips.append(genoa)
    body = vendors.reply(KDS, "/vcek/v1/Genoa/cert_chain", b"").body
    vendors.replies[KDS, CHAIN] = [Reply(body, "application/x-pem-file")]
    assert "no certificate of SEV-Milan among 2" in failed(gather(chip.data, tmp_path / "out"))


INTELS = {
    "no issuers": {"headers": {}},
    "issuers that are none": {"headers": {"TCB-Info-Issuer-Chain": "%2D%2D"}},
    "another platform": {"fmspc": "ABCDEF012345"},
    "edited so that it is no JSON": {"cut": 10},
}


@pytest.mark.parametrize("change", INTELS.values(), ids=INTELS)
def test_tcb_info_that_is_not_the_wanted_one(vendors, tmp_path, change):
    vendors.platforms.append(FMSPC.hex())
    vendors.intel.tcb_info |= {"fmspc": change["fmspc"]} if "fmspc" in change else {}
    reply = vendors.reply(PCS, TCB, b"")
    reply.headers = change.get("headers", reply.headers)
    reply.body = reply.body[: len(reply.body) - change.get("cut", 0)]
    vendors.replies[PCS, TCB] = [reply]
    run = gather(evidence(tee=tdx(SimulatedTdx(vendors.intel))), tmp_path / "out", now=TDX_NOW)
    assert "TCB info: " in failed(run)


RIMS = {
    "another id": lambda value: value | {"id": "NV_GPU_DRIVER_GH100_590.13"},
    "no file": lambda value: {name: value[name] for name in value if name != "rim"},
    "no base64": lambda value: value | {"rim": "!"},
    "no XML": lambda value: value | {"rim": "AAAA"},
    "a list": lambda value: [value],
}


@pytest.mark.parametrize("change", RIMS.values(), ids=RIMS)
def test_a_rim_that_is_none(vendors, tmp_path, change):
    gpu = SimulatedGpu()
    vendors.add_gpu(gpu)
    target = "/v1/rim/NV_GPU_DRIVER_GH100_590.12"
    value = change(json.loads(vendors.reply(RIM, target, b"").body))
    vendors.replies[RIM, target] = [Reply(json.dumps(value).encode(), "application/json")]
    assert "RIM file: " in failed(gather(evidence(gpus=(gpu,)), tmp_path / "out"))


def test_a_responder_that_refuses(vendors, tmp_path):
    gpu = SimulatedGpu()
    vendors.add_gpu(gpu)
    vendors.certified = vendors.certified[1:]
    message = failed(gather(evidence(gpus=(gpu,)), tmp_path / "out"))
    assert "the responder refused to answer (UNAUTHORIZED)" in message


def test_an_answer_that_has_expired(vendors, chip, tmp_path):
    old = chip.ark.crl(dates=(NOW - timedelta(days=40), NOW - timedelta(days=10)))
    vendors.replies[KDS, CRL] = [Reply(old, "application/pkix-crl")]
    assert "is this machine's clock right?" in failed(gather(chip.data, tmp_path / "out"))


def test_each_host_has_a_purpose_and_its_addresses_are_permitted():
    assert all(host.what and host.told and host.paths and host.schemes for host in hosts())
    for url in (f"https://{KDS}{CRL}", f"https://{PCS}{TCB}", f"https://{INTEL}/IntelSGXRootCA.der", CA_URL):
        assert permitted(url).what
    with pytest.raises(FetchError, match="no address of a vendor"):
        permitted("https://example.com/")


def test_the_extension_is_read_as_far_as_it_is_an_address(vendors, tmp_path):
    tpm = google_ak(*[f"http://evil.example/{number}" for number in range(20)])
    run = gather(evidence(ak=(tpm.certificate(),)), tmp_path / "out", now=TODAY)
    assert "evil.example/7" in failed(run)  # eight, and no more
    assert aia(())[0] is not None
