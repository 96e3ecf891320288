"""TPM rules (K, Q, C, D): every attack breaks exactly one, on a VM that is accepted without it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.evidence import PCRS, GpuEvidence, TeeEvidence
from client_sdk.policy import Production, SimulatedPlatform
from client_sdk.verifier import challenge, verify
from client_sdk.verify.activation import Activation, make_credential
from tests.fakes.judging import NONCE, OTHERS, accepted, rules, simulated, stream, verified
from tests.fakes.simulated_vm import (
    NOW,
    SimulatedVm,
    TestCa,
    ec_key,
    ek_extensions,
    rsa_key,
    selection,
    spki,
    tls_certificate,
    usage,
)

UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
EKU_AK = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.23.133.8.3")])


def refused(vm: SimulatedVm, rule: str, **options) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verified(vm, **options)
    assert caught.value.rule == rule, str(caught.value)
    assert str(caught.value).startswith(f"[{rule}] ")
    return caught.value


def test_control_is_accepted():
    report = accepted(SimulatedVm()).report.as_dict()
    assert report["verdict"] == "accepted"
    assert {check["verdict"] for check in report["checks"]} == {"ok"}


def test_control_alone_in_its_tree_is_accepted():
    vm = SimulatedVm()
    assert verified(vm, evidence=vm.evidence(NONCE)).platform == "local-qemu"


CA = TestCa()
CA_LESS = TestCa(extensions=[(x509.BasicConstraints(ca=False, path_length=None), True), (usage("key_cert_sign"), True)])
CA_NO_SIGN = TestCa(extensions=[(x509.BasicConstraints(ca=True, path_length=0), True), (usage("crl_sign"), True)])
CA_NO_USAGE = TestCa(extensions=[(x509.BasicConstraints(ca=True, path_length=0), True)])


@pytest.mark.parametrize(
    ("attack", "rule", "ca"),
    [
        ("the pinned certificate is no CA", "K1.3", CA_LESS),
        ("the pinned CA may not sign certificates", "K1.4", CA_NO_SIGN),
        ("the pinned CA does not say what it may do", "K1.4", CA_NO_USAGE),
    ],
)
def test_a_ca_that_is_none(attack, rule, ca):
    refused(SimulatedVm(ca=ca), rule, policy=simulated(ca))


@pytest.mark.parametrize(
    ("attack", "ca"),
    [
        ("a TPM of another maker", TestCa("other CA")),
        ("a CA of the same name with another key", TestCa(key=ec_key("impostor"))),
    ],
)
def test_another_ca(attack, ca):
    error = refused(SimulatedVm(ca=ca), "K1.1")
    assert "signed by none of them" in str(error)


def test_an_intermediate_needs_room_in_the_path():
    tight = TestCa("root")
    roomy = TestCa("root", extensions=tight.default_extensions(path_length=1))
    for root, rule in ((tight, "K1.3"), (roomy, None)):
        vm = SimulatedVm(ca=TestCa("intermediate", parent=root))
        vm.intermediates = (vm.ca.der,)
        if rule:
            refused(vm, rule, policy=simulated(root))
        else:
            assert verified(vm, policy=simulated(root)).simulated


def test_a_stapled_certificate_cannot_be_its_own_root():
    vm = SimulatedVm(ca=TestCa("own"))
    vm.intermediates = (vm.ca.der,)
    refused(vm, "K1.1")


@pytest.mark.parametrize(
    ("attack", "moment"),
    [("expired", NOW + timedelta(days=4000)), ("not valid yet", NOW - timedelta(days=1)), ("CA", NOW - timedelta(40))],
)
def test_outside_the_dates(attack, moment):
    refused(SimulatedVm(), "K1.2", now=moment)


@pytest.mark.parametrize(
    ("attack", "rule", "name", "extension"),
    [
        ("a critical extension that nobody reads", "K1.5", "unknown", (UNKNOWN, True)),
        ("a CA's certificate", "K2.1", "constraints", (x509.BasicConstraints(ca=True, path_length=0), True)),
        ("an AK's certificate", "K2.2", "usage", (usage("digital_signature"), True)),
        ("one for both", "K2.2", "usage", (usage("digital_signature", "key_encipherment"), True)),
        ("a CA's usage", "K2.2", "usage", (usage("key_encipherment", "key_cert_sign"), True)),
        ("an AK's purpose", "K2.3", "eku", (EKU_AK, False)),
    ],
)
def test_a_certificate_for_something_else(attack, rule, name, extension):
    vm = SimulatedVm()
    vm.ek_extensions[name] = extension
    refused(vm, rule)


def test_a_signature_over_a_weak_hash():
    vm = SimulatedVm()
    vm.ek_hash = hashes.SHA224()
    refused(vm, "K1.6")
    vm.ek_hash = hashes.SHA512()
    assert verified(vm).simulated


def test_a_certificate_without_usage():
    vm = SimulatedVm()
    del vm.ek_extensions["usage"]
    refused(vm, "K2.2")


def test_an_uncritical_unknown_extension_is_no_fault():
    vm = SimulatedVm()
    vm.ek_extensions["unknown"] = (UNKNOWN, False)
    assert verified(vm).simulated


@pytest.mark.parametrize("exponent_bits", [(3, 2048), (65537, 3072)])
def test_an_endorsement_key_of_another_template(exponent_bits):
    vm = SimulatedVm()
    vm.ek = rsa.generate_private_key(*exponent_bits)
    refused(vm, "Q8.1")


# A modulus of 2050 bits is as long in DER; the last exponent ends like 65537 with its tag and size.
@pytest.mark.parametrize(("bits", "exponent"), [(2050, 65537), (2048, 65539), (2048, 0x010203010001)])
def test_an_endorsement_key_that_looks_like_the_template(bits, exponent):
    good = rsa.RSAPublicNumbers(65537, 1 << 2047 | 1).public_key()
    assert make_credential(good, b"name", stream())
    key = rsa.RSAPublicNumbers(exponent, 1 << (bits - 1) | 1).public_key()
    with pytest.raises(VerificationError, match=r"\[Q8\.1\]"):
        make_credential(key, b"name", stream())


def test_an_elliptic_endorsement_key_is_not_of_the_template():
    vm = SimulatedVm()
    vm.ek = ec_key("ek")
    refused(vm, "Q8.1")


def test_no_second_round():
    vm = SimulatedVm()
    with pytest.raises(VerificationError, match=r"\[Q8.3\].*was activated .*got none"):
        verify(vm.evidence(NONCE), roots=simulated().roots, nonce=NONCE, now=NOW)


def answered(vm: SimulatedVm, activation: Activation) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verify(vm.evidence(NONCE), roots=simulated().roots, nonce=NONCE, now=NOW, activation=activation)
    return caught.value


def test_an_attestation_key_outside_the_certified_tpm():
    honest, impostor = SimulatedVm(), SimulatedVm("impostor")
    impostor.ek = honest.ek  # it shows the real TPM's certificate, but only the real TPM has the key
    request, state = challenge(impostor.evidence(NONCE), stream())
    with pytest.raises(ValueError, match="TPM_RC_INTEGRITY"):
        honest.activate(request)
    assert answered(impostor, Activation(state, bytes(32))).rule == "Q8.3"


@pytest.mark.parametrize("answer", [b"", bytes(32), b"x" * 31])
def test_a_guessed_secret(answer):
    vm = SimulatedVm()
    _, state = challenge(vm.evidence(NONCE), stream())
    assert answered(vm, Activation(state, answer)).rule == "Q8.3"


def test_an_empty_secret_is_none():
    vm = SimulatedVm()
    _, state = challenge(vm.evidence(NONCE), stream())
    assert answered(vm, Activation(replace(state, secret=b""), b"")).rule == "Q8.3"


@pytest.mark.parametrize("part", ["ek", "ak_name"])
def test_an_activation_of_another_vm(part):
    vm, other = SimulatedVm(), SimulatedVm("other")
    good = vm.activation(vm.evidence(NONCE), stream())
    foreign = other.activation(other.evidence(NONCE), stream())
    mixed = replace(good.state, **{part: getattr(foreign.state, part)})
    assert answered(vm, replace(good, state=mixed)).rule == "Q8.2"


@pytest.mark.parametrize(
    ("attack", "rule", "attributes"),
    [
        ("an unrestricted key signs anything", "Q7.1", 0x00040072),
        ("a decryption key", "Q7.1", 0x00030072),
        ("a key for both", "Q7.1", 0x00070072),
        ("a key that can be moved to another TPM", "Q7.2", 0x00050070),
        ("a key that can be moved to another parent", "Q7.2", 0x00050062),
        ("a key that was made outside", "Q7.2", 0x00050052),
    ],
)
def test_an_attestation_key_with_other_attributes(attack, rule, attributes):
    vm = SimulatedVm()
    vm.ak_attributes = attributes
    refused(vm, rule)


@pytest.mark.parametrize(
    ("scheme", "rule"), [((0x0018, 0x0004), "Q4.3"), ((0x0018, 0x000C), "Q7.3"), ((0x0016, 0x000B), "Q7.3")]
)
def test_an_attestation_key_of_another_kind(scheme, rule):
    vm = SimulatedVm()
    vm.ak_scheme = scheme
    refused(vm, rule)


def set_selections(*banks):
    return {"selections": [selection(bank, PCRS) for bank in banks]}


@pytest.mark.parametrize(
    ("attack", "rule", "knobs"),
    [
        ("signed data that only looks like a quote", "Q1.1", {"magic": 0xFF544348}),
        ("a creation ticket in a quote's place", "Q1.2", {"kind": 0x801A}),
        ("a certification in a quote's place", "Q1.2", {"kind": 0x8017}),
        ("a signature that names SHA-1", "Q6.1", {"signature_head": (0x0018, 0x0004)}),
        ("another key signed", "Q6.2", {"sign_with": ec_key("impostor")}),
        ("the SHA-1 bank", "Q4.1", {"bank": 0x0004}),
        ("two banks", "Q4.1", set_selections(0x000B, 0x0004)),
        ("the bank twice", "Q4.1", set_selections(0x000B, 0x000B)),
        ("a PCR that anybody resets", "Q5", {"selected": (*PCRS, 16)}),
        ("the debug PCR instead of PCR 15", "Q5", {"selected": (*PCRS[:-1], 23)}),
        ("PCR 12 left out", "Q2", {"selected": tuple(index for index in PCRS if index != 12)}),
        ("PCR 8 as well", "Q2", {"selected": tuple(sorted((*PCRS, 8)))}),
    ],
)
def test_a_quote_of_something_else(attack, rule, knobs):
    vm = SimulatedVm()
    for name, value in knobs.items():
        setattr(vm, name, value)
    refused(vm, rule)


def test_a_quote_of_no_bank_at_all():
    vm = SimulatedVm()
    message = bytearray(vm.evidence(NONCE).quote.attest)
    head = message.index(selection(0x000B, PCRS)) - 4
    empty = bytes(message[:head]) + bytes(4) + bytes(message[head + 4 + len(selection(0x000B, PCRS)) :])
    quote = replace(vm.evidence(NONCE).quote, attest=empty, signature=vm.signature(empty))
    refused(vm, "Q4.1", evidence=replace(vm.evidence(NONCE), quote=quote))


def test_a_quote_with_one_changed_bit():
    vm = SimulatedVm()
    evidence = vm.evidence(NONCE)
    message = bytearray(evidence.quote.attest)
    message[-1] ^= 1
    changed = replace(evidence, quote=replace(evidence.quote, attest=bytes(message)))
    refused(vm, "Q6.2", evidence=changed)


@pytest.mark.parametrize("index", PCRS)
def test_a_claimed_pcr_that_was_not_quoted(index):
    vm = SimulatedVm()
    evidence = vm.evidence(NONCE)
    values = tuple((pcr, bytes(31) + b"\x07" if pcr == index else value) for pcr, value in evidence.pcrs)
    refused(vm, "Q3", evidence=replace(evidence, pcrs=values))


def test_a_bank_that_firmware_never_extended():
    vm = SimulatedVm()
    vm.log = [event for event in vm.log if event.pcr > 7]
    refused(vm, "Q4.2")


@pytest.mark.parametrize("tail", ["attest_tail", "signature_tail", "public_tail"])
def test_left_over_bytes(tail):
    vm = SimulatedVm()
    setattr(vm, tail, b"\0")
    with pytest.raises(EvidenceError, match="byte"):
        verified(vm)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_nonce_of_another_size(size):
    refused(SimulatedVm(), "C1", nonce=bytes(size))


def test_a_replayed_quote():
    vm = SimulatedVm()
    refused(vm, "C2.2", nonce=OTHERS[0])
    refused(vm, "C2.2", evidence=vm.evidence(OTHERS[0]))


def test_a_swapped_tls_key():
    vm = SimulatedVm()
    vm.changes["tls_certificate"] = tls_certificate(ec_key("relay"))
    refused(vm, "C2.2")


def test_a_gpu_digest_that_no_evidence_goes_with():
    vm = SimulatedVm()
    vm.gpu_digest = bytes(32)
    refused(vm, "C2.2")


@pytest.mark.parametrize(
    ("attack", "rule", "change"),
    [
        ("an index outside the tree", "C2.1", {"index": 5}),
        ("a path too long", "C2.1", {"path": (bytes(32),) * 4}),
        ("a path too short", "C2.1", {"path": ()}),
        ("another leaf", "C2.2", {"index": 1}),
        ("another sibling", "C2.2", {"path": (bytes(32),) * 3}),
        ("another size of the same depth", "C2.2", {"tree_size": 6}),
    ],
)
def test_another_place_in_the_tree(attack, rule, change):
    vm = SimulatedVm()
    evidence = vm.evidence(NONCE, OTHERS)
    place = replace(evidence.quote.place, **change)
    refused(vm, rule, evidence=replace(evidence, quote=replace(evidence.quote, place=place)))


@pytest.mark.parametrize(
    "part",
    [
        {"tee": TeeEvidence("snp", b"report", (), b"", b"")},
        {"gpu": (GpuEvidence(b"evidence", ()),)},
        {"ak_certificates": (TestCa().der,)},
    ],
)
def test_a_part_that_nothing_binds(part):
    vm = SimulatedVm()
    vm.changes.update(part)
    refused(vm, "C6")


def test_platforms_of_the_future_are_refused_by_name():
    vm = SimulatedVm()
    vm.platform = "somewhere"
    assert "got somewhere" in str(refused(vm, "K5"))


@pytest.mark.parametrize("platform", ["gcp", "azure"])
def test_a_local_vm_that_says_it_is_a_clouds(platform):
    vm = SimulatedVm()
    vm.platform = platform
    refused(vm, "C6.2")


def test_a_simulated_platform_under_production():
    error = refused(SimulatedVm(), "D1", policy=Production())
    assert "--simulated" in str(error)


def test_collateral_that_nobody_asked_for():
    vm = SimulatedVm()
    with pytest.raises(VerificationError, match=r"\[T11\]"):
        verify(vm.evidence(NONCE), roots=simulated().roots, nonce=NONCE, now=NOW, collateral={"crl": b""})


def test_a_refusal_tells_what_was_checked_before():
    vm = SimulatedVm()
    vm.sign_with = ec_key("impostor")
    error = refused(vm, "Q6.2")
    assert [check.id for check in error.checks][:2] == ["D1", "C6"]
    assert rules(error) == ["Q6.2"]
    assert error.checks[-1].id == "Q6.2"


def test_evidence_of_another_vm_names_another_machine():
    one, other = verified(SimulatedVm()), verified(SimulatedVm("other"))
    assert (one.ak_name, one.ek_certificate, one.spki) != (other.ak_name, other.ek_certificate, other.spki)
    assert one.spki == spki(SimulatedVm().tls_certificate)


@pytest.mark.parametrize("content", [b"", b"not a certificate", CA.pem + CA.pem, CA.der + b"\0"])
def test_a_tpm_ca_that_is_no_certificate(content):
    with pytest.raises(EvidenceError, match=r"policy\.tpm_ca"):
        SimulatedPlatform(tpm_ca=content)


def test_a_tpm_ca_from_a_file(tmp_path):
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    for source in (tmp_path / "ca.pem", str(tmp_path / "ca.pem"), CA.der, CA.certificate):
        assert SimulatedPlatform(tpm_ca=source).roots.tpm[0].fingerprint == sha256(CA.der).digest()
    with pytest.raises(EvidenceError, match="cannot read"):
        SimulatedPlatform(tpm_ca=tmp_path / "none.pem")


def test_extensions_of_the_control_are_swtpms():
    assert set(ek_extensions(CA)) == {"eku", "san", "constraints", "aki", "usage"}
    assert rsa_key("ek vm").key_size == 2048


def test_an_endorsement_key_that_nothing_can_be_encrypted_to():
    even = rsa.RSAPublicNumbers(65537, (1 << 2047) + 2).public_key()
    with pytest.raises(VerificationError, match=r"\[Q8.1\]"):
        make_credential(even, bytes(34), stream())
