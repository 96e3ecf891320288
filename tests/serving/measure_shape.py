"""``python3 -m tests.serving.measure_shape ROUNDS``: what an observer sees of two kinds of answers, as JSON.

One kind has short tokens and a fast engine, the other long ones and a slow engine; each is asked for with shaping and
without, by turns.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.serving.gateway.running import MODEL, gateway
from tests.serving.gateway.tap import observed, tapped

KINDS = {
    "short tokens, fast": ([" a", " is", " it"] * 20, 0.02),
    "long tokens, slow": ([" indistinguishable"] * 24, 0.06),
}
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def measure(rounds):
    found = {}
    for shaping in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            async with gateway(Path(folder), shaping=shaping) as running, tapped(running.port) as tap:
                for kind in list(KINDS) * rounds:
                    running.engine.tokens, running.engine.token_pause = KINDS[kind]
                    await observed(running, tap, "/v1/chat/completions", BODY)
                    times = [tap.asked, *(when for when, _ in tap.records)]
                    seen = found.setdefault("shaped" if shaping else "unshaped", {}).setdefault(kind, [])
                    seen += [(b - a, size) for a, b, (_, size) in zip(times, times[1:], tap.records, strict=False)]
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1])))))
