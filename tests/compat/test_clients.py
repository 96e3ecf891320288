"""What clients get is what docs/api-compat.md says, and the interface is what docs/openapi.json says."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.compat.described import by_example
from tests.compat.page import CLIENTS, ENGINES, ORDER, PAGE, cells, renewed
from tests.compat.stand import stand

pytestmark = pytest.mark.root
HARMLESS = ("works", "refused: ")


@pytest.fixture(autouse=True)
def _root():
    if os.geteuid() != 0:
        pytest.skip("entering a root file system needs root")


def test_openais_package_and_curl_get_what_the_page_says():
    with stand("llamacpp") as running:
        found = running.table(sys.executable, "openai", "curl")
    said = cells(PAGE.read_text(), "llamacpp")
    for name, results in found.items():
        results.pop("version")
        assert results == said[name]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_has_no_surprise_in_it(engine):
    said = cells(PAGE.read_text(), engine)
    assert [name for name, results in said.items() if not results] == []
    assert [cell for results in said.values() for cell in results.values() if not cell.startswith(HARMLESS)] == []
    assert all(said[name]["chat"] == "works" for name in said)


@pytest.mark.clients
def test_every_client_gets_what_the_page_says():
    assert CLIENTS.exists(), "make test-clients installs the clients"
    with stand("llamacpp") as running:
        found = running.table(CLIENTS, *ORDER)
    assert renewed(PAGE.read_text(), "llamacpp", found) == PAGE.read_text(), "run: make compat-page"


@pytest.mark.clients
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("kind", "operations", "tested"),
    [
        # Evidence is tested elsewhere: no attester stands here.
        ("fake", [f"--exclude-operation-id={name}" for name in ("evidence", "activate", "embedding")], 9),
        ("embed", ["--include-operation-id=embedding"], 1),
    ],
    ids=["a model that writes", "a model for embeddings"],
)
def test_a_fuzzer_finds_nothing_that_the_description_does_not_say(tmp_path, kind, operations, tested, seed):
    """Schemathesis sends what the description allows and what it does not, and looks at what comes back."""
    (tmp_path / "openapi.json").write_text(json.dumps(by_example()))
    options = ["--tls-verify", "false", "--max-examples", "100", "--phases", "examples,coverage,fuzzing", "--no-color"]
    # test_channel.py has unknown methods.
    options += [*operations, "--exclude-checks", "unsupported_method", "--seed", str(seed)]
    with stand(kind) as running:
        fuzzer = CLIENTS.parent / "st"
        done = running.run(fuzzer, "run", tmp_path / "openapi.json", "--url", running.url, *options)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {tested}" in done.stdout, done.stdout[-2000:]


@pytest.mark.clients
def test_the_fuzzer_would_notice(tmp_path):
    """The control: a description that promises another answer fails."""
    described = by_example()
    described["paths"] = {"/healthz": described["paths"]["/healthz"]}
    described["components"]["schemas"]["Health"]["properties"]["engine"] = {"const": "never"}
    (tmp_path / "openapi.json").write_text(json.dumps(described))
    with stand("fake") as running:
        fuzzer = CLIENTS.parent / "st"
        done = running.run(
            fuzzer, "run", tmp_path / "openapi.json", "--url", running.url, "--tls-verify", "false", "--no-color"
        )
    assert done.returncode == 1, done.stdout[-2000:]
