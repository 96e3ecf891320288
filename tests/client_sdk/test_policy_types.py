"""Parts of a policy that are of another type than they look: each is refused when it is made, none waives a check."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from client_sdk.ages import Ages
from client_sdk.clauses.snp import SnpDenyList, SnpRevocation
from client_sdk.clauses.tdx import Attributes, CrlFloor, DenyList, EvaluationFloor, OwnerRegisters
from client_sdk.conformance.__main__ import MALFORMED, judge
from client_sdk.conformance.tdx import quote
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.parse.snp import Product
from client_sdk.policies.file import read_policy
from client_sdk.policies.tee import MIN_TCB, NOTHING_GIVEN
from client_sdk.policy import (
    AllOf,
    AnyOf,
    AnyValue,
    AzureCloud,
    CloudVouchedBoot,
    Count,
    GoogleCloud,
    Grace,
    MatchesRelease,
    MaxAge,
    NvidiaGpu,
    OneOf,
    Production,
    Setting,
    SevSnp,
    Tdx,
    UnsafeUnpinned,
    UnsafeWithoutRevocation,
)
from client_sdk.roots import Roots, anchors
from tests.fakes.simulated_cloud_vm import MOMENT
from tests.fakes.simulated_vm import default_ca


@pytest.mark.parametrize("revocation", [False, True, "a reason", 0])
def test_going_without_ocsp_by_mistake(revocation):
    with pytest.raises(EvidenceError, match=r"policy\.nvidia\.revocation"):
        NvidiaGpu(count=1, revocation=revocation)


@pytest.mark.parametrize("revocation", [None, False, SnpRevocation(required=False, highest_seen=0)])
def test_going_without_amds_list_by_mistake(revocation):
    with pytest.raises(EvidenceError, match="UnsafeWithoutRevocation"):
        SevSnp(revocation=revocation)


@pytest.mark.parametrize("wrong", ["required", True, None, OneOf((b"",))])
@pytest.mark.parametrize("field", ["smt", "single_socket", "alias_check", "ciphertext_hiding"])
def test_a_setting_that_is_a_word(field, wrong):
    with pytest.raises(EvidenceError, match=rf"policy\.sev_snp\.{field}: expected Setting"):
        SevSnp(**{field: wrong})


@pytest.mark.parametrize("wrong", [b"", None, bytes(32), Setting.EITHER])
@pytest.mark.parametrize("field", ["host_data", "id_key_digest", "author_key_digest"])
def test_a_bare_value_where_snp_measures_something(field, wrong):
    with pytest.raises(EvidenceError, match=rf"policy\.sev_snp\.{field}: expected OneOf"):
        SevSnp(**{field: wrong})


@pytest.mark.parametrize("boot", ["a reason", None, True])
def test_taking_the_clouds_word_by_mistake(boot):
    with pytest.raises(EvidenceError, match=r"policy\.sev_snp\.boot"):
        SevSnp(boot=boot)


@pytest.mark.parametrize("unpinned", ["a reason", True, AnyValue("a reason")])
def test_leaving_a_release_open_by_mistake(unpinned):
    with pytest.raises(EvidenceError, match=r"policy\.unpinned"):
        MatchesRelease(unpinned)


CHIP, PRINT = b"\1" * 64, b"\2" * 32


@pytest.mark.parametrize(
    ("field", "chips", "serials", "prints"),
    [
        ("chips", frozenset({CHIP.hex()}), frozenset(), frozenset()),
        ("chips", frozenset({CHIP.hex().encode()}), frozenset(), frozenset()),
        ("chips", frozenset({CHIP[:63]}), frozenset(), frozenset()),
        ("chips", {CHIP}, frozenset(), frozenset()),
        ("chips", CHIP, frozenset(), frozenset()),
        ("serials", frozenset(), frozenset({"17"}), frozenset()),
        ("serials", frozenset(), frozenset({True}), frozenset()),
        ("serials", frozenset(), (17,), frozenset()),
        ("certificates", frozenset(), frozenset(), frozenset({PRINT.hex()})),
        ("certificates", frozenset(), frozenset(), frozenset({PRINT[:20]})),
    ],
)
def test_a_deny_list_made_in_code_that_would_deny_nothing(field, chips, serials, prints):
    with pytest.raises(EvidenceError, match=rf"policy\.sev_snp\.deny\.{field}: expected"):
        SnpDenyList(chips, serials, prints)


@pytest.mark.parametrize("ppids", [frozenset({"ab" * 16}), frozenset({b"1" * 15}), {b"1" * 16}, b"1" * 16])
def test_a_deny_list_of_platforms_that_would_deny_nothing(ppids):
    with pytest.raises(EvidenceError, match=r"policy\.tdx\.deny\.ppids: expected"):
        DenyList(ppids)


@pytest.mark.parametrize("modes", ["xsingle-gpux", {"single-gpu"}, frozenset({"any"})])
def test_modes_that_are_no_set_of_modes(modes):
    with pytest.raises(EvidenceError, match=r"policy\.nvidia\.modes"):
        NvidiaGpu(count=1, modes=modes)


@pytest.mark.parametrize("count", ["1", -1, 33, 1.0, True, None, (1, 2)])
def test_numbers_of_gpus_that_no_vm_can_have(count):
    with pytest.raises(EvidenceError, match=r"policy\.nvidia\.count"):
        NvidiaGpu(count=count)


@pytest.mark.parametrize(("fewest", "most"), [(3, 1), (-1, 1), (1, None), (True, 1), ("1", 2), (1, 1.5)])
def test_ranges_that_no_number_fits(fewest, most):
    with pytest.raises(EvidenceError, match=r"policy\.count\.(fewest|most): expected a whole number"):
        Count(fewest, most)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("google", "my-project"),
        ("google", GoogleCloud),
        ("google", AzureCloud()),
        ("azure", True),
        ("azure", ""),
        ("snp", None),
        ("snp", Tdx()),
        ("tdx", None),
        ("tdx", Tdx),
        ("gpu", 1),
        ("gpu", None),
        ("release", None),
        ("release", UnsafeUnpinned("a test")),
        ("max_age", Ages()),
        ("max_age", None),
        ("roots", None),
        ("roots", ()),
        ("label", None),
        ("tee", "tdx"),
        ("tee", {"tdx"}),
        ("tee", frozenset()),
        ("tee", frozenset({"snp"})),
        ("tee", frozenset({"tdx", "none"})),
        ("tee", None),
    ],
)
def test_production_made_with_something_else(field, wrong):
    with pytest.raises(EvidenceError, match=rf"policy\.{field}: expected .*, got .*; write {field}=") as caught:
        Production(**{field: wrong})
    assert all((caught.value.expected, caught.value.got, caught.value.remedy))


@pytest.mark.parametrize("field", Ages.__dataclass_fields__)
@pytest.mark.parametrize("wrong", [3, None, "7", timedelta(days=-1), MOMENT])
def test_ages_that_limit_by_mistake(field, wrong):
    with pytest.raises(EvidenceError, match=rf"ages\.{field}: expected a timedelta"):
        Ages(**{field: wrong})


@pytest.mark.parametrize("ages", [None, timedelta(days=1), Ages, 7])
def test_a_limit_of_age_that_is_no_set_of_limits(ages):
    with pytest.raises(EvidenceError, match=r"policy\.max_age\.ages: expected limits"):
        MaxAge(ages)


@pytest.mark.parametrize(
    ("status", "until", "where"),
    [
        ("OutOfDate", MOMENT.replace(tzinfo=None), "until: expected an instant with its time zone, got one without"),
        ("OutOfDate", "2026-12-31T00:00:00Z", "until"),
        ("OutOfDate", None, "until"),
        ("Revoked", MOMENT, "status"),
        (["OutOfDate"], MOMENT, "status"),
        (None, MOMENT, "status"),
    ],
)
def test_a_grace_for_nothing_or_for_no_instant(status, until, where):
    with pytest.raises(EvidenceError, match=rf"policy\.tdx\.grace\.{where}"):
        Grace(status, until)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("accepted_tcb", Grace("OutOfDate", MOMENT)),
        ("accepted_tcb", "OutOfDate"),
        ("accepted_tcb", ("OutOfDate",)),
        ("accepted_tcb", [Grace("OutOfDate", MOMENT)]),
        ("evaluation", 18),
        ("evaluation", None),
        ("revocation", 3),
        ("revocation", EvaluationFloor(1, 1)),
        ("deny", frozenset()),
        ("attributes", 0),
        ("registers", None),
    ],
)
def test_tdx_made_with_something_else(field, wrong):
    with pytest.raises(EvidenceError, match=rf"policy\.tdx\.{field}.*: expected .*; write"):
        Tdx(**{field: wrong})


@pytest.mark.parametrize("wrong", ["18", True, -1, None, 1.0])
@pytest.mark.parametrize("kind", [EvaluationFloor, CrlFloor])
def test_floors_that_are_no_numbers(kind, wrong):
    for numbers in ((wrong, 1), (1, wrong)):
        with pytest.raises(EvidenceError, match=r"policy\.tdx\.\w+\.\w+: expected a whole number"):
            kind(*numbers)


@pytest.mark.parametrize("wrong", ["0", True, -1, 2**64])
def test_attributes_that_are_no_bits(wrong):
    with pytest.raises(EvidenceError, match=r"policy\.tdx\.attributes\.allowed: expected a whole number"):
        Attributes(wrong)


@pytest.mark.parametrize("field", OwnerRegisters.__dataclass_fields__)
def test_a_bare_value_where_tdx_measures_something(field):
    with pytest.raises(EvidenceError, match=rf"policy\.tdx\.registers\.{field}: expected OneOf"):
        replace(NOTHING_GIVEN, **{field: bytes(48)})


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("min_tcb", 3),
        ("min_tcb", None),
        ("min_tcb", {"genoa": MIN_TCB[Product.GENOA]}),
        ("min_tcb", {Product.GENOA: 24}),
        ("min_firmware", "1.55.0"),
        ("min_firmware", (1, 55, 0)),
        ("deny", frozenset({b"\1" * 64})),
        ("deny", None),
    ],
)
def test_snp_made_with_something_else(field, wrong):
    with pytest.raises(EvidenceError, match=rf"policy\.sev_snp\.{field}: expected .*; write"):
        SevSnp(**{field: wrong})


@pytest.mark.parametrize(("required", "seen"), [(None, 0), (1, 0), ("yes", 0), (True, "6"), (True, -1), (True, True)])
def test_a_revocation_list_that_is_asked_for_by_mistake(required, seen):
    with pytest.raises(EvidenceError, match=r"policy\.sev_snp\.revocation\.(required|highest_seen): expected"):
        SnpRevocation(required, seen)


@pytest.mark.parametrize(
    "devices", [("ab",), frozenset({"ab" * 16}), frozenset({b"\1" * 31}), b"\1" * 32, None, frozenset()]
)
def test_devices_that_name_no_device(devices):
    with pytest.raises(EvidenceError, match=r"policy\.nvidia\.devices: expected"):
        NvidiaGpu(1, devices=devices)


@pytest.mark.parametrize("values", ["abc", b"abc", None, 5, ["abc"], (None,), (1.5,), (("a",),)])
def test_expected_values_that_are_no_tuple_of_values(values):
    with pytest.raises(EvidenceError, match=r"policy\.one_of.*: expected a tuple .*; write OneOf\(\(value,\)\)"):
        OneOf(values)


@pytest.mark.parametrize("kind", [AnyValue, UnsafeUnpinned, UnsafeWithoutRevocation, CloudVouchedBoot])
@pytest.mark.parametrize("why", ["", " \n", None, True, 5, b"a reason"])
def test_a_reason_that_says_nothing(kind, why):
    with pytest.raises(EvidenceError, match=r"policy\.\w+: expected a reason in words"):
        kind(why)


@pytest.mark.parametrize("kind", [AllOf, AnyOf])
@pytest.mark.parametrize(
    ("policies", "says"),
    [
        (Production(), r"write \w+\(\(policy,\)\)"),
        ([Production()], r"write \w+\(\(policy,\)\)"),
        (Production, r"got the class Production"),
        ((Production,), r"policies\[0\]: .*; write Production\(…\)"),
        ((Production(), "policy.toml"), r'policies\[1\]: .*; write load_policy\("policy.toml"\)'),
        ((Production(), None), r"policies\[1\]: expected a policy, got None"),
        ((Ages(),), r"policies\[0\]: expected a policy, got a value of the type Ages"),
    ],
)
def test_sets_of_something_else_than_policies(kind, policies, says):
    with pytest.raises(EvidenceError, match=says):
        kind(policies)


@pytest.mark.parametrize("kind", ["tpm", "google", "azure", "amd", "intel", "nvidia", "nvidia_rim"])
@pytest.mark.parametrize("wrong", [(b"bytes",), b"bytes", "ca.pem", None, (default_ca().certificate,)])
def test_roots_made_of_what_anchors_did_not_read(kind, wrong):
    with pytest.raises(EvidenceError, match=rf"roots\.{kind}.*: expected certificates .*; write {kind}=anchors\("):
        Roots(simulated=False, **{kind: wrong})


@pytest.mark.parametrize(("field", "wrong"), [("simulated", None), ("simulated", 0), ("ages", None), ("ages", 7)])
def test_roots_made_with_something_else(field, wrong):
    with pytest.raises(EvidenceError, match=rf"roots\.{field}: expected"):
        Roots(**{"simulated": False} | {field: wrong})


@pytest.mark.parametrize("wrong", ["ca.pem", None, Path("ca.pem"), (b"",)])
def test_anchors_of_something_else_than_certificates(wrong):
    with pytest.raises(EvidenceError, match=r"roots\[0\]: expected a certificate, or bytes of one"):
        anchors(wrong)


@pytest.mark.parametrize("project", [None, True, 1.5, ["x"], (None,), ("x", True)])
def test_a_project_that_is_neither_id_nor_number(project):
    with pytest.raises(EvidenceError, match=r"policy\.google\.project.*: expected a tuple"):
        GoogleCloud(project, zones=AnyValue("a test"))


@pytest.mark.parametrize(("field", "wrong"), [("zones", (5,)), ("instance_ids", ("5",)), ("instance_names", (5,))])
def test_values_of_another_type_on_google_cloud(field, wrong):
    wanted = {"project": "x", "zones": AnyValue("a test")} | {field: wrong}
    with pytest.raises(EvidenceError, match=rf"policy\.google\.{field}\[0\]: expected"):
        GoogleCloud(**wanted)


@pytest.mark.parametrize("oldest", ["2", None, True, -1])
def test_a_version_of_firmware_that_is_no_number(oldest):
    with pytest.raises(EvidenceError, match=r"policy\.google\.oldest_firmware: expected"):
        GoogleCloud("x", AnyValue("a test"), oldest_firmware=oldest)


@pytest.mark.parametrize(
    ("zone", "says"),
    [
        ("us-central1", "us-central1 is a region: name its zones, as us-central1-a"),
        ("northamerica-northeast2", "is a region"),
        ("any", "no zone is called so"),
        ("ALL", "no zone is called so"),
        ("*", "no zone is called so"),
        ("", "no zone is called so"),
    ],
)
def test_what_is_no_zone(zone, says):
    with pytest.raises(EvidenceError) as caught:
        GoogleCloud("x", ("europe-west4-b", zone))
    assert says in str(caught.value)
    assert 'write zones=("us-central1-a",), or zones=AnyValue("reason")' in str(caught.value)


@pytest.mark.parametrize("zone", ["us-central1-a", "northamerica-northeast2-c", "us-central1-ai1a"])
def test_zones_as_google_names_them(zone):
    assert GoogleCloud("x", (zone,)).zones == (zone,)


@pytest.mark.parametrize("digests", [(bytes(48),), (b"\1" * 48, bytes(48))])
def test_the_digest_of_no_key_at_all(digests):
    with pytest.raises(EvidenceError, match=r"id_key_digests: .*zero, the digest of no key"):
        AzureCloud(id_key_digests=digests)


@pytest.mark.parametrize("field", ["zones", "instance_ids", "instance_names"])
def test_one_value_in_place_of_several_on_google_cloud(field):
    wanted = {"project": "x", "zones": AnyValue("a test")} | {field: "us-central1-a"}
    with pytest.raises(EvidenceError, match=rf"policy\.google\.{field}: expected a tuple"):
        GoogleCloud(**wanted)


@pytest.mark.parametrize(
    "fields", [{"vm_ids": "390c"}, {"console_enabled": False}, {"secure_boot": True}, {"root_thumbprint": "x"}]
)
def test_a_bare_value_where_azure_states_something(fields):
    with pytest.raises(EvidenceError, match=rf"policy\.azure\.{next(iter(fields))}: expected"):
        AzureCloud(**fields)


@pytest.mark.parametrize(
    ("table", "key", "size"),
    [("sev_snp", "deny_chips", 63), ("sev_snp", "deny_chips", 65), ("tdx", "deny_ppids", 1), ("nvidia", "devices", 31)],
)
def test_an_id_of_another_size_denies_nothing(table, key, size):
    with pytest.raises(
        PolicyError, match=rf"{table}\.{key}\[0\]\] expected .* bytes in lower-case hex, .* got {size} bytes; write"
    ):
        read_policy(f'version = 1\n[{table}]\n{key} = ["{"ab" * size}"]\n'.encode())


def test_ids_of_the_right_sizes():
    text = f'version = 1\n[sev_snp]\ndeny_chips = ["{"ab" * 64}", "{"cd" * 8}"]\n[tdx]\ndeny_ppids = ["{"ab" * 16}"]\n'
    policy = read_policy(text.encode())
    assert policy.snp.deny.chips == {b"\xab" * 64, b"\xcd" * 8}
    assert policy.tdx.deny.ppids == {b"\xab" * 16}


def test_a_number_of_thousands_of_digits():
    with pytest.raises(PolicyError, match="R4: the policy is TOML"):
        read_policy(b"version = " + b"9" * 5000)


@pytest.mark.parametrize("value", [b'""', b"[]", b"false", b"0", b'"x"'])
def test_what_a_suite_expects_is_an_object_or_missing(value):
    """A bug in a suite must not read as "nothing is expected"."""
    status, verdict = judge(quote, b'{"quote": "", "expected": ' + value + b"}")
    assert (status, "expected" in verdict["message"]) == (MALFORMED, True), verdict
