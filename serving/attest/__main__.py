"""``python3 -m serving.attest``: seal this boot, then answer on a UNIX socket until the machine ends.

Never ends with 0. Any error before the socket listens, and any that is not expected later, ends the process, and the
unit powers the machine off: what is left could not be attested any more.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from serving.attest.boot import no_gpus, seal
from serving.attest.gpu import GpuWatch, collect
from serving.attest.nvml import NvmlLibrary
from serving.attest.server import Limits, Server
from serving.attest.service import Attester, Rate
from serving.attest.tpm import Tpm
from serving.errors import ServingError
from serving.notify import notify_ready

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the process is told: its command line and systemd's notification socket."""

    tcti: str
    selfcheck: Path
    tls: Path
    socket: Path
    root: Path
    gpus: int
    notify: str | None


def read_config(arguments: list[str], environment: Mapping[str, str]) -> Config:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="serving.attest")
    parser.add_argument("--tcti", required=True)
    parser.add_argument("--selfcheck", type=Path, required=True)
    parser.add_argument("--tls", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--gpus", type=int, default=0)
    return Config(**vars(parser.parse_args(arguments)), notify=environment.get("NOTIFY_SOCKET"))


def serve(config: Config) -> None:
    """Seal and serve. Returns never."""
    tpm = Tpm(config.tcti)
    nvml = NvmlLibrary() if config.gpus else None
    gpus = partial(collect, nvml, config.gpus) if nvml else no_gpus
    sealed = seal(tpm, selfcheck=config.selfcheck, tls=config.tls, root=config.root, gpus=gpus)
    attester = Attester(tpm, sealed, rate=Rate(), clock=time.monotonic)
    server = Server(listen(config.socket), attester, limits=Limits(), clock=time.monotonic)
    watch = GpuWatch(nvml, config.gpus, time.monotonic).look if nvml else None
    notify_ready(config.notify)
    server.serve(watch)


def listen(path: Path) -> socket.socket:
    """Listen on a UNIX socket that its folder's group may use."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    path.chmod(0o660)
    listener.listen(_BACKLOG)
    return listener


def main() -> int:
    """Run the process; return the exit status, which is never 0."""
    try:
        serve(read_config(sys.argv[1:], os.environ))
    except (ServingError, OSError) as error:
        sys.stderr.write(f"attester: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
