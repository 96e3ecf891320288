"""An attester on its socket, as its process serves it, in a thread of the test."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

from serving.attest.__main__ import listen
from serving.attest.server import Limits, Server


@contextmanager
def served(path, attester, limits=None):
    """Answer callers while the block lasts."""
    server = Server(listen(path), attester, limits=limits or Limits(), clock=time.monotonic)
    over = threading.Event()

    def loop():
        while not over.is_set():
            server.round(timeout=0.02)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)
        server.close()
