"""docs/api-compat.md: which client gets what before each engine. ``tests.compat.stand`` and
``tests.serving_vllm.clients`` ask the clients, and write the table of their engine.
"""

from __future__ import annotations

from pathlib import Path

from tests.compat.features import FEATURES

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/api-compat.md"
CLIENTS = REPOSITORY / "build/clients/bin/python"
ORDER = ("openai", "langchain", "litellm", "curl")
ENGINES = {"llamacpp": "llama.cpp", "vllm": "vLLM"}
"""Their names, and the headings of their tables."""
TEXT = """# Which client gets what

Written by `make compat-page`; tests run the same and fail where this page says something else. Each client is a stock
one, and asks the gateway, with traffic shaping on, before an engine with SmolLM2-135M. How requests are judged is in
[http.md](http.md), every field in [openapi.json](openapi.json).

*works*: the answer is the right one, and not only an answer. *refused*: OpenAI's error with this code, as the client
hands it on (LiteLLM hides the code of some behind the status). Nothing: the client has no such call, or it is not
asked.

- **Embeddings** need a model for embeddings; **images** one that sees. This one is neither, and says so.
- **Responses** are translated to chats by the gateway, for every engine in the same way: `store` must be false or
  absent, so `previous_response_id` and what else needs a store are refused.
- Tried with {versions}.

## llama.cpp

The local platform's engine, and the gateway on the versions that the image holds; `make test-clients` compares.

{llamacpp}

- **Tools**: llama.cpp reads a call in the answer and constrains its arguments by the schema. `required` forbids an
  answer without a call, not words before it; a model this small calls where the conversation has calls, and else
  talks until `max_tokens`. A named tool is refused: llama.cpp would take it for `auto`.
- **Structured output** holds as far as the engine's converter goes: llama.cpp ignores a `pattern` that does not begin
  with `^` and end with `$`, or has anchors, assertions or references within, and those of `patternProperties`.

## vLLM

The engine of [GPU images](models.md) in the version that ships, here on the CPU; `make test-serving` compares.

{vllm}

- **Tools**: the model is served with `tool_parser: hermes`. Without a parser they are refused.
- **Structured output** holds as far as vLLM's grammars go: it ignores `multipleOf`, and an `allOf` of more than one
  part; it refuses `uniqueItems`, `propertyNames`, and patterns that look ahead.
"""


def page(tables, versions):
    """Write the page of results by engine, client and feature."""
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return TEXT.format(versions=told, **{engine: _table(results) for engine, results in tables.items()})


def _table(results):
    names = list(results)
    rows = [["", *names], ["---"] * (len(names) + 1)]
    rows += [[feature, *(results[name].get(feature, "") for name in names)] for feature in FEATURES]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def cells(text, engine):
    """Read one table of the page: results by client and feature."""
    section = text.partition(f"\n## {ENGINES[engine]}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    names = rows[0][1:]
    return {name: {row[0]: row[i + 1] for row in rows[2:] if row[i + 1]} for i, name in enumerate(names)}


def renewed(text, engine, results):
    """Return the page with what the clients got of one engine; curl's version is the machine's own, and not named."""
    versions = {name: found["version"] for name, found in results.items() if name != "curl"}
    tables = {other: cells(text, other) for other in ENGINES if other != engine}
    return page(tables | {engine: results}, versions)
