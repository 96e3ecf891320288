"""llama.cpp, through xllamacpp: its own HTTP server, in this process, on a UNIX socket."""

from __future__ import annotations

import signal
from collections.abc import Callable

from xllamacpp import CommonParams, Server, llama_pooling_type

from serving.engines.interface import Settings, Tuning
from serving.engines.probe import steps
from serving.errors import EngineError
from serving.task import EMBED

MODEL_FILE = "model.gguf"
# After so long without a question it gives back weights, KV cache and buffers. The next question, be it the
# watchdog's, loads the weights again and makes new slots, so that of the texts of callers nothing is left.
IDLE_SECONDS = 300
# Each connection holds one: those of the requests that the gateway lets through, of its probe and of the watchdog's,
# the one by which it notices the engine's end, and those that are being closed. With fewer it makes more as they are
# needed, but a request that comes while its one idle thread is being woken for another waits until some other ends.
_MORE_THREADS = 8

# The format that the model was trained on, without the system prompt that its own template adds when a caller gives
# none: 21 tokens that nobody asked for, each of which costs half a second under software emulation. From how it writes
# calls llama.cpp derives how to read them; without that it drops a request's tools, and answers as if there were none.
_CHAT_TEMPLATE = (
    "{% if tools %}<|im_start|>system\nCall functions:\n<tools>"
    "{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n</tools>\n<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def run(settings: Settings, ready: Callable[[], None]) -> None:
    """Serve the model until the process ends.

    Raises:
        EngineError: when the model cannot be loaded or the socket cannot be had, or an option is vLLM's.
    """
    if settings.tuning != Tuning():
        raise EngineError("llama.cpp takes none of vLLM's options")
    settings.socket.unlink(missing_ok=True)  # of an engine that died
    try:
        server = Server(parameters(settings))
    except RuntimeError as error:
        raise EngineError("llama.cpp cannot load the model or listen") from error
    settings.socket.chmod(0o660)
    ready()
    while server.listening_address:  # the server has threads of its own, and lives as long as this object
        signal.pause()


def alive(settings: Settings) -> bool:
    """Say whether it computes, whatever the model is for: a question of ours would wait behind those of callers."""
    return steps(settings.socket)


def parameters(settings: Settings) -> CommonParams:
    """Set llama.cpp up: nothing is written, and no request leaves a trace that the next one could feel."""
    params = CommonParams()
    params.model.path = str(settings.model / MODEL_FILE)
    params.model_alias = {settings.name}
    params.hostnames = [str(settings.socket)]  # a host that ends in .sock is a UNIX socket
    params.chat_template = _CHAT_TEMPLATE
    params.n_ctx = settings.context * settings.slots
    params.n_parallel = settings.slots
    params.n_threads_http = settings.requests + _MORE_THREADS
    params.sleep_idle_seconds = IDLE_SECONDS
    params.n_gpu_layers = 0
    params.fit_params = False
    params.warmup = False  # the gateway's probe warms up
    # A prefix that answers faster because somebody else sent it before would tell what he sent.
    params.cache_prompt = False
    params.cache_idle_slots = False
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.slot_prompt_similarity = 0.0
    params.verbosity = -1
    params.endpoint_slots = False
    params.endpoint_props = False
    params.endpoint_metrics = False
    params.ui = False
    params.offline = True
    if settings.task == EMBED:
        _embed(params, settings)
    return params


def _embed(params: CommonParams, settings: Settings) -> None:
    """Have whole texts embedded, one at a time, each in one batch.

    Of several it computes as many tokens of each as the shortest has, then the rest, and pools the rest alone: the
    embedding of the longer one is wrong, and differs with what another caller sent at the same time.
    """
    params.embedding = True
    params.n_parallel = 1
    params.n_ctx = params.n_batch = params.n_ubatch = settings.context
    if settings.pooling:
        params.pooling_type = getattr(llama_pooling_type, f"LLAMA_POOLING_TYPE_{settings.pooling.upper()}")
