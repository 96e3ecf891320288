"""The examples of docs/client.md that need LangChain or LiteLLM, with those libraries, before a simulated service."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.client_sdk.conftest import pins, server  # noqa: F401 - fixtures
from tests.compat.page import CLIENTS
from tests.documentation.pages import ROOT
from tests.e2e.test_docs import BLOCK, ELSEWHERE

PAGE = ROOT / "docs/client.md"
BLOCKS = [text for kind, text in BLOCK.findall(PAGE.read_text()) if kind == "python"]
NEEDY = [text for text in BLOCKS if ELSEWHERE.search(text)]
NAMES = [ELSEWHERE.search(text)[0].split()[-1] for text in NEEDY]


def test_all_of_them_are_here():
    """What tests/e2e/test_docs.py leaves out is run below."""
    assert [name.split("_")[0] for name in NAMES] == ["langchain", "litellm"]
    elsewhere = [p for p in (ROOT / "docs").rglob("*.md") if p != PAGE and ELSEWHERE.search(p.read_text())]
    assert elsewhere == []


@pytest.mark.clients
@pytest.mark.parametrize("text", NEEDY, ids=NAMES)
def test_other_peoples_libraries_ask_through_the_verified_client(server, pins, tmp_path, text):  # noqa: F811
    assert CLIENTS.exists(), "make test-clients installs the clients"
    script = f"{BLOCKS[0]}\n{text}".replace("https://127.0.0.1:8443", server.origin)
    (tmp_path / "example.py").write_text(script.replace("build/local/", f"{pins.release.parent}/"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    argv = [CLIENTS, tmp_path / "example.py"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Paris.") == 2
    assert len(server.prompts) == 2
    assert server.rounds() == 1
