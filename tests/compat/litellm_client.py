"""LiteLLM, which speaks to an OpenAI-compatible address through OpenAI's package or its own client."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version

import litellm
import openai

from tests.compat.features import ANSWER, ELSEWHERE, MODEL, PIXEL, QUESTION, WANTS_A_CALL, WEATHER, Client, called, told

ASK = {"model": f"openai/{MODEL}", "temperature": 0, "max_tokens": 8}
MESSAGES = [{"role": "user", "content": QUESTION}]
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}


def client(url, context):
    """The package against one gateway."""
    litellm.suppress_debug_info = True
    options = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0, "timeout": 120}
    sync = openai.OpenAI(http_client=openai.DefaultHttpxClient(verify=context), **options)

    def chat(**more):
        return litellm.completion(**{**ASK, "messages": MESSAGES, "client": sync, "num_retries": 0, **more})

    async def asynchronous(*, stream):
        async with openai.AsyncOpenAI(http_client=openai.DefaultAsyncHttpxClient(verify=context), **options) as made:
            found = await litellm.acompletion(**ASK, messages=MESSAGES, client=made, stream=stream)
            if not stream:
                return told(found.choices[0].message.content)
            return told("".join([chunk.choices[0].delta.content or "" async for chunk in found]))

    def usage():
        *_, last = chat(stream=True, stream_options={"include_usage": True})
        return "works" if last.usage and last.usage.completion_tokens == 8 else "none"

    def tools(*, stream):
        wanted = {"messages": WANTS_A_CALL, "tools": [FUNCTION], "tool_choice": "required", "max_tokens": 40}
        found = chat(**wanted, stream=stream)
        if stream:
            found = litellm.stream_chunk_builder(list(found), messages=WANTS_A_CALL)
        (call,) = found.choices[0].message.tool_calls
        return called(call.function.name, json.loads(call.function.arguments))

    def structured():
        schema = {"name": "answer", "schema": ANSWER, "strict": True}
        wanted = {"type": "json_schema", "json_schema": schema}
        found = json.loads(chat(response_format=wanted, max_tokens=24).choices[0].message.content)
        return "works" if found == {"n": 7} else f"another answer: {found}"

    def image(address):
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": address}}]
        chat(messages=[{"role": "user", "content": parts}])
        return "works"

    def completion():
        found = litellm.text_completion(
            model=f"text-completion-openai/{MODEL}",
            prompt="The capital of Japan is",
            max_tokens=2,
            temperature=0,
            client=sync,
        )
        return told(found.choices[0].text)

    features = {
        "chat": lambda: told(chat().choices[0].message.content),
        "chat, streamed": lambda: told("".join(c.choices[0].delta.content or "" for c in chat(stream=True))),
        "usage of a stream": usage,
        "async chat": lambda: asyncio.run(asynchronous(stream=False)),
        "async chat, streamed": lambda: asyncio.run(asynchronous(stream=True)),
        "tools": lambda: tools(stream=False),
        "tools, streamed": lambda: tools(stream=True),
        "structured output": structured,
        "completion": completion,
        "embeddings": lambda: str(litellm.embedding(model=f"openai/{MODEL}", input=["x"], client=sync)),
        "image as data": lambda: image(PIXEL),
        "image from elsewhere": lambda: image(ELSEWHERE),
        "unknown field": lambda: str(chat(extra_body={"cache_salt": "x"})),
    }
    return Client("litellm", version("litellm"), features)
