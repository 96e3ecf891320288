"""docs/pinning-a-log.md: its commands against a simulated service, its example of pins, and its table of rules."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk import Publisher
from client_sdk.cli.rules import rows
from tests.fakes.simulated_vm import publisher_key
from tests.transparency.logs import LOG, W1, W2, W3

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/pinning-a-log.md").read_text()


def block(kind):
    return "".join(re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


def test_every_command_of_the_page(server, pins, tmp_path):
    folder = tmp_path / "local"
    folder.mkdir()
    for path in (pins.release, pins.publisher, pins.tpm_ca):
        shutil.copy(path, folder)
    text = block("sh").replace("build/local/", f"{folder}/").replace("https://127.0.0.1:8443", server.origin)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        program, *words = shlex.split(line)
        assert program == ".venv/bin/vitrine"
        done = subprocess.run(
            [sys.executable, "-m", "client_sdk.cli", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    assert "in the log log.example/pinned of 1 entries, without witnesses: publisher trusted alone" in done.stdout
    assert (folder / "client-state/memory.json").exists()


def test_the_example_of_pins(tmp_path, monkeypatch):
    """All of it is pinned as it says; the client itself has a name that nobody answers at."""
    monkeypatch.chdir(tmp_path)
    for name in ("alice", "bob", "carol", "rebuilder"):
        public = publisher_key(name).public_key()
        Path(f"{name}.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for name, signer in {"log": LOG, "w1": W1, "w2": W2, "w3": W3}.items():
        Path(f"{name}.pub").write_text(f"{signer.verifier}\n")
    pins, _, connect = block("py").partition("client = ")
    names = {"Publisher": Publisher, "timedelta": timedelta}
    exec(compile(pins, "docs/pinning-a-log.md", "exec"), names)  # noqa: S102 - our own documentation
    assert (names["publisher"].quorum, names["publisher"].log_key) == (2, LOG.verifier)
    assert connect.startswith('Client("https://llm.example", releases="bundle.json", publisher=publisher, memory=')


def test_the_table_of_rules_is_the_clients():
    here = ["releases.py", "judge.py", "note.py", "checkpoint.py", "merkle.py", "rollback.py", "revoked.py"]
    kept = {row.id for row in rows(None) if Path(row.file).name in here and row.id[:2] in {"R2", "R3", "R5"}}
    named = {rule for line in TEXT.splitlines() if line.startswith("| R") for rule in line.split("|")[1].split(", ")}
    assert {rule.strip() for rule in named} == kept
