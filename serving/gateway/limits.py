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
    schema_bytes: int = 64 * 1024
    connections: int = 1024
    requests: int = 64
    # Nonces that wait for a quote, and of them in one quote (protocol.md: at most 4,096); clients that activate.
    attestations: int = 1024
    tree: int = 4096
    activations: int = 64
    keep_alive_seconds: int = 30
    # From the engine: how long it may be silent (a long prompt on a slow machine), and in all.
    engine_connect_seconds: float = 10.0
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
