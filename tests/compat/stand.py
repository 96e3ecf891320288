"""A gateway in the tools tree, on the image's own versions, and clients of the host's in its network namespace.

``python -m tests.compat.stand`` asks every client for every feature, and writes llama.cpp's table of the page.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from provisioner.image.chroot import Bind, enter
from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree, unpacked_engine
from tests.compat.page import CLIENTS, ORDER, PAGE, REPOSITORY, renewed
from tests.serving_vllm.weights import put_model

CACHE = REPOSITORY / "build/cache"
INSIDE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
INSIDE |= {"VITRINE_TREE": "1", "VITRINE_MODEL": "/work/model", "VITRINE_ENGINE": "/work/engine"}


def say(line):
    sys.stderr.write(f"{line}\n")


@dataclass(slots=True)
class Stand:
    """A gateway that answers: its address, its certificate, and the process whose namespace it is in."""

    url: str
    certificate: Path
    process: subprocess.Popen

    def run(self, *argv, timeout=1800):
        """Run a program of the host's where the gateway is, and nothing else."""
        command = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", "--", *map(str, argv)]
        environment = {**INSIDE, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=timeout, cwd=REPOSITORY
        )

    def table(self, python, *clients):
        """Ask clients for every feature; return the results by client and feature."""
        done = self.run(python, "-m", "tests.compat", self.url, self.certificate, *clients)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def stand(kind):
    """Run ``tests.serving.stand`` in the tree until the block is left."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for folder in ("source", "engine", "model", "stand"):
            (work / folder).mkdir()
        if kind == "llamacpp":
            put_model(work / "model")
        command = python_in_tree(work, f"tests.serving.stand /work/stand {kind}")
        process = subprocess.Popen(command, env=INSIDE, stdin=subprocess.PIPE)
        try:
            port = _port(process, work / "stand/port")
            yield Stand(f"https://127.0.0.1:{port}", work / "stand/tls/cert.pem", process)
        finally:
            process.stdin.close()
            process.wait(30)


def python_in_tree(work, module):
    """Return the command line that runs a module of the tests in the tools tree, with a folder at /work."""
    tree = tools_tree(Sources(CACHE), progress=say).tree
    engine = Bind(unpacked_engine(CACHE, progress=say), "/work/engine")
    binds = [Bind(work, "/work", writable=True), Bind(REPOSITORY, "/work/source"), engine]
    return enter(tree.resolve(), ["sh", "-c", f"cd /work/source && exec python3 -m {module}"], binds=binds)


def _port(process, path):
    deadline = time.monotonic() + 180
    while not path.exists():
        assert process.poll() is None, "the gateway died"
        assert time.monotonic() < deadline, "the gateway does not answer"
        time.sleep(0.1)
    return int(path.read_text())


if __name__ == "__main__":
    with stand("llamacpp") as standing:
        PAGE.write_text(renewed(PAGE.read_text(), "llamacpp", standing.table(CLIENTS, *ORDER)))
