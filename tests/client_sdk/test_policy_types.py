"""Parts of a policy that are of another type than they look: each is refused when it is made, none waives a check."""

from __future__ import annotations

import pytest

from client_sdk.clauses.snp import SnpDenyList, SnpRevocation
from client_sdk.clauses.tdx import DenyList
from client_sdk.conformance.__main__ import MALFORMED, judge
from client_sdk.conformance.tdx import quote
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.policies.file import read_policy
from client_sdk.policy import (
    AnyValue,
    AzureCloud,
    Count,
    GoogleCloud,
    MatchesRelease,
    NvidiaGpu,
    OneOf,
    Setting,
    SevSnp,
)


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


@pytest.mark.parametrize("count", ["1", -1, True, None, Count(3, 1), Count(-1, 1)])
def test_numbers_of_gpus_that_no_vm_can_have(count):
    with pytest.raises(EvidenceError, match=r"policy\.nvidia\.count"):
        NvidiaGpu(count=count)


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
