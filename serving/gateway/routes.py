"""The allow-list of routes; what is not here does not exist. docs/openapi.json is written from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """One route: its path as Starlette writes it, its method, and the method of ``Routes`` that answers.

    ``open`` is for whoever reaches the port; all others are behind the door (``serving.access``).
    """

    path: str
    method: str
    handler: str
    open: bool = False


ROUTES = (
    Route("/healthz", "GET", "health", open=True),
    Route("/v1/models", "GET", "models"),
    Route("/v1/models/{name}", "GET", "model"),
    Route("/v1/chat/completions", "POST", "chat"),
    Route("/v1/completions", "POST", "completion"),
    Route("/v1/responses", "POST", "response"),
    Route("/v1/embeddings", "POST", "embedding"),
    Route("/v1/tokenize", "POST", "tokenize"),
    Route("/v1/detokenize", "POST", "detokenize"),
    Route("/.well-known/attestation", "GET", "evidence", open=True),
    Route("/.well-known/attestation/activate", "POST", "activate", open=True),
)
METRICS = Route("/metrics", "GET", "metrics", open=True)
"""Only where the inventory turns it on."""
