"""The clients that people use, before vLLM: what they get is what docs/api-compat.md says."""

from __future__ import annotations

import pytest

from tests.compat.page import PAGE, renewed
from tests.serving_vllm.clients import OPTIONS, asked
from tests.serving_vllm.conftest import begin, end
from tests.serving_vllm.versions import GPUS


@pytest.fixture
def calling(tmp_path_factory):
    running = begin(tmp_path_factory.mktemp("k"), **OPTIONS)
    yield running
    end(running)


@pytest.mark.asyncio
@pytest.mark.skipif(GPUS > 0, reason="clients are not installed beside GPUs; what they get does not depend on one")
async def test_every_client_gets_what_the_page_says(tmp_path, calling):
    found = await asked(tmp_path, calling)
    assert renewed(PAGE.read_text(), "vllm", found) == PAGE.read_text(), "run: make compat-page"
