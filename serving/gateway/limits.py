"""What clients, requests and answers may take: sizes in bytes, times in seconds.

A bound that belongs to one reader stands beside it: of JSON in ``body``, of a call's arguments in ``requests``, of
tokens in ``inputs``, of an engine's words in ``relay``, of the attester's lines in ``attester``.
"""

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
    # Of what an engine compiles: all schemas together, one pattern.
    schema_bytes: int = 64 * 1024
    schema_depth: int = 32
    pattern_bytes: int = 512
    pattern_depth: int = 8
    # What a grammar writes out: a pattern's parts, each as often as {m,n} says; a schema's maxItems and so on.
    pattern_pieces: int = 256
    loose: int = 64  # that may be left out, of all patterns of a field
    repeats: int = 10_000
    # Of one object, as engines combine what may be missing with each other; and of what one part of allOf takes in.
    properties: int = 128
    merged: int = 256
    tools: int = 128
    media: int = 128  # 64 images and 64 sounds are the most that an inventory may let vLLM take
    # Of one answer.
    choices: int = 8
    logprobs: int = 20
    stops: int = 4
    stop_length: int = 256
    max_tokens: int = 131_072
    # Of texts, for each token that the model takes: to read what is certainly too long costs an engine up to minutes.
    token_bytes: int = 32
    # Of one request for completions, embeddings.
    inputs: int = 256
    # Embeddings as numbers: of 11,000 dimensions so many fit into an answer; in base64 they are a fifth as long.
    inputs_as_numbers: int = 64
    # All connections, those in their handshake too: the gateway's unit has descriptors for more.
    connections: int = 1024
    requests: int = 64  # as the command line says: engines differ in how many they work on at once
    # Nonces that wait for a quote, which is over all of them (protocol.md: at most 4,096); clients that activate.
    attestations: int = 512  # below the connections, each of which waits with one: here the clear refusal comes first
    activations: int = 64
    # Tokens that are counted at once, and subjects: 28 MB where there is no room for one more of either.
    callers: int = 65_536
    # Held of a token's budget for an answer whose request does not say how long it may be.
    answer_tokens: int = 4096
    keep_alive_seconds: int = 30
    handshake_seconds: float = 10.0
    # For the answer to our goodbye (TLS's close_notify).
    farewell_seconds: float = 5.0
    # How long a client's host may acknowledge nothing until it is taken for gone.
    vanished_seconds: int = 60
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
    # Between those of two activations: more than the attester takes to allow another (serving/attest/service.py, Rate).
    activation_pause_seconds: float = 0.13
    probe_seconds: float = 300.0
    # Each try costs a twentieth of a second under software emulation, while the engine wants every bit of it.
    probe_pause_seconds: float = 3.0
    # Between two connections that are held to notice the engine's end, where it closes them as idle ones.
    hold_pause_seconds: float = 0.1
