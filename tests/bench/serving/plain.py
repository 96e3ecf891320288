"""``python -m tests.bench.serving.plain PORT TLS SOCKET``: the proxy that anybody would write with uvicorn and aiohttp.

It checks nothing, forwards everything, and keeps connections to the engine.
"""

from __future__ import annotations

import sys

import aiohttp
import uvicorn


class Proxy:
    """An ASGI application of one route: all of them."""

    def __init__(self, socket: str) -> None:
        self.socket, self.session = socket, None

    async def __call__(self, scope, receive, send) -> None:
        """Forward a request and its answer."""
        if self.session is None:
            connector = aiohttp.UnixConnector(self.socket, limit=0)
            self.session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        url, kind = f"http://engine{scope['path']}", {"content-type": "application/json"}
        async with self.session.request(scope["method"], url, data=body, headers=kind) as answer:
            headers = [(b"content-type", answer.headers["content-type"].encode())]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for data in answer.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def main(port: int, tls: str, socket: str) -> None:
    """Serve for ever."""
    keys = {"ssl_certfile": f"{tls}/cert.pem", "ssl_keyfile": f"{tls}/key.pem"}
    uvicorn.run(Proxy(socket), port=port, lifespan="off", access_log=False, log_level="critical", **keys)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
