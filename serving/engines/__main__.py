"""``python3 -m serving.engines NAME``: serve one model until the machine ends. What the engine prints is lost."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from serving.engines.interface import Run, Settings
from serving.engines.models import Places, read_model
from serving.errors import EngineError
from serving.notify import notify_ready


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the process is told."""

    engine: str
    settings: Settings
    notify: str | None


def read_config(arguments: list[str], environment: Mapping[str, str]) -> Config:
    """Read the command line, and of the list of models the one that it names.

    Raises:
        EngineError: the list cannot be read, or does not name the model.
    """
    parser = argparse.ArgumentParser(prog="serving.engines", allow_abbrev=False)
    parser.add_argument("name")
    parser.add_argument("--list", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--sockets", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        data = options.list.read_bytes()
    except OSError as error:
        raise EngineError("there is no list of models") from error
    engine, settings = read_model(data, options.name, Places(options.models, options.sockets))
    return Config(engine, settings, environment.get("NOTIFY_SOCKET"))


def discard_output() -> None:
    """Send standard output and error nowhere: an engine's last words before a crash may hold a prompt."""
    number = os.open(os.devnull, os.O_WRONLY)
    os.dup2(number, sys.stdout.fileno())
    os.dup2(number, sys.stderr.fileno())


def main() -> int:
    """Run the process; return the exit status."""
    discard_output()
    os.umask(0o077)
    try:
        config = read_config(sys.argv[1:], os.environ)
        run: Run = importlib.import_module(f"serving.engines.{config.engine}").run
        run(config.settings, partial(notify_ready, config.notify))
    except EngineError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
