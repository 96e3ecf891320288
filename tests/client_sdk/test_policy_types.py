"""Parts of a policy that are of another type than they look: each is refused when it is made, none waives a check."""

from __future__ import annotations

import pytest

from client_sdk.clauses.snp import SnpRevocation
from client_sdk.conformance.__main__ import MALFORMED, judge
from client_sdk.conformance.tdx import quote
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.policies.file import read_policy
from client_sdk.policy import AnyValue, AzureCloud, Count, GoogleCloud, NvidiaGpu, SevSnp


@pytest.mark.parametrize("revocation", [False, True, "a reason", 0])
def test_going_without_ocsp_by_mistake(revocation):
    with pytest.raises(EvidenceError, match=r"policy\.nvidia\.revocation"):
        NvidiaGpu(count=1, revocation=revocation)


@pytest.mark.parametrize("revocation", [None, False, SnpRevocation(required=False, highest_seen=0)])
def test_going_without_amds_list_by_mistake(revocation):
    with pytest.raises(EvidenceError, match="UnsafeWithoutRevocation"):
        SevSnp(revocation=revocation)


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
