"""An engine on a UNIX socket that speaks llama.cpp's wire format, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from serving.gateway.shaping import Shape

TOKENS = ["The", " capital", " is", " Paris", "."]


def _embedding(engine):
    data = [{"object": "embedding", "index": 0, "embedding": engine.numbers}]
    return {"object": "list", "model": "x", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


PLAIN = {
    "/tokenize": lambda engine: {"tokens": list(range(len(engine.tokens) * 100))},
    "/detokenize": lambda engine: {"content": "".join(engine.tokens)},
    "/v1/embeddings": _embedding,
}


@dataclass(slots=True)
class Fault:
    """What goes wrong from now on; ``kind`` is the name of a method of :class:`FakeEngine`."""

    kind: str = "answer"


@dataclass(slots=True)
class Seen:
    """What the engine was asked, over how many connections, and how often a caller left before the end."""

    requests: list = field(default_factory=list)
    connections: int = 0
    cancelled: int = 0
    streaming: int = 0


class FakeEngine:
    def __init__(self, path):
        self.path, self.fault, self.seen = str(path), Fault(), Seen()
        self.token_pause = 0.0
        self.prompt_tokens = 7
        self.tokens = TOKENS
        self.numbers = [0.5, -0.5]
        self.hasty = False  # it closes connections that ask nothing
        self.impatient = False  # its keep-alive time runs out whenever a second request comes on a connection
        self.flowing = asyncio.Event()  # while it is not set, every stream waits behind its next token
        self.flowing.set()
        self.dead = False
        self._server = None
        self.connections = {}
        self.idle = {}  # connections that have asked nothing yet

    async def start(self):
        self.dead = False
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self):
        if self._server is None:
            return
        self.dead = True
        self._server.close()
        tasks = [task for task, _, _ in self.connections.values()]
        for writer in [*self.idle.values(), *(writer for _, _, writer in self.connections.values())]:
            writer.transport.abort()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._server = None

    async def _serve(self, reader, writer):
        if self.dead:  # accepted in the moment of its end: a process that ends closes that connection too
            writer.transport.abort()
            return
        self.idle[id(writer)] = writer
        try:
            while True:
                async with asyncio.timeout(0.01 if self.hasty else None):
                    head = await reader.readuntil(b"\r\n\r\n")
                self.seen.connections += id(writer) not in self.connections
                self.connections[id(writer)] = (asyncio.current_task(), reader, writer)
                self.idle.pop(id(writer), None)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                path = head.split(b" ")[1].decode()
                self.seen.requests.append((path, body, head))
                await getattr(self, self.fault.kind)(path, body, writer)
                if self.impatient:
                    await reader.readexactly(1)
                    return
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass
        finally:
            self.connections.pop(id(writer), None)
            self.idle.pop(id(writer), None)
            writer.close()

    async def answer(self, path, body, writer):
        if path in PLAIN:
            await self._json(writer, 200, PLAIN[path](self))
        elif body["stream"]:
            end = self._usage(body) + b"data: [DONE]\n\n"
            await self._stream(path, body, writer, len(self.tokens), end=end)
        else:
            await self._json(writer, 200, self._whole(path, body))

    async def repeat(self, path, body, writer):
        """Answer with the caller's own words, some of them later than others."""
        said = body["messages"][-1]["content"] if "messages" in body else "x"
        await asyncio.sleep(0.01 * (hash(said) % 7))
        message = {"role": "assistant", "content": said}
        await self._json(writer, 200, {"choices": [{"message": message}], "usage": self._whole_usage(body)})

    def _whole(self, path, body):
        text = "".join(self.tokens[: body.get("max_tokens", len(self.tokens))])
        choice = {"index": 0, "finish_reason": "stop"}
        choice |= {"text": text} if path == "/v1/completions" else {"message": {"role": "assistant", "content": text}}
        return {"choices": [choice], "object": "x", "usage": self._whole_usage(body)}

    def _whole_usage(self, body):
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": body.get("max_tokens", 5)}

    def _usage(self, body):
        if not body.get("stream_options", {}).get("include_usage"):
            return b""
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": len(self.tokens)}
        return b"data: " + json.dumps({"choices": [], "object": "x", "usage": usage}).encode() + b"\n\n"

    async def _json(self, writer, status, value):
        data = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json; charset=utf-8\r\n"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()

    async def _chunk(self, writer, data):
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()

    async def _stream(self, path, body, writer, count, *, end):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.seen.streaming += 1
        try:
            for token in (self.tokens * 1000)[:count]:
                await self._chunk(writer, b"data: " + json.dumps(self._event(path, token)).encode() + b"\n\n")
                await asyncio.sleep(self.token_pause)
                await self.flowing.wait()
                if writer.transport.is_closing():
                    raise ConnectionResetError
            await self._chunk(writer, end)
            await self._chunk(writer, b"")
        except ConnectionError:
            self.seen.cancelled += 1
            raise
        finally:
            self.seen.streaming -= 1

    def _event(self, path, token):
        if path == "/v1/completions":
            return {"choices": [{"index": 0, "text": token, "finish_reason": None}], "object": "text_completion"}
        return {"choices": [{"index": 0, "delta": {"content": token}}], "object": "chat.completion.chunk"}

    # faults

    async def loading(self, path, body, writer):
        message = {"code": 503, "message": "Loading model", "type": "unavailable_error"}
        await self._json(writer, 503, {"error": message})

    async def think(self, path, body, writer):
        """Say nothing until the first token is there, as llama.cpp does."""
        await asyncio.sleep(2.5 * Shape().tick)
        await self.answer(path, body, writer)

    async def refuse_late(self, path, body, writer):
        await asyncio.sleep(2.5 * Shape().tick)
        await self.refuse(path, body, writer)

    async def hang_up_late(self, path, body, writer):
        await asyncio.sleep(2.5 * Shape().tick)
        await self.hang_up(path, body, writer)

    async def refuse(self, path, body, writer):
        await self._json(writer, 400, {"error": {"code": 400, "message": "bad top_p", "type": "invalid_request_error"}})

    async def without(self, path, body, writer):
        error = {"code": 501, "message": "Start it with --embeddings", "type": "not_supported_error"}
        await self._json(writer, 501, {"error": error})

    async def absent(self, path, body, writer):
        await self._json(writer, 404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}})

    async def too_long(self, path, body, writer):
        error = {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_ctx": 5}
        await self._json(writer, 400, {"error": error})

    async def too_long_for_vllm(self, path, body, writer):
        error = {"message": "too long", "type": "BadRequestError", "param": "input_tokens", "code": 400}
        await self._json(writer, 400, {"error": error})

    async def too_long_to_embed(self, path, body, writer):
        said = "input (601 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
        await self._json(writer, 500, {"error": {"code": 500, "message": said, "type": "server_error"}})

    async def broken(self, path, body, writer):
        await self._json(writer, 500, {"error": {"message": "at 0xdeadbeef: " + json.dumps(body)}})

    async def redirect(self, path, body, writer):
        writer.write(b"HTTP/1.1 302 X\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n")

    async def html(self, path, body, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>no</p>")

    async def list_instead(self, path, body, writer):
        await self._json(writer, 200, [1, 2])

    async def no_utf8(self, path, body, writer):
        await self._raw(writer, body, b'{"choices": [{"message": {"content": "\xff\xfe"}}]}')

    async def deep_json(self, path, body, writer):
        await self._raw(writer, body, b'{"choices":' + b"[" * 200_000)

    async def deep_usage(self, path, body, writer):
        await self._raw(writer, body, b'{"choices":[],"usage":' + b"[" * 200_000)

    async def half_a_pair(self, path, body, writer):
        await self._raw(writer, body, b'{"choices":[{"delta":{"content":"\\ud800"}}],"usage":{"completion_tokens":1}}')

    async def _raw(self, writer, body, data):
        """Answer 200 with these bytes: whole, or as one event and no more."""
        kind = b"text/event-stream" if body.get("stream") else b"application/json"
        data = b"data: " + data + b"\n\n" if body.get("stream") else data
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(data)) + data)

    async def says_more(self, path, body, writer):
        """Answer, and a moment later answer once more what nobody has asked."""
        await self.answer(path, body, writer)
        await asyncio.sleep(self.token_pause)
        message = {"message": {"role": "assistant", "content": "of another"}, "delta": {"content": "of another"}}
        await self._raw(writer, body, json.dumps({"choices": [message], "usage": self._whole_usage(body)}).encode())

    async def no_http(self, path, body, writer):
        writer.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")
        writer.close()

    async def hang_up(self, path, body, writer):
        writer.transport.abort()

    async def silence(self, path, body, writer):
        await asyncio.sleep(3600)

    async def endless_answer(self, path, body, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            await self._chunk(writer, b"[" * 65536)

    async def endless_event(self, path, body, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            await self._chunk(writer, b"data: " + b"x" * 65536)

    async def crash_in_stream(self, path, body, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._chunk(writer, b"data: " + json.dumps(self._event(path, "The")).encode() + b'\n\ndata: {"choi')
        await asyncio.sleep(max(0.05, self.token_pause))
        writer.transport.abort()

    async def error_in_stream(self, path, body, writer):
        """As vLLM's server, when its core dies."""
        error = {"message": "at 0xdeadbeef: " + json.dumps(body), "type": "InternalServerError", "code": 500}
        last = b"data: " + json.dumps({"error": error}).encode() + b"\n\ndata: [DONE]\n\n"
        await self._stream(path, body, writer, 2, end=last)

    async def stop_in_stream(self, path, body, writer):
        await self._stream(path, body, writer, 2, end=b": end\n\n")

    async def silence_in_stream(self, path, body, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._chunk(writer, b"data: " + json.dumps(self._event(path, "The")).encode() + b"\n\n")
        await asyncio.sleep(3600)

    async def long_stream(self, path, body, writer):
        await self._stream(path, body, writer, 4000, end=b"data: [DONE]\n\n")

    async def no_tokens(self, path, body, writer):
        await self._json(writer, 200, {"choices": [{"text": ""}], "usage": {"completion_tokens": 0}})
