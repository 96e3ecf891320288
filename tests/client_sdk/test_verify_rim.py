"""RIM rules (G3) and the clauses over devices (G1.7, G3.10, G3.11, G4): every attack breaks exactly one."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from hashlib import sha384

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from client_sdk.clauses.nvidia import AnyDevice, Count, NvidiaDevices
from client_sdk.errors import VerificationError
from client_sdk.report import Ledger, show
from client_sdk.verify.nvidia import Revocation
from client_sdk.verify.rim import Appraisal, verify_measurements, verify_rim
from tests.client_sdk.test_verify_nvidia import UNKNOWN, WEEK, verified
from tests.fakes.simulated_nvidia import (
    BLACKWELL,
    C14N,
    DSIG,
    NOW,
    SimulatedGpu,
    SimulatedOcsp,
    SimulatedRim,
    ca_extensions,
    device_root,
    issue,
    p384,
    rim_root,
    signer_extensions,
)
from tests.fakes.simulated_vm import ec_key, usage


def read(rim: SimulatedRim, *, answers=(), now=NOW, age=WEEK, root=None):
    return verify_rim(
        rim.data(),
        ((root or rim_root()).fields,),
        revocation=Revocation(tuple(answers), age),
        now=now,
        ledger=Ledger(),
    )


def refused(rim: SimulatedRim, rule: str, **options) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        read(rim, **options)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def test_control_is_accepted():
    rim = SimulatedRim()
    found = read(rim, answers=rim.ocsp())
    assert (found.rim.version, found.without_ocsp) == ("590.12", ())
    assert [record.index for record in found.rim.golden] == sorted(rim.golden)
    assert found.not_after == rim.signer_dates[1]


def test_control_with_a_declaration_and_a_comment():
    rim = SimulatedRim()
    rim.prologue = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- comment -->\n'
    rim.replace_after = ("<ns0:Entity", "<!-- not signed, and not read --><ns0:Entity")
    assert read(rim).rim.version == "590.12"


STATEMENT_ATTACKS = [
    ("exclusive canonical form", {"canonicalization": "http://www.w3.org/2001/10/xml-exc-c14n#"}),
    ("canonical form with comments", {"canonicalization": f"{C14N}#WithComments"}),
    ("a signature over SHA-256", {"method": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"}),
    ("an HMAC", {"method": "http://www.w3.org/2001/04/xmldsig-more#hmac-sha384"}),
    ("a digest of SHA-256", {"digest_method": "http://www.w3.org/2001/04/xmlenc#sha256"}),
    ("no transform", {"transforms": ()}),
    ("no canonical form", {"transforms": (f"{DSIG}enveloped-signature",)}),
    ("the signature signs itself", {"transforms": (C14N,)}),
    ("the other order", {"transforms": (C14N, f"{DSIG}enveloped-signature")}),
    ("a selection", {"transforms": (f"{DSIG}enveloped-signature", "http://www.w3.org/TR/1999/REC-xpath-19991116")}),
    ("a programme", {"transforms": (f"{DSIG}enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116")}),
    ("a part of the document", {"uri": "#payload"}),
    ("another document", {"uri": "https://example.org/"}),
    ("no reference's place", {"uri": None}),
    ("no reference", {"references": 0}),
    ("two references", {"references": 2}),
]


@pytest.mark.parametrize(
    ("attack", "change"),
    STATEMENT_ATTACKS,
)
def test_a_statement_of_another_form(attack, change):
    rim = SimulatedRim()
    for name, value in change.items():
        setattr(rim, name, value)
    refused(rim, "G3.1")


def test_a_statement_signed_by_somebody():
    rim = SimulatedRim()
    rim.sign_with = p384("impostor")
    refused(rim, "G3.2")


def test_a_statement_that_was_changed():
    rim = SimulatedRim()
    rim.stated_digest = sha384(b"x").digest()
    other = rim.data()
    digest = re.search(rb"<ds:DigestValue>(.*?)<", other).group(1).decode()
    control = SimulatedRim()
    true = re.search(rb"<ds:DigestValue>(.*?)<", control.data()).group(1).decode()
    control.replace_after = (true, digest)
    refused(control, "G3.2")


@pytest.mark.parametrize(
    "edit", [lambda v: v[:-1], lambda v: v + b"\0", lambda v: b"\0" + v, lambda _: b"", lambda v: v * 2]
)
def test_a_signature_of_another_length(edit):
    rim = SimulatedRim()
    rim.value = edit
    refused(rim, "G3.2")


DOCUMENT_ATTACKS = [
    ("another golden value", sha384(b"measurement 30").hexdigest(), sha384(b"attacker").hexdigest()),
    ("a record that is switched off", 'active="True"', 'active="False"'),
    ("another version", 'colloquialVersion="590.12"', 'colloquialVersion="590.13"'),
    ("another product name", 'product="GH100"', 'product="GB100"'),
    ("text where there was none", "<ns0:Entity", "x<ns0:Entity"),
    ("another role", 'role="tagCreator"', 'role="softwareCreator"'),
    ("one more namespace", "xmlns:SHA384=", 'xmlns:ns9="urn:x" xmlns:SHA384='),
]


@pytest.mark.parametrize(
    ("attack", "old", "new"),
    DOCUMENT_ATTACKS,
)
def test_a_document_that_was_changed(attack, old, new):
    rim = SimulatedRim()
    rim.replace_after = (old, new)
    refused(rim, "G3.3")


def test_only_the_digest_is_wrong():
    rim = SimulatedRim()
    rim.stated_digest = bytes(48)
    refused(rim, "G3.3")


def test_a_signer_of_another_maker():
    refused(SimulatedRim(), "G3.4.1", root=issue("rim root", None, ca_extensions(), key=p384("impostor")))
    rim = SimulatedRim()
    rim.authority = issue("rim authority", None, ca_extensions(), key=p384("impostor"))
    refused(rim, "G3.4.1")


def test_the_device_root_does_not_vouch_for_files():
    refused(SimulatedRim(), "G3.4.1", root=device_root())


@pytest.mark.parametrize("now", [NOW + timedelta(days=700), NOW - timedelta(days=200)])
def test_a_signer_outside_its_dates(now):
    refused(SimulatedRim(), "G3.4.2", now=now)


AUTHORITY_ATTACKS = [
    ("an authority that is no CA", "G3.4.3", "constraints", x509.BasicConstraints(ca=False, path_length=None)),
    ("an authority that may not issue", "G3.4.4", "usage", usage("digital_signature")),
    ("an authority with an extension that nobody reads", "G3.4.5", "unknown", UNKNOWN),
]


@pytest.mark.parametrize(
    ("attack", "rule", "part", "extension"),
    AUTHORITY_ATTACKS,
)
def test_an_authority_that_may_not_vouch(attack, rule, part, extension):
    rim = SimulatedRim()
    rim.authority = issue("rim authority", rim_root(), {**ca_extensions(), part: (extension, True)})
    refused(rim, rule)


def test_an_authority_over_a_weak_hash():
    rim = SimulatedRim()
    rim.authority = issue("rim authority", rim_root(), ca_extensions(), algorithm=hashes.SHA224())
    refused(rim, "G3.4.6")


SIGNER_ATTACKS = [
    ("a CA", "G3.5.1", "constraints", x509.BasicConstraints(ca=True, path_length=None)),
    ("a key for encryption", "G3.5.2", "usage", usage("key_encipherment")),
    ("a key for certificates as well", "G3.5.2", "usage", usage("digital_signature", "key_cert_sign")),
]


@pytest.mark.parametrize(
    ("attack", "rule", "part", "extension"),
    SIGNER_ATTACKS,
)
def test_a_signer_that_is_none(attack, rule, part, extension):
    rim = SimulatedRim()
    rim.signer_extensions = {**signer_extensions(), part: (extension, True)}
    refused(rim, rule)


def test_a_signer_without_usage():
    rim = SimulatedRim()
    rim.signer_extensions = {}
    refused(rim, "G3.5.2")


def test_a_signer_on_another_curve():
    rim = SimulatedRim()
    rim.signer_key = ec_key("p256")
    refused(rim, "G3.5.3")


OCSP_ATTACKS = [
    ("revoked", "G3.9.3", {"status": ocsp.OCSPCertStatus.REVOKED}),
    ("outdated", "G3.9.4", {"next_update": NOW - timedelta(minutes=1)}),
    ("by somebody", "G3.9.1", {"signer": issue("rim authority", None, ca_extensions(), key=p384("impostor"))}),
    ("a responder without the purpose", "G3.9.2", {"delegate": True, "responder_extensions": signer_extensions()}),
    (
        "a responder that expired",
        "G3.9.responder.2",
        {"delegate": True, "responder_dates": (NOW - timedelta(days=9), NOW - timedelta(days=1))},
    ),
]


@pytest.mark.parametrize(
    ("attack", "rule", "changes"),
    OCSP_ATTACKS,
)
def test_revocation_of_a_signer(attack, rule, changes):
    rim = SimulatedRim()
    made = SimulatedOcsp(rim.signer, rim.authority)
    for name, value in changes.items():
        setattr(made, name, value)
    refused(rim, rule, answers=(rim.ocsp()[1], made.response()))


def appraised(gpu: SimulatedGpu, *rims: SimulatedRim, answers=False) -> Appraisal:
    device = verified(gpu, answers=gpu.ocsp() if answers else ())
    files = tuple(read(rim, answers=rim.ocsp() if answers else ()) for rim in rims)
    return verify_measurements(device, files, ledger=Ledger())


def compared(rule: str, gpu: SimulatedGpu, *rims: SimulatedRim) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        appraised(gpu, *rims)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def test_control_of_both_files():
    found = appraised(SimulatedGpu(), SimulatedRim(), SimulatedRim.firmware())
    assert found.components == ("driver", "vbios")


def switch_rim() -> SimulatedRim:
    rim = SimulatedRim("96.10.55.00.01", {i: (sha384(b"switch %d" % (i + 1)).digest(),) for i in range(31)})
    rim.edition = "SWITCH"
    return rim


def test_control_of_a_switch():
    assert appraised(SimulatedGpu.switch(), switch_rim()).components == ("vbios",)


VERSION_ATTACKS = [
    ("another driver", 3, b"590.13\0"),
    ("no driver", 3, b"\0"),
    ("another firmware", 6, bytes.fromhex("00a5009602000000")),
]


@pytest.mark.parametrize(
    ("attack", "field", "value"),
    VERSION_ATTACKS,
)
def test_a_file_for_another_version(attack, field, value):
    gpu = SimulatedGpu()
    gpu.opaque[field] = value
    compared("G3.6.1", gpu, SimulatedRim(), SimulatedRim.firmware())


def test_a_file_without_a_version_fits_nothing():
    gpu, rim = SimulatedGpu(), SimulatedRim()
    del gpu.opaque[3]
    rim.version = ""
    compared("G3.6.1", gpu, rim)


def test_a_file_for_another_kind_of_device():
    rim = SimulatedRim()
    rim.edition = "SWITCH"
    compared("G3.6.2", SimulatedGpu(), rim)


def test_a_measurement_that_is_not_golden():
    gpu = SimulatedGpu()
    gpu.measurements[31] = sha384(b"attacker").digest()
    error = compared("G3.7", gpu, SimulatedRim())
    assert "record 30 (Measurement_30)" in str(error)


def test_every_golden_measurement_counts():
    rim = SimulatedRim()
    for index in rim.golden:
        gpu = SimulatedGpu()
        gpu.measurements[index + 1] = bytes([1]) * 48
        compared("G3.7", gpu, rim)


def test_a_golden_value_of_the_block_before():
    rim = SimulatedRim()
    rim.golden = {index: (sha384(b"measurement %d" % index).digest(),) for index in range(20, 40)}
    compared("G3.7", SimulatedGpu(), rim)


def test_a_measurement_that_is_missing():
    gpu = SimulatedGpu()
    del gpu.measurements[31]
    compared("G3.7", gpu, SimulatedRim())


def test_a_file_that_names_nothing():
    rim = SimulatedRim()
    rim.inactive, rim.golden = {**rim.inactive, **rim.golden}, {}
    compared("G3.7", SimulatedGpu(), rim)


def test_an_inactive_record_names_nothing():
    rim = SimulatedRim()
    rim.inactive[50] = (sha384(b"of another board").digest(),)
    assert appraised(SimulatedGpu(), rim).components == ("driver",)


def test_two_files_for_one_version():
    compared("G3.8.1", SimulatedGpu(), SimulatedRim(), SimulatedRim())


def test_a_measurement_in_two_files():
    firmware = SimulatedRim.firmware()
    firmware.golden[30] = (sha384(b"measurement 31").digest(),)
    compared("G3.8.2", SimulatedGpu(), SimulatedRim(), firmware)


PRODUCTION = NvidiaDevices(
    gpus=Count(1, 1),
    switches=Count(0, 0),
    devices=AnyDevice(),
    modes=frozenset({"single-gpu"}),
    rims=frozenset({"driver", "vbios"}),
    ocsp=True,
    flags=frozenset(),
    linked_switches=True,
)


def good(gpu: SimulatedGpu | None = None) -> Appraisal:
    return appraised(gpu or SimulatedGpu(), SimulatedRim(), SimulatedRim.firmware(), answers=True)


def failures(*appraisals: Appraisal, **changes) -> list[str]:
    ledger = Ledger()
    found = replace(PRODUCTION, **changes).judge(appraisals, ledger)
    failed = [check.id for check in ledger.checks if not check.passed]
    assert failed == [failure.clause.partition(":")[0] for failure in found]
    return failed


def test_control_of_the_clauses():
    assert failures(good()) == []


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_gpus(count):
    assert failures(*[good(SimulatedGpu(f"gpu {i}")) for i in range(count)]) == ["G4.1"]


def test_a_switch_that_is_not_due():
    switch = appraised(SimulatedGpu.switch(), switch_rim(), answers=True)
    assert failures(good(), switch) == ["G4.2"]
    assert failures(good(), switch, switches=Count(1, 4)) == []
    assert failures(good(), switches=Count(1, 4)) == ["G4.2"]


def test_a_switch_has_no_mode_of_its_own():
    made = SimulatedGpu.switch()
    made.opaque |= {21: b"\xaa", 22: b""}
    switch = appraised(made, switch_rim(), answers=True)
    assert failures(good(), switch, switches=Count(1, 4)) == []


def test_a_device_that_was_not_named():
    mine, other = good(), good(SimulatedGpu("other"))
    assert failures(mine, devices=frozenset({mine.device.device})) == []
    assert failures(other, devices=frozenset({mine.device.device})) == ["G4.3"]
    assert failures(mine, devices=frozenset()) == ["G4.3"]


def test_files_that_are_missing():
    driver = appraised(SimulatedGpu(), SimulatedRim(), answers=True)
    assert failures(driver) == ["G3.10"]
    assert failures(driver, rims=frozenset({"driver"})) == []
    assert failures(appraised(SimulatedGpu(), answers=True)) == ["G3.10"]
    assert failures(good(), appraised(SimulatedGpu.switch(), answers=True), switches=Count(1, 1)) == ["G3.10"]


def test_answers_that_are_missing():
    nothing = appraised(SimulatedGpu(), SimulatedRim(), SimulatedRim.firmware())
    assert failures(nothing) == ["G1.7", "G3.11"]
    assert failures(nothing, ocsp=False) == []
    assert failures(replace(good(), rims=nothing.rims)) == ["G3.11"]
    assert failures(replace(nothing, rims=good().rims)) == ["G1.7"]


@pytest.mark.parametrize(
    ("attack", "fields", "failed"),
    [
        ("several GPUs", {36: b"\1\0"}, ["G4.4"]),
        ("protected PCIe", {36: b"\2\0", 21: b"\xaa", 22: b"switch 1"}, ["G4.4", "G4.7"]),
        ("protected PCIe by an older driver", {36: None, 34: None, 21: b"\xaa", 22: b"switch 1"}, ["G4.4", "G4.7"]),
        ("a mode that nobody knows", {36: b"\7\0"}, ["G4.4"]),
        ("a mode that is not stated", {36: None, 34: None}, ["G4.4"]),
        ("a mode that contradicts protected PCIe", {21: b"\xaa"}, ["G4.5"]),
        ("a state of PCIe that nobody knows", {21: b"\0"}, ["G4.5"]),
    ],
)
def test_another_mode(attack, fields, failed):
    gpu = SimulatedGpu()
    for field, value in fields.items():
        if value is None:
            del gpu.opaque[field]
        else:
            gpu.opaque[field] = value
    assert failures(good(gpu)) == failed


@pytest.mark.parametrize(("flags", "failed"), [(0x90, ["G4.6"]), (0x20, ["G4.6"]), (0x40, ["G4.6"]), (0x80, [])])
def test_firmware_for_debugging(flags, failed):
    gpu = SimulatedGpu()
    gpu.form, gpu.flags = BLACKWELL, flags
    assert failures(good(gpu)) == failed
    assert failures(good(gpu), flags=frozenset({"debug", "recovery", "notSecure"})) == []


def test_a_switch_that_is_not_attested():
    gpu = SimulatedGpu()
    gpu.opaque |= {36: b"\2\0", 21: b"\xaa", 22: b"switch 1switch 2" + bytes(8)}
    one, two = (appraised(SimulatedGpu.switch(f"switch {i}"), switch_rim(), answers=True) for i in (1, 2))
    allowed = {"modes": frozenset({"protected-pcie"}), "switches": Count(0, 4)}
    assert failures(good(gpu), one, two, **allowed) == []
    assert failures(good(gpu), one, **allowed) == ["G4.7"]
    assert failures(good(gpu), one, **allowed, linked_switches=False) == []
    gpu.opaque[22] = b""
    assert failures(good(gpu), one, **allowed) == ["G4.7"]


def test_all_that_fails_is_told():
    gpu = SimulatedGpu()
    gpu.opaque[36] = b"\1\0"
    assert failures(appraised(gpu), gpus=Count(2, 2), devices=frozenset()) == ["G4.1", "G1.7", "G3.10", "G4.3", "G4.4"]


@pytest.mark.parametrize(("why", "says"), [("no way out", "not demanded: no way out"), ("", "not demanded: as asked")])
def test_why_no_answer_is_demanded_stands_in_the_report(why, says):
    ledger = Ledger()
    nothing = appraised(SimulatedGpu(), SimulatedRim(), SimulatedRim.firmware())
    assert replace(PRODUCTION, ocsp=False, why=why).judge((nothing,), ledger) == ()
    told = {check.id: show(check.expected) for check in ledger.checks}
    assert (told["G1.7"], told["G3.11"]) == (says, says)
