"""Damaged evidence and damaged collateral end in an error of ours, whatever the damage (rule F3)."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.collateral import collateral_of
from client_sdk.errors import AttestationError
from client_sdk.verifier import verify
from tests.fakes.judging import NONCE, OTHERS
from tests.fakes.simulated_cloud_vm import AZURE_SNP, AZURE_TDX, GCP_SNP, GCP_TDX, MOMENT, SimulatedCloudVm, roots

MACHINES = [(GCP_SNP, 0), (GCP_TDX, 1), (AZURE_SNP, 1), (AZURE_TDX, 0)]
DAMAGE = st.tuples(st.sampled_from(["flip", "cut", "empty", "insert"]), st.integers(0, 2**20), st.integers(1, 255))


@cache
def machine(kind, gpus):
    vm = SimulatedCloudVm(kind, gpus=gpus)
    return vm.evidence(NONCE, OTHERS), vm.files()


def leaves(value, way=()):
    """Yield the way to every byte string in evidence."""
    if isinstance(value, bytes):
        yield way
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from leaves(item, (*way, i))
    elif is_dataclass(value):
        for field in fields(value):
            yield from leaves(getattr(value, field.name), (*way, field.name))


def at(value, way, change):
    """Return a value with one byte string in it changed."""
    if not way:
        return change(value)
    step, *rest = way
    if isinstance(step, int):
        return (*value[:step], at(value[step], rest, change), *value[step + 1 :])
    return replace(value, **{step: at(getattr(value, step), rest, change)})


def damaged(data: bytes, damage) -> bytes:
    kind, where, amount = damage
    place = where % (len(data) or 1)
    if kind == "flip":
        return data[:place] + bytes([data[place] ^ amount]) + data[place + 1 :] if data else bytes([amount])
    return {"cut": data[:place], "empty": b"", "insert": data[:place] + bytes([amount]) + data[place:]}[kind]


def judged(evidence, files) -> str:
    try:
        verify(
            evidence,
            roots=roots(),
            nonce=NONCE,
            now=MOMENT,
            collateral=collateral_of(files, gathered_at=MOMENT),
        )
    except AttestationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("kind", "gpus"), MACHINES)
@settings(max_examples=150, deadline=None)
@given(choice=st.integers(0, 2**20), damage=DAMAGE)
def test_damaged_evidence(kind, gpus, choice, damage):
    evidence, files = machine(kind, gpus)
    ways = list(leaves(evidence))
    judged(at(evidence, ways[choice % len(ways)], lambda data: damaged(data, damage)), files)


@pytest.mark.parametrize(("kind", "gpus"), MACHINES)
@settings(max_examples=150, deadline=None)
@given(choice=st.integers(0, 2**20), damage=DAMAGE)
def test_damaged_collateral(kind, gpus, choice, damage):
    evidence, files = machine(kind, gpus)
    path = sorted(files)[choice % len(files)]
    judged(evidence, files | {path: damaged(files[path], damage)})


@pytest.mark.parametrize(("kind", "gpus"), MACHINES)
def test_every_part_is_looked_at(kind, gpus):
    """A byte in the middle of any part of the evidence decides something."""
    evidence, files = machine(kind, gpus)
    assert not judged(evidence, files)
    untouched = []
    for way in leaves(evidence):
        changed = at(evidence, way, lambda data: damaged(data, ("flip", len(data) // 2, 1)))
        if not judged(changed, files):
            untouched.append(way)
    # Copies of pinned roots, and intermediates that the collateral has as well, are helpers that decide nothing.
    assert [way for way in untouched if "certificates" not in way and way[0] != "ak_certificates"] == []
