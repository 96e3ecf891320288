"""Programs that use one memory at the same time, run as processes of their own."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from client_sdk.errors import VerificationError
from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.transparency.client.memory import Memory
from client_sdk.transparency.client.seen import Seen, Tree


def remember(folder, key, now, *files):
    """Open releases one after the other, also those that have gone back."""
    sys.stdin.read(1)  # all begin together
    for file in files:
        try:
            open_releases(file, Publisher(keys=(key,)), now=datetime.fromisoformat(now), memory=folder)
        except VerificationError as error:
            if error.rule != "R3.number":
                raise


def write(folder):
    """Write for as long as nobody ends it; say so after the first time."""
    for number in range(1, 10**9):
        with Memory(folder).held() as held:
            held.keep(Seen(trees=(("log", Tree(number, b"r" * 32)),)))
        if number == 1:
            print("written", flush=True)


if __name__ == "__main__":
    {"remember": remember, "write": write}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
