"""What the units of gateway and engines are told of the models; plugins/filter/models.py hands it to the roles."""

from __future__ import annotations

from provisioner.models import LEAST_REQUESTS, ModelSpec

_SOCKETS = "/run/vitrine/engine"


def engine_units(models: tuple[ModelSpec, ...]) -> dict[str, str]:
    """Name the unit of each model's engine, and what wants it."""
    return {f"vitrine-engine-{model.engine}@{model.name}.service": "multi-user.target" for model in models}


def gateway_words(models: tuple[ModelSpec, ...]) -> str:
    """Name every model on the gateway's command line: engine, what was turned on for it, context, socket."""
    words = [
        f"--model {name}={_traits(model)}:{model.context}:{_SOCKETS}/{model.name}/engine.sock"
        for model in models
        for name in model.names
    ]
    return " ".join([*words, f"--requests {requests_at_once(models)}"])


def requests_at_once(models: tuple[ModelSpec, ...]) -> int:
    """Say how many requests the gateway lets through to all engines together."""
    return max(LEAST_REQUESTS, 2 * sum(model.slots for model in models))


def _traits(model: ModelSpec) -> str:
    on = {"embed": model.task == "embed", "media": model.media > 0, "tools": bool(model.tool_parser)}
    return ",".join([model.engine, *(trait for trait, is_on in on.items() if is_on)])
