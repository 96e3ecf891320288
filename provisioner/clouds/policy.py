"""The policy file that clients of a deployment on a cloud are given (docs/policy.md)."""

from __future__ import annotations


def policy(name: str, tee: str, about: str, *sections: tuple[str, ...]) -> str:
    """Return the file: what every deployment's has, then the vendor's own sections, each a heading with its lines.

    ``about`` says what it decides. The same deployment has the same bytes: another file is another policy to clients.
    """
    head = (
        f"# Made by the deployment from its inventory: {about} a client takes. Give it to your clients.",
        "version = 1",
        f'name = "{name}"',
        f'tee = ["{tee}"]',
    )
    return "\n".join(line for section in (head, *sections) for line in (*section, ""))
