"""What vLLM is told beyond the model, each with its reason; and what it is never told.

Asserted by tests/serving_vllm on the running processes of the release that ships, 0.19.1, in its build for the CPU, and
that their names are vLLM's. A rule that it does not know (``since``) was seen on 0.32.0 in November 2026, all others
on a GPU too, with 0.20.2. Flags are the second layer: the first is that the gateway alone reaches the socket, and
forwards nothing but judged requests to a few routes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """Words of the command line, or one variable of the environment, and why.

    ``since`` is vLLM's first release that is known to know them; an earlier one would not start.
    """

    words: tuple[str, ...]
    why: str
    since: tuple[int, int] = (0, 0)


FLAGS = (
    Rule(("--disable-uvicorn-access-log",), "it would write each request's path and time"),
    Rule(("--uvicorn-log-level", "critical"), "errors of the HTTP server quote what was received"),
    Rule(("--disable-log-stats",), "a line about the load every few seconds tells of the callers"),
    Rule(("--disable-fastapi-docs",), "pages that nobody needs, and whose HTML points at other machines"),
    # 0.19.1 has neither the flag nor the hash.
    Rule(("--fingerprint-mode", "none"), "answers would carry a hash of version and configuration", since=(0, 32)),
    Rule(("--allowed-media-domains", "none.invalid"), "an empty list would allow every domain to be fetched"),
    Rule(
        ("--mm-processor-cache-gb", "0"),
        "4 GiB of callers' images would be kept, for whoever sends one again",
    ),
    Rule(("--gdn-prefill-backend", "triton"), "FlashInfer's is compiled at first use, by nvcc; the image has none"),
)
"""Passed always, to a release that knows them."""

ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": Rule(("CRITICAL",), "tool parsers log what the model said at WARNING, prompts at DEBUG"),
    "VLLM_NO_USAGE_STATS": Rule(("1",), "it would send statistics out, and write them to the home folder"),
    "DO_NOT_TRACK": Rule(("1",), "the same, as other libraries read it"),
    "HF_HUB_OFFLINE": Rule(("1",), "a model is a folder on the measured disk, never a name to look up"),
    "TRANSFORMERS_OFFLINE": Rule(("1",), "the same"),
    "HF_HUB_DISABLE_TELEMETRY": Rule(("1",), "the hub's library would tell of its use"),
    "VLLM_HOST_IP": Rule(("127.0.0.1",), "it would look for its address by way of a public name server's"),
    "VLLM_LOOPBACK_IP": Rule(("127.0.0.1",), "its processes talk to each other by loopback alone"),
    "GLOO_SOCKET_IFNAME": Rule(("lo",), "the same, for collective operations of the CPU"),
    "NCCL_SOCKET_IFNAME": Rule(("lo",), "the same, for those of GPUs"),
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": Rule(("0",), "a redirect leads around a list of domains"),
    "VLLM_XGRAMMAR_CACHE_MB": Rule(("0",), "a schema that somebody sent before would be answered sooner, whoever asks"),
    "VLLM_PLUGINS": Rule(("",), "empty: nothing that a package registers is loaded, resolvers of adapters included"),
    "VLLM_WORKER_MULTIPROC_METHOD": Rule(("spawn",), "a fork would copy threads' locks and the parent's memory"),
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": Rule(("75",), "the gateway uses a connection again that was idle for at most 15 s"),
    "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": Rule(("0",), "a server without its engine would answer errors for ever"),
    "TORCHDYNAMO_DISABLE": Rule(("1",), "it needs a compiler at run time and runs what it wrote; the image has none"),
    "PYTHONDONTWRITEBYTECODE": Rule(("1",), "nothing is written"),
}
"""Set always, to the one word. The environment has nothing else but paths and what the model's options say."""

NEVER_FLAGS = (
    Rule(("--enable-log-requests",), "parameters at INFO, prompts at DEBUG"),
    Rule(("--enable-log-outputs",), "answers"),
    Rule(("--log-config-file",), "it could bring any of the logs back"),
    Rule(("--trust-remote-code",), "code of the model's folder would run"),
    Rule(("--trust-request-chat-template",), "a template is a program"),
    # 0.19.1 has no such flag and takes them from everybody; the gateway does not let the field through.
    Rule(("--trust-request-mm-kwargs",), "a caller would set what decoding his media may cost"),
    Rule(("--enable-prompt-embeds",), "tensors of strangers would be unpickled"),
    Rule(("--enable-prompt-tokens-details",), "cached tokens tell what somebody sent before"),
    Rule(("--enable-per-request-metrics",), "the same, as times"),
    Rule(("--allowed-local-media-path",), "a caller could name files"),
    Rule(("--tool-server",), "tools that run here reach out"),
    Rule(("--tool-parser-plugin",), "it loads a file of Python"),
    Rule(("--middleware",), "it loads code around every request"),
    Rule(("--profiler-config",), "routes that write traces to the disk"),
    Rule(("--otlp-traces-endpoint",), "traces leave the machine"),
    Rule(("--kv-transfer-config",), "caches leave the process"),
    Rule(("--kv-events-config",), "what is cached is published"),
    Rule(("--api-key",), "it guards a few routes only; nothing may rely on it"),
    Rule(("--host",), "a port would be a second door"),
    Rule(("--port",), "the same"),
    Rule(("--enable-server-load-tracking",), "the load, for whoever asks"),
    Rule(("--enable-sleep-mode",), "a route that stops the service"),
)
NEVER_VARIABLES = (
    Rule(("VLLM_DEBUG_LOG_API_SERVER_RESPONSE",), "answers in the log"),
    Rule(("VLLM_ENABLE_RESPONSES_API_STORE",), "it keeps answers in memory for ever"),
    Rule(("VLLM_ALLOW_RUNTIME_LORA_UPDATING",), "a caller would load adapters that nobody measured"),
    Rule(("VLLM_SERVER_DEV_MODE",), "routes that stop, reset and reconfigure the engine"),
    Rule(("VLLM_ALLOW_INSECURE_SERIALIZATION",), "pickles between processes run code"),
    Rule(("VLLM_LOGGING_CONFIG_PATH",), "it could bring any of the logs back"),
    Rule(("VLLM_DEBUG_DUMP_PATH",), "dumps of what is compiled and run"),
    Rule(("VLLM_TRACE_FUNCTION",), "every call in a file"),
    Rule(("VLLM_MEDIA_CACHE",), "media of strangers in files"),
    Rule(("VLLM_HAS_FLASHINFER_CUBIN",), "it would say that FlashInfer, which compiles at first use, can be used"),
    Rule(("VLLM_API_KEY",), "a secret in the environment, for nothing"),
)
