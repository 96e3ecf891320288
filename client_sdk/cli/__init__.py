"""The command `vitrine`."""

from client_sdk.cli.command import main

__all__ = ["main"]
