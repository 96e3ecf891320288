"""Every bound of the gateway in one place: sizes in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, one request and all of them together may take."""

    header_bytes: int = 16 * 1024
    header_seconds: float = 15.0
    body_bytes: int = 4 * 1024 * 1024
    body_seconds: float = 30.0
    # Of all bodies that are being received at once: a thousand slow ones must not fill the memory.
    bodies_bytes: int = 64 * 1024 * 1024
    json_depth: int = 64
    # Of what an engine compiles: a schema, all tools together, one pattern.
    schema_bytes: int = 64 * 1024
    schema_depth: int = 32
    pattern_bytes: int = 512
    pattern_depth: int = 8
    # What a grammar unrolls: a schema's maxItems and so on each, a pattern's {m,n} multiplied, as nested ones are.
    repeats: int = 10_000
    tools: int = 128
    # Of one answer.
    choices: int = 8
    logprobs: int = 20
    stops: int = 4
    stop_length: int = 256
    max_tokens: int = 131_072
    # Of one request for completions, embeddings.
    inputs: int = 256
    connections: int = 1024
    requests: int = 64  # as the command line says: engines differ in how many they work on at once
    # Nonces that wait for a quote, and of them in one quote (protocol.md: at most 4,096); clients that activate.
    attestations: int = 1024
    tree: int = 4096
    activations: int = 64
    # Tokens that are counted at once, and subjects: 28 MB where there is no room for one more of either.
    callers: int = 65_536
    # Held of a token's budget for an answer whose request does not say how long it may be.
    answer_tokens: int = 4096
    keep_alive_seconds: int = 30
    # From the engine: how long it may be silent (a long prompt on a slow machine), and in all.
    engine_connect_seconds: float = 10.0
    # How old an idle connection to it may be when it is used again. vLLM is told to close none younger than a minute.
    engine_idle_seconds: float = 15.0
    engine_silence_seconds: float = 900.0
    engine_total_seconds: float = 3600.0
    answer_bytes: int = 16 * 1024 * 1024
    event_bytes: int = 1024 * 1024
    # From a client: how long it may leave an answer unread.
    client_stall_seconds: float = 60.0
    # From the attester: how long a client waits for it in all. Between the beginnings of two quotes: at least this.
    attester_seconds: float = 10.0
    quote_pause_seconds: float = 0.025
    probe_seconds: float = 300.0
    # Each try costs a twentieth of a second under software emulation, while the engine wants every bit of it.
    probe_pause_seconds: float = 3.0
    # Between two connections that are held to notice the engine's end, where it closes them as idle ones.
    hold_pause_seconds: float = 0.1
