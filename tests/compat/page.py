"""``python -m tests.compat.page``: ask every client for every feature, and write docs/api-compat.md."""

from __future__ import annotations

from tests.compat.features import FEATURES
from tests.compat.stand import CLIENTS, REPOSITORY, stand

PAGE = REPOSITORY / "docs/api-compat.md"
ORDER = ("openai", "langchain", "litellm", "curl")
TEXT = """# Which client gets what

Written by `make compat-page`; a test runs the same and fails where this page says something else. Each client is a
stock one, and asks the gateway on the versions that the image holds, with traffic shaping on, before the local
platform's engine: llama.cpp with SmolLM2-135M. How requests are judged is in [http.md](http.md), every field in
[openapi.json](openapi.json).

{table}

*works*: the answer is the right one, and not only an answer. *refused*: OpenAI's error with this code, as the client
hands it on (LiteLLM hides the code of some behind the status). Nothing: the client has no such call, or it is not
asked.

- **Embeddings** need a model for embeddings; **images** one that sees. This one is neither, and says so.
- **Tools**: llama.cpp reads a call in the answer and constrains its arguments by the schema. `required` forbids an
  answer without a call, not words before it; a model this small calls where the conversation has calls, and else
  talks until `max_tokens`. A named tool is refused: llama.cpp would take it for `auto`.
- **Structured output** holds as far as the engine's converter goes: llama.cpp ignores a `pattern` that does not begin
  with `^` and end with `$`, or has anchors, assertions or references within, and those of `patternProperties`.
- **Responses** are translated to chats by the gateway, for every engine in the same way: `store` must be false or
  absent, so `previous_response_id` and what else needs a store are refused.
- Tried with {versions}.
"""


def page(results):
    """Write the page of these results; curl's version is the machine's own, and not named."""
    names = list(results)
    rows = [["", *names], ["---"] * (len(names) + 1)]
    rows += [[feature, *(results[name].get(feature, "") for name in names)] for feature in FEATURES]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    versions = ", ".join(f"{name} {results[name]['version']}" for name in names if name != "curl")
    return TEXT.format(table=table, versions=versions)


def cells(text):
    """Read the page's table: results by client and feature."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    names = rows[0][1:]
    return {name: {row[0]: row[i + 1] for row in rows[2:] if row[i + 1]} for i, name in enumerate(names)}


if __name__ == "__main__":
    with stand("llamacpp") as running:
        PAGE.write_text(page(running.table(CLIENTS, *ORDER)))
