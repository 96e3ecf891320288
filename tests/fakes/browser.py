"""Chromium without a window, and a server that is the whole of its internet: what is asked for is written down."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints,MediaRouter,AutofillServerCommunication",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)

# Where the browser itself calls, whatever it shows: nothing that a page would load lies there.
BROWSERS_OWN = frozenset(
    f"{host}.com"
    for host in (
        "accounts.google",
        "android.clients.google",
        "clients2.google",
        "clientservices.googleapis",
        "content-autofill.googleapis",
        "edgedl.me.gvt1",
        "mtalk.google",
        "optimizationguide-pa.googleapis",
        "redirector.gvt1",
        "safebrowsing.googleapis",
        "update.googleapis",
    )
)


class Internet(ThreadingHTTPServer):
    """A proxy that answers with its own pages, whatever the host; ``asked`` is what the pages asked for."""

    daemon_threads = True

    def __init__(self, pages: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = pages
        self.asked: list[str] = []

    def note(self, url: str) -> None:
        """Write down what is not the browser's own call; CONNECT names a host and port."""
        host = urlsplit(url if "//" in url else f"//{url}").hostname
        if host not in BROWSERS_OWN and not url.endswith("/favicon.ico"):
            self.asked.append(url)


class _Handler(BaseHTTPRequestHandler):
    server: Internet

    def do_GET(self):
        self.server.note(self.path)
        page = self.server.pages.get(urlsplit(self.path).path)
        self.send_response(200 if page is not None else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page or b"")

    def do_CONNECT(self):
        self.server.note(self.path)
        self.send_error(502)

    def log_message(self, *args):
        pass


@contextmanager
def internet(**pages: bytes) -> Iterator[Internet]:
    """Run one; pages are named by keyword: ``report`` is /report."""
    server = Internet({f"/{name}": page for name, page in pages.items()})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Visit:
    """What the browser said: the document at the end, and the lines of its console."""

    def __init__(self, done: subprocess.CompletedProcess[str]):
        self.document = done.stdout
        self.console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def visit(url: str, server: Internet, profile: Path, *options: str) -> Visit:
    """Open a page, with a profile of its own, and return what became of it."""
    proxy = (f"--proxy-server=http://127.0.0.1:{server.server_address[1]}", "--proxy-bypass-list=<-loopback>")
    argv = [CHROMIUM or "chromium", *QUIET, *proxy, f"--user-data-dir={profile}", *options, url]
    return Visit(subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True))


def screenshot(page: Path, picture: Path, profile: Path, *, size: tuple[int, int], scale: float = 1) -> None:
    """Take a picture of the upper part of a page in a file."""
    options = (f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}", f"--force-device-scale-factor={scale}")
    with internet() as nothing:
        visit(page.as_uri(), nothing, profile, *options)
