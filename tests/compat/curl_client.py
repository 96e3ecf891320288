"""curl, as a shell script would use it: JSON and server-sent events as they are."""

from __future__ import annotations

import json
import re
import subprocess
from urllib.parse import urlsplit

from tests.compat.features import MODEL, QUESTION, Client, told

ASK = {"model": MODEL, "temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": QUESTION}]}


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, error):
        self.code = error["code"]
        super().__init__(error["message"])


def client(url, certificate):
    """Curl against one gateway, whose certificate names a host that is nowhere."""
    port = urlsplit(url).port
    base = ["curl", "--silent", "--show-error", "--max-time", "120", "--cacert", str(certificate)]
    base += ["--connect-to", f"vitrine.invalid:{port}:127.0.0.1:{port}"]

    def curl(path, body=None):
        data = ["--json", json.dumps(body)] if body else []
        address = f"https://vitrine.invalid:{port}/v1{path}"
        done = subprocess.run([*base, *data, address], capture_output=True, text=True, check=True)
        return done.stdout

    def ask(path, body=None):
        found = json.loads(curl(path, body))
        if found.get("error"):
            raise RefusedError(found["error"])
        return found

    def streamed():
        lines = [
            line[6:] for line in curl("/chat/completions", {**ASK, "stream": True}).splitlines() if line[:6] == "data: "
        ]
        parts = [json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines[:-1]]
        return told("".join(parts)) if lines[-1] == "[DONE]" else "no end"

    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    prompt = {"model": MODEL, "prompt": "The capital of Japan is", "max_tokens": 2, "temperature": 0}
    response = {"model": MODEL, "input": QUESTION, "temperature": 0, "max_output_tokens": 16}
    features = {
        "chat": lambda: told(ask("/chat/completions", ASK)["choices"][0]["message"]["content"]),
        "chat, streamed": streamed,
        "completion": lambda: told(ask("/completions", prompt)["choices"][0]["text"]),
        "response": lambda: told(ask("/responses", response)["output"][0]["content"][0]["text"]),
        "embeddings": lambda: str(ask("/embeddings", {"model": MODEL, "input": "x"})["data"]),
        "models": lambda: "works" if ask("/models")["data"][0]["id"] == MODEL else "others",
        "unknown field": lambda: str(ask("/chat/completions", {**ASK, "cache_salt": "x"})),
    }
    return Client("curl", re.search(r"curl (\S+)", version)[1], features)
