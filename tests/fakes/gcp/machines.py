"""What stands behind a machine of the fake. By default a listener on loopback; a real local VM can stand there too.

``start`` is called when a machine runs, with its body, the address and the port at which the world reaches it, and
returns what ends it.
"""

from __future__ import annotations

import contextlib
import socket
import threading


def listen(_body, address, port):
    """Accept connections and close them: as much as a health check sees."""
    server = socket.create_server((address, port))
    stop = threading.Event()

    def run():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                server.accept()[0].close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def end():
        stop.set()
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), timeout=1).close()
        server.close()
        thread.join(timeout=5)

    return end


def nothing(_body, _address, _port):
    """A machine that runs and serves nothing."""
    return lambda: None
