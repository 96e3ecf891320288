"""The work of `vitrine ask`. It loads ``openai``, which takes a second: the other commands do without."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

import httpx2
from openai import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
)
from openai.types.chat import ChatCompletionMessageParam

from client_sdk.cli.codes import NO_VERDICT, REFUSED
from client_sdk.cli.options import UsageError, now, opened, origin, patiently, trust
from client_sdk.cli.printing import print_json, print_refusal, progress, refusal_as_dict
from client_sdk.cli.token_option import VARIABLE, read_token
from client_sdk.client import Client
from client_sdk.errors import AttestationError, FetchError, printable

_GIVE_ONE = f"give one with --token-file FILE or in {VARIABLE}"
ANSWER_SECONDS = 600.0  # between two tokens: small machines are slow


def run(arguments: argparse.Namespace) -> int:
    """Verify, ask, print; return the exit code."""
    if arguments.max_tokens < 1:
        raise UsageError("--max-tokens: expected at least 1")
    if not arguments.question.strip():
        raise UsageError("the question is empty")
    try:
        with _client(arguments) as client:
            _ask(client, arguments)
    except AttestationError as error:
        if arguments.json:
            print_json(refusal_as_dict(error, origin=arguments.origin))
        else:
            print_refusal(error, origin=arguments.origin)
        return NO_VERDICT if isinstance(error, FetchError) else REFUSED
    except (APIConnectionError, APIStatusError, httpx2.TransportError) as error:
        if isinstance(error, AuthenticationError):
            raise UsageError(f"verified, but the service wants another token: {error.message}; {_GIVE_ONE}") from error
        if isinstance(error, (BadRequestError, NotFoundError, PermissionDeniedError)):
            raise UsageError(f"verified, but the service refuses the request: {error.message}") from error
        message = f"verified, but there is no answer: {error.__cause__ or error}"
        if arguments.json:
            print_json({"origin": arguments.origin, "verdict": "no answer", "error": {"message": message}})
        progress(f"vitrine: {message}")
        return NO_VERDICT
    return 0


def _client(arguments: argparse.Namespace) -> Client:
    where, trusted, token = origin(arguments), trust(arguments), read_token(arguments.token_file)

    opened(trusted, at_instant=now(), remember=False)  # a release that nobody signed is not worth a connection

    def connect() -> Client:
        return Client(
            str(where),
            releases=trusted.releases,
            publisher=trusted.publisher,
            policy=trusted.policy,
            collateral=trusted.collateral,
            memory=trusted.memory,
            api_key=token,
            attestation_timeout=arguments.timeout,
            timeout=ANSWER_SECONDS,
        )

    return patiently(connect, wait=arguments.wait, say=progress)


def _ask(client: Client, arguments: argparse.Namespace) -> None:
    report = client.attestation
    progress(f"verified: {arguments.origin}, {len(report.checks)} checks passed")
    # Waiting is for a route without a prompt in it: the question is sent once, and never again.
    patiently(lambda: _ready(client, arguments.origin), wait=arguments.wait, say=progress)
    model = arguments.model or _first_model(client)
    pieces = _stream(client, model, arguments)
    if arguments.json:
        print_json(report.as_dict() | {"origin": arguments.origin, "model": model, "answer": "".join(pieces)})
        return
    for piece in pieces:
        sys.stdout.write(_harmless(piece) if sys.stdout.isatty() else piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def _first_model(client: Client) -> str:
    models = client.models.list().data
    if not models:
        raise UsageError("the service names no model; give one with --model")
    return models[0].id


def _stream(client: Client, model: str, arguments: argparse.Namespace) -> Iterable[str]:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": arguments.question}]
    if arguments.system:
        messages.insert(0, {"role": "system", "content": arguments.system})
    stream = client.chat.completions.create(
        model=model, messages=messages, max_tokens=arguments.max_tokens, temperature=0, stream=True
    )
    for chunk in stream:
        for choice in chunk.choices:
            yield choice.delta.content or ""


def _harmless(piece: str) -> str:
    """Keep a model from commanding the terminal; line breaks and tabs are fine."""
    return "".join(c if c in "\n\t" else printable(c) for c in piece)


def _ready(client: Client, where: str) -> None:
    """Ask whether the model is loaded.

    Raises:
        FetchError: not yet.
    """
    health = client.get(f"{where.rstrip('/')}/healthz", cast_to=dict[str, str])
    if health.get("engine") != "ready":
        raise FetchError(f"{where} is still loading its model")
