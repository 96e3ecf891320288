"""The policy file that clients of a deployment on a cloud are given (docs/policy.md)."""

from __future__ import annotations


def policy(name: str, tee: str, *sections: tuple[str, ...]) -> str:
    """Return the file: what every deployment's has, then the vendor's own sections, each a heading with its lines."""
    head = (
        "# Made by the deployment from its inventory: which machines a client takes. Give it to your clients.",
        "version = 1",
        f'name = "{name}"',
        f'tee = ["{tee}"]',
    )
    return "\n".join(line for section in (head, *sections) for line in (*section, ""))
