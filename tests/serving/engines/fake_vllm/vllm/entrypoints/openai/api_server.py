"""A family of processes like vLLM's, that serves one route and prints what it is asked.

What is wrong with it stands in the model's folder: a file ``fault``. What it was asked is put into ``asked`` there.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

WORKER = "import time; time.sleep(600)"
CORE = f"""import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, '-c', {WORKER!r}], stdout=subprocess.DEVNULL)
os.write(1, b"there"); os.dup2(2, 1); time.sleep(600)
"""


class Handler(BaseHTTPRequestHandler):
    fault, left, model = "", 3, Path()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        print("asked", body, flush=True)
        print("asked", body, file=sys.stderr, flush=True)
        with (self.model / "asked").open("ab") as asked:
            asked.write(body + b"\n")
        if self.fault == "dies of a kind" and b"top_k" in body:
            os._exit(1)
        Handler.left -= 1
        status = 503 if self.fault == "slow" and Handler.left > 0 else 200
        if self.path == {"only generate": "/v1/embeddings", "only embed": "/v1/completions"}.get(self.fault):
            status = 404
        tokens = 0 if self.fault == "no tokens" else 1
        answer = {"choices": [{"text": "x"}], "usage": {"completion_tokens": tokens}}
        if self.path == "/v1/embeddings":
            answer = {"data": [{"embedding": [0.0] if self.fault == "no tokens" else [0.5, -0.5]}]}
        data = json.dumps(answer).encode()
        if self.fault == "nonsense":
            data = b"[]"
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self):
        return "a UNIX socket"


def main():
    told = dict(zip(sys.argv[1::1], sys.argv[2::1], strict=False))
    Handler.model = Path(told["--model"])
    fault = Handler.model / "fault"
    Handler.fault = fault.read_text() if fault.exists() else ""
    if Handler.fault == "ends":
        sys.exit("no such model: secret")
    core = subprocess.Popen([sys.executable, "-c", CORE], stdout=subprocess.PIPE)
    core.stdout.read()  # vLLM too listens only when all of its processes are there
    socketserver.ThreadingUnixStreamServer(told["--uds"], Handler).serve_forever()


if __name__ == "__main__":
    main()
