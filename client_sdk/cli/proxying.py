"""The work of `vitrine proxy`: verify every service, then listen; nothing is answered before all of it holds."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from client_sdk.attested import AsyncAttestedHttpClient, Limits, fleet_of
from client_sdk.channel import MAX_AGE, limited
from client_sdk.cli.codes import NO_VERDICT, REFUSED
from client_sdk.cli.options import Trust, UsageError, now, opened, patiently, read_origin, trust
from client_sdk.cli.printing import print_refusal, progress
from client_sdk.cli.token_option import read_token
from client_sdk.errors import AttestationError, FetchError, PolicyError
from client_sdk.fleet import Fleet
from client_sdk.proxy.door import Door
from client_sdk.proxy.listening import LOOPBACK, listen_tcp, listen_unix, secret_in, state_folder
from client_sdk.proxy.serving import serve
from client_sdk.proxy.upstreams import Upstream


def run(arguments: argparse.Namespace) -> int:
    """Verify, listen, serve until told to end; return the exit code."""
    trusted, tokens = trust(arguments), _tokens(arguments)
    opened(trusted, at_instant=now(), remember=False)  # a release that nobody signed is not worth a connection
    if arguments.secret_file and arguments.port is None:
        raise UsageError("--secret-file: a UNIX socket has no secret; it goes with --port")
    services = []
    for where, token in zip(arguments.origins, tokens, strict=True):
        try:
            fleet = _fleet(where, arguments, trusted)
        except AttestationError as error:
            print_refusal(error, origin=where)
            return NO_VERDICT if isinstance(error, FetchError) else REFUSED
        progress(f"verified: {where}, {len(fleet.latest.accepted.report.checks)} checks passed")
        services.append(Upstream(AsyncAttestedHttpClient(fleet), token))
    return _serve(arguments, tuple(services))


def _fleet(where: str, arguments: argparse.Namespace, trusted: Trust) -> Fleet:
    limits = Limits(_age(arguments), arguments.timeout)
    asked, judged_by = str(read_origin(where)), (trusted.policy, trusted.collateral)

    def connect() -> Fleet:
        return fleet_of(asked, trusted.releases, trusted.publisher, *judged_by, limits=limits, memory=trusted.memory)

    return patiently(connect, wait=arguments.wait, say=progress)


def _age(arguments: argparse.Namespace) -> float:
    try:
        return MAX_AGE if arguments.max_age is None else limited(arguments.max_age)
    except PolicyError as error:
        raise UsageError(f"--max-age: {error}") from error


def _serve(arguments: argparse.Namespace, services: tuple[Upstream, ...]) -> int:
    try:
        door, listening, told = _doorway(arguments)
    except PolicyError as error:
        raise UsageError(str(error)) from error
    progress(told)
    try:
        serve(listening, door, services)
    finally:
        listening.close()
        if not door.port:
            _socket_of(arguments).unlink(missing_ok=True)
    return 0


def _doorway(arguments: argparse.Namespace) -> tuple[Door, socket.socket, str]:
    """Return who may ask, where, and what to tell the user."""
    if arguments.port is None:
        path = _socket_of(arguments)
        return Door(), listen_unix(path), f"serving at {path} for you alone; end it with Ctrl-C"
    secret = arguments.secret_file or state_folder() / f"proxy-{arguments.port}.secret"
    door = Door(arguments.port, secret_in(secret))
    told = f"serving at http://{LOOPBACK}:{arguments.port}/v1; the API key is in {secret}; end it with Ctrl-C"
    return door, listen_tcp(arguments.port), told


def _socket_of(arguments: argparse.Namespace) -> Path:
    return arguments.socket or state_folder() / "proxy.sock"


def _tokens(arguments: argparse.Namespace) -> list[str | None]:
    """Read a token for each service.

    Raises:
        UsageError: a file holds none, or there are neither one nor as many as services.
    """
    files, services = arguments.token_file, len(arguments.origins)
    if len(files) not in {0, 1, services}:
        raise UsageError(f"--token-file: expected 1 or {services}, as many as services, got {len(files)}")
    found = [read_token(path) for path in files or [None]]
    return found * (services if len(found) == 1 else 1)
