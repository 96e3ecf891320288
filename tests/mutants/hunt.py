"""Run mutants over the vectors and the behaviour tests, and see which of them nobody notices."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from _pytest.runner import runtestprotocol

from client_sdk.conformance.__main__ import judge
from tests.mutants.mutate import ROOT, SOURCES, Mutant, in_place, mutants
from tests.vectors.manifest import Vector, stage, vectors

TESTS = [
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "client_sdk").glob("test_verify_*.py")),
    *(
        f"tests/client_sdk/test_{name}.py"
        for name in ("clauses_snp", "accept", "binding", "production", "policy", "simulated_cloud")
    ),
    *(
        f"tests/client_sdk/test_{name}.py"
        for name in ("policy_clauses", "policy_file", "cloud_bindings", "cloud_collateral", "releases", "release")
    ),
    *(f"tests/transparency/test_{name}.py" for name in ("judge", "rollback", "merkle", "formats", "client")),
]
SLOW = 0.5
Function = tuple[str, str]


@contextlib.contextmanager
def watched(seen: set[Function]) -> Iterator[None]:
    """Note which functions of the verifier run."""
    files = {str(ROOT / file): file for file in SOURCES}

    def note(frame, event, _argument) -> None:
        if event == "call" and (file := files.get(frame.f_code.co_filename)):
            seen.add((file, frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def verdict_of(vector: Vector) -> tuple[int, tuple[str, ...]]:
    """Judge a vector; what breaks down has a verdict of its own, which no vector has."""
    try:
        status, found = judge(stage(vector.stage), vector.data)
    except Exception:  # noqa: BLE001 - a mutant may break down in any way: that is noticed
        return -1, ()
    return status, tuple(found.get("rules", ()))


@dataclass
class Hunters:
    """What may notice a mutant, by the functions that it runs: vectors first, then tests."""

    vectors: dict[Function, list[Vector]] = field(default_factory=dict)
    tests: dict[Function, list[Callable[[], bool]]] = field(default_factory=dict)

    def add_vectors(self) -> None:
        for vector in vectors():
            seen: set[Function] = set()
            with watched(seen):
                verdict_of(vector)
            for function in seen:
                self.vectors.setdefault(function, []).append(vector)

    def add_test(self, item: pytest.Item) -> None:
        seen: set[Function] = set()
        run = runner(item)
        before = time.perf_counter()
        with watched(seen):
            passed = run()
        if passed and time.perf_counter() - before < SLOW:
            for function in seen:
                self.tests.setdefault(function, []).append(run)

    def notice(self, mutant: Mutant) -> str:
        """Return who notices a mutant: ``vector``, ``test``, or nobody."""
        place = (mutant.file, mutant.function)
        with in_place(mutant):
            near = sorted(self.vectors.get(place, ()), key=lambda one: mutant.rule not in one.rules)
            if any(verdict_of(vector) != (vector.exit, vector.rules) for vector in near):
                return "vector"
            if any(not run() for run in self.tests.get(place, ())):
                return "test"
        return ""


def runner(item: pytest.Item) -> Callable[[], bool]:
    """Return what runs a test: its function alone where it needs no fixture."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if set(item.fixturenames) <= set(parameters):

        def alone() -> bool:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    item.obj(**parameters)
            except pytest.skip.Exception:
                return True
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever it is, it is noticed
                return False
            return True

        return alone

    def whole() -> bool:
        item._initrequest()
        return all(report.outcome != "failed" for report in runtestprotocol(item, log=False, nextitem=None))

    return whole


def every(files: list[str]) -> list[Mutant]:
    return [mutant for file in files for mutant in mutants(file)]


class Hunt:
    """A plugin of pytest whose loop runs the collected tests over every mutant, in one or two processes."""

    def __init__(self, files: list[str], jobs: int) -> None:
        self.mutants, self.jobs = every(files), jobs
        self.noticed: dict[str, str] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        hunters = Hunters()
        hunters.add_vectors()
        for item in session.items:
            hunters.add_test(item)
        started = time.monotonic()
        if self.jobs == 1:
            self.noticed = {mutant.key: hunters.notice(mutant) for mutant in self.mutants}
        else:
            self.noticed = self._forked(hunters)
        print(f"\n{len(self.mutants)} mutants in {time.monotonic() - started:.0f} s")
        return True

    def _forked(self, hunters: Hunters) -> dict[str, str]:
        """Let a child take every other mutant."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            found = {mutant.key: hunters.notice(mutant) for mutant in self.mutants[1::2]}
            with os.fdopen(writer, "w") as file:
                json.dump(found, file)
            os._exit(0)
        os.close(writer)
        mine = {mutant.key: hunters.notice(mutant) for mutant in self.mutants[::2]}
        with os.fdopen(reader) as file:
            mine |= json.load(file)
        os.waitpid(child, 0)
        return mine
