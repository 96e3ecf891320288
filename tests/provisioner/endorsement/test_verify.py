"""An endorsement is Google's, under the root that the operator names, or it is refused with the rule that it breaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from client_sdk.errors import EvidenceError, VerificationError
from provisioner.endorsement.parse import parse_endorsement
from provisioner.endorsement.verify import PROVENANCE_SINCE, read_root, verify_endorsement
from tests.fakes.keys import ec_key, rsa_key
from tests.fakes.simulated_endorsement import (
    FIRMWARE,
    SIGNED,
    Issuer,
    SimulatedEndorsement,
    google,
    signing_key,
    wrapped,
)
from tests.fakes.simulated_vm import usage

NOW = SIGNED + timedelta(days=100)
MGF = padding.MGF1(hashes.SHA256())
STRANGER = Issuer("another root")


def verify(made, *, root=None, now=NOW, firmware=None):
    data = made if isinstance(made, bytes) else made.data()
    trusted = read_root((root or google()).der)
    return verify_endorsement(parse_endorsement(data), trusted, now=now, firmware=firmware)


def refused(made, **more):
    with pytest.raises(VerificationError) as caught:
        verify(made, **more)
    return caught.value.rule


def test_a_genuine_one_is_verified():
    found = verify(SimulatedEndorsement(), firmware=FIRMWARE)
    rules = ["E1.1", "E1.2", "E1.2", "E1.3", "E1.4", "E1.5", "E1.6", "E1.5", "E1.6"]
    rules += ["E2.1", "E2.2", "E2.3", "E2.4", "E3.1", "E3.2", "E4.1", "E4.2", "E5.1"]
    assert [check.id for check in found.checks] == rules
    assert all(check.passed for check in found.checks)
    assert (found.root, found.firmware_was_given) == (read_root(google().pem).fingerprint, True)


def test_without_the_firmware_nothing_is_said_of_it():
    found = verify(SimulatedEndorsement())
    assert (found.firmware_was_given, [one.id for one in found.checks][-1]) == (False, "E4.2")


def other_issuers(**knobs):
    return SimulatedEndorsement(issuer=Issuer(**knobs))


def changed(place):
    """Change one byte of what is signed, and none of the form: a measurement's."""
    made = SimulatedEndorsement()
    golden = bytearray(made.golden())
    where = golden.rindex(place)
    golden[where] ^= 1
    return wrapped(bytes(golden), made.sign(made.golden()))


def with_signature(change):
    made = SimulatedEndorsement()
    golden = made.golden()
    return wrapped(golden, change(made.sign(golden)))


MEASURED = SimulatedEndorsement().tds[0][2]
OTHER_SNP = SimulatedEndorsement().snp[8]
ATTACKS = [
    ("another root of the same name", SimulatedEndorsement(issuer=STRANGER), "E1.1"),
    ("a certificate that signs itself", SimulatedEndorsement(issuer=Issuer(key=signing_key())), "E1.1"),
    ("an expired certificate", SimulatedEndorsement(dates=(SIGNED, NOW - timedelta(seconds=1))), "E1.2"),
    (
        "a certificate of tomorrow",
        SimulatedEndorsement(dates=(NOW + timedelta(days=1), NOW + timedelta(days=9))),
        "E1.2",
    ),
    (
        "a critical extension that nobody understands",
        SimulatedEndorsement(more=((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True),)),
        "E1.5",
    ),
    ("a CA's certificate", SimulatedEndorsement(constraints=x509.BasicConstraints(ca=True, path_length=None)), "E2.1"),
    ("a certificate without keyUsage", SimulatedEndorsement(usage=None), "E2.2"),
    ("a key for encryption", SimulatedEndorsement(usage=usage("key_encipherment")), "E2.2"),
    ("a key for signing and more", SimulatedEndorsement(usage=usage("digital_signature", "key_encipherment")), "E2.2"),
    (
        "a key that signs certificates, too",
        SimulatedEndorsement(usage=usage("digital_signature", "key_cert_sign")),
        "E2.2",
    ),
    ("a certificate for TLS servers", SimulatedEndorsement(purposes=("1.3.6.1.5.5.7.3.1",)), "E2.3"),
    ("a key of 2048 bits", SimulatedEndorsement(key=rsa_key("leaf")), "E2.4"),
    ("a key on an elliptic curve", SimulatedEndorsement(key=ec_key("leaf"), scheme=ec.ECDSA(hashes.SHA256())), "E2.4"),
    ("a certificate by PKCS #1 v1.5", SimulatedEndorsement(certificate_scheme=padding.PKCS1v15()), "E3.1"),
    ("a certificate with another salt", SimulatedEndorsement(certificate_scheme=padding.PSS(MGF, 20)), "E3.1"),
    (
        "a certificate with SHA-512",
        SimulatedEndorsement(
            certificate_scheme=padding.PSS(padding.MGF1(hashes.SHA512()), 64), certificate_hash=hashes.SHA512()
        ),
        "E3.1",
    ),
    ("signed by another key", SimulatedEndorsement(signer=signing_key("another")), "E3.2"),
    ("signed by the root itself", SimulatedEndorsement(signer=google().key), "E3.2"),
    ("signed by PKCS #1 v1.5", SimulatedEndorsement(scheme=padding.PKCS1v15()), "E3.2"),
    ("signed with another salt", SimulatedEndorsement(scheme=padding.PSS(MGF, 20)), "E3.2"),
    ("signed with another mask", SimulatedEndorsement(scheme=padding.PSS(padding.MGF1(hashes.SHA512()), 32)), "E3.2"),
    ("signed over SHA-384", SimulatedEndorsement(used=hashes.SHA384()), "E3.2"),
    ("a byte of an MRTD changed", changed(MEASURED), "E3.2"),
    ("a byte of SEV-SNP's changed", changed(OTHER_SNP), "E3.2"),
    (
        "a byte of the firmware's digest changed",
        changed(parse_endorsement(SimulatedEndorsement().data()).golden.digest),
        "E3.2",
    ),
    ("a byte of the signature changed", with_signature(lambda data: data[:-1] + bytes([data[-1] ^ 1])), "E3.2"),
    ("a signature that is cut short", with_signature(lambda data: data[:-1]), "E3.2"),
    ("a signature that is too long", with_signature(lambda data: data + b"\0"), "E3.2"),
    ("from the future", SimulatedEndorsement(timestamp=NOW + timedelta(seconds=1)), "E4.1"),
    ("built from nobody knows what", SimulatedEndorsement(cl_spec=0, commit=b""), "E4.2"),
]


@pytest.mark.parametrize(("attack", "made", "rule"), ATTACKS, ids=[attack for attack, _, _ in ATTACKS])
def test_attacks_break_one_rule(attack, made, rule):
    assert refused(made) == rule, attack


ROOTS = [
    ("that has expired", {"end": NOW - timedelta(days=1)}, "E1.2"),
    ("that begins tomorrow", {"start": NOW + timedelta(days=1)}, "E1.2"),
    ("that is no CA", {"constraints": x509.BasicConstraints(ca=False, path_length=None)}, "E1.3"),
    ("that may not sign certificates", {"usage": usage("digital_signature")}, "E1.4"),
    ("that does not say what it may", {"usage": None}, "E1.4"),
]


@pytest.mark.parametrize(("attack", "knobs", "rule"), ROOTS, ids=[attack for attack, _, _ in ROOTS])
def test_a_root(attack, knobs, rule):
    issuer = Issuer("odd root", key=rsa_key("google root"), **knobs)
    sound = Issuer("sound root", key=rsa_key("google root"))
    assert verify(SimulatedEndorsement(issuer=sound), root=sound)
    assert refused(SimulatedEndorsement(issuer=issuer), root=issuer) == rule, attack


def test_the_root_that_came_along_is_not_trusted():
    """The endorsement's own ca_bundle has its issuer, whoever that is."""
    made = SimulatedEndorsement(issuer=STRANGER)
    assert STRANGER.pem in made.golden()
    assert verify(made, root=STRANGER)
    assert refused(made) == "E1.1"


def test_firmware_that_is_not_the_endorsed_one():
    assert refused(SimulatedEndorsement(), firmware=FIRMWARE + b"\0") == "E5.1"
    assert refused(SimulatedEndorsement(), firmware=b"") == "E5.1"


def test_the_last_instant_of_a_certificate_is_inside_its_dates():
    end = NOW.replace(microsecond=0)
    made = SimulatedEndorsement(dates=(SIGNED, end))
    assert verify(made, now=end)
    assert refused(made, now=end + timedelta(seconds=1)) == "E1.2"


def test_older_ones_need_not_say_what_they_were_built_from():
    """Google lost that for a while, and its own verifier asks for it since this day."""
    old = SimulatedEndorsement(
        cl_spec=0, commit=b"", timestamp=PROVENANCE_SINCE, dates=(datetime(2024, 1, 1, tzinfo=UTC), NOW)
    )
    assert verify(old)
    assert refused(replace(old, timestamp=PROVENANCE_SINCE + timedelta(seconds=1))) == "E4.2"


@pytest.mark.parametrize("known", [{"cl_spec": 0}, {"commit": b""}])
def test_a_change_list_or_a_commit_is_enough(known):
    assert verify(SimulatedEndorsement(**known))


def test_a_certificate_for_signing_code():
    assert verify(SimulatedEndorsement(purposes=("1.3.6.1.5.5.7.3.3",)))


@pytest.mark.parametrize("content", [b"", b"certificate", b"\x30\x82\x01\x00" + bytes(256)])
def test_a_certificate_that_is_none(content):
    golden = SimulatedEndorsement(changes={"cert": content or None}).golden()
    with pytest.raises(EvidenceError, match=r"golden\.cert"):
        verify(wrapped(golden, b"signature"))


# --- the root's file


def test_a_root_is_read_in_either_form():
    assert read_root(google().pem) == read_root(google().der)


@pytest.mark.parametrize(
    ("fault", "data", "message"),
    [
        ("nothing", b"", "neither DER nor PEM"),
        ("two certificates: which one is trusted?", google().pem + STRANGER.pem, "2 certificates; name one"),
        ("a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not of a CERTIFICATE"),
        ("more than a certificate", google().der + b"\0", "root"),
        ("half of one", google().der[:-9], "root"),
    ],
)
def test_a_root_that_is_none(fault, data, message):
    with pytest.raises(EvidenceError, match=message):
        read_root(data)
    assert fault
