"""``python3 -m serving.engines NAME``: run one engine until the machine ends. Whatever it prints is thrown away."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from serving.engines.interface import NAMES, Run, Settings
from serving.errors import EngineError
from serving.notify import notify_ready


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the process is told."""

    engine: str
    settings: Settings
    notify: str | None


def read_config(arguments: list[str], environment: Mapping[str, str]) -> Config:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="serving.engines")
    parser.add_argument("engine", choices=NAMES)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    options = vars(parser.parse_args(arguments))
    return Config(options.pop("engine"), Settings(**options), environment.get("NOTIFY_SOCKET"))


def discard_output() -> None:
    """Send standard output and error nowhere: an engine's last words before a crash may hold a prompt."""
    number = os.open(os.devnull, os.O_WRONLY)
    os.dup2(number, sys.stdout.fileno())
    os.dup2(number, sys.stderr.fileno())


def main() -> int:
    """Run the process; return the exit status."""
    config = read_config(sys.argv[1:], os.environ)
    discard_output()
    os.umask(0o117)
    run: Run = importlib.import_module(f"serving.engines.{config.engine}").run
    try:
        run(config.settings, partial(notify_ready, config.notify))
    except EngineError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
