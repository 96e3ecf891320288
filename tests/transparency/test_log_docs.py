"""The commands of docs/log.md, as they stand there, without a VM: they need a release and its publisher's key alone."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from tests.fakes.simulated_vm import NOW, publisher_key
from tests.transparency.keeping import entry

PAGE = Path(__file__).parent.parent.parent / "docs/log.md"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def commands(text):
    joined = re.sub(r"\\\n\s*", " ", text)
    return [shlex.split(line) for line in joined.splitlines() if line]


def test_every_command_of_the_page(tmp_path):
    public = publisher_key().public_key()
    (tmp_path / "publisher.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "release.json").write_bytes(entry(1))
    text = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    text, serving = text.replace("build/local/", f"{tmp_path}/").replace("8480", str(free_port())), []
    try:
        for words in commands(text):
            assert words[0] == ".venv/bin/vitrine"
            command = [sys.executable, "-m", "client_sdk.cli", *words[1:]]
            if words[-1] == "&":
                serving.append(subprocess.Popen(command[:-1], stderr=subprocess.PIPE, text=True))
                assert "serving at" in serving[-1].stderr.readline()
                continue
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, (words, done.stderr)
    finally:
        for child in serving:
            child.terminate()
            child.communicate(timeout=60)
    pinned = Publisher(keys=(public,), log=tmp_path / "trial-log/log.pub")
    (found,) = open_releases(tmp_path / "trial-bundle.json", pinned, now=NOW).releases
    assert found.number == 1
    assert (tmp_path / "trial-cosignature").read_text().startswith("— witness.example/w1 ")


def test_the_table_of_alarms_names_rules_that_the_monitor_keeps():
    from client_sdk.cli.rules import rows

    known = {row.id for row in rows(None)}
    named = set(re.findall(r"`(R\d\.[a-z]+)`", PAGE.read_text()))
    assert named >= {"R3.fork", "R3.stale", "R3.shrunken", "R3.order", "R2.tile", "R2.missing"}
    assert named <= known
