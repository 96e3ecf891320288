"""What all examples are told: which service, and whom to trust about it. Nothing here has a default that trusts."""

from __future__ import annotations

import argparse
from pathlib import Path

from client_sdk import Client, Publisher, SimulatedPlatform, load_collateral, load_policy


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the options that say which service is meant, and what it is judged by."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("origin", help="the service, for example https://llm.example")
    made.add_argument("--release", nargs="+", required=True, help="signed releases to compare with")
    made.add_argument("--publisher", nargs="+", required=True, help="the publisher's public keys")
    made.add_argument("--policy", type=Path, help="what to accept (a TOML file); without it production's policy")
    made.add_argument("--collateral", type=Path, help="what hardware makers publish, gathered beforehand")
    made.add_argument("--simulated", type=Path, metavar="TPM_CA", help="take a development VM; it protects nothing")
    made.add_argument("--token-file", type=Path, help="the access token, where the service wants one")
    return made


def connect(told: argparse.Namespace) -> Client:
    """Verify the service and return OpenAI's client on verified connections.

    Raises:
        AttestationError: it is refused or cannot be reached, or what it is to be judged by is not what it should be.
    """
    if told.simulated:
        policy = SimulatedPlatform(tpm_ca=told.simulated)
    else:
        policy = load_policy(told.policy) if told.policy else None  # None stands for production's
    return Client(
        told.origin,
        releases=told.release,
        publisher=Publisher(keys=tuple(told.publisher)),
        policy=policy,
        collateral=load_collateral(told.collateral) if told.collateral else None,
        api_key=told.token_file.read_text(encoding="ascii").strip() if told.token_file else None,
    )
