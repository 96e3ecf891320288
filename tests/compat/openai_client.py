"""OpenAI's own package, on a stock HTTP client that trusts one certificate."""

from __future__ import annotations

import asyncio
import json

import openai

from tests.compat.features import (
    ANSWER,
    ELSEWHERE,
    MODEL,
    PIXEL,
    QUESTION,
    WANTS_A_CALL,
    WEATHER,
    Client,
    called,
    told,
)

GREEDY = {"model": MODEL, "temperature": 0}
ASK = {**GREEDY, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 8}
FUNCTION = {"name": "get_weather", "parameters": WEATHER}
CALL = {**GREEDY, "messages": WANTS_A_CALL, "tools": [{"type": "function", "function": FUNCTION}]}
CALL |= {"tool_choice": "required", "max_tokens": 40}


def client(url, context):
    """The package against one gateway."""
    options = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0, "timeout": 120}
    sync = openai.OpenAI(http_client=openai.DefaultHttpxClient(verify=context), **options)

    def make():
        return openai.AsyncOpenAI(http_client=openai.DefaultAsyncHttpxClient(verify=context), **options)

    speaking = {**_chats(sync), **_async_chats(make), **_others(sync)}
    return Client("openai", openai.__version__, speaking)


def _chats(sync):
    create = sync.chat.completions.create

    def streamed():
        pieces = [chunk.choices[0].delta.content or "" for chunk in create(**ASK, stream=True)]
        return told("".join(pieces)) if len(pieces) > 4 else "in one piece"

    def usage():
        *_, last = create(**ASK, stream=True, stream_options={"include_usage": True})
        return "works" if last.usage and last.usage.completion_tokens == 8 else "none"

    def tools():
        (call,) = create(**CALL).choices[0].message.tool_calls
        return called(call.function.name, json.loads(call.function.arguments))

    def tools_streamed():
        with sync.chat.completions.stream(**CALL) as stream:
            (call,) = stream.get_final_completion().choices[0].message.tool_calls
        return called(call.function.name, json.loads(call.function.arguments))

    def structured():
        schema = {"name": "answer", "schema": ANSWER, "strict": True}
        wanted = {**ASK, "max_tokens": 24, "response_format": {"type": "json_schema", "json_schema": schema}}
        found = json.loads(create(**wanted).choices[0].message.content)
        return "works" if found == {"n": 7} else f"another answer: {found}"

    return {
        "chat": lambda: told(create(**ASK).choices[0].message.content),
        "chat, streamed": streamed,
        "usage of a stream": usage,
        "tools": tools,
        "tools, streamed": tools_streamed,
        "structured output": structured,
    }


def _async_chats(make):
    async def chat():
        async with make() as client:
            return told((await client.chat.completions.create(**ASK)).choices[0].message.content)

    async def streamed():
        async with make() as client:
            stream = await client.chat.completions.create(**ASK, stream=True)
            return told("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))

    return {"async chat": lambda: asyncio.run(chat()), "async chat, streamed": lambda: asyncio.run(streamed())}


def _others(sync):
    respond = {**GREEDY, "input": QUESTION, "max_output_tokens": 16}

    def streamed():
        with sync.responses.stream(**respond) as stream:
            pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
            final = stream.get_final_response()
        return told("".join(pieces)) if final.output_text == "".join(pieces) else "the final text is another"

    def image(url):
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        sync.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": parts}]})
        return "works"

    prompt = {**GREEDY, "prompt": "The capital of Japan is", "max_tokens": 2}
    return {
        "completion": lambda: told(sync.completions.create(**prompt).choices[0].text),
        "response": lambda: told(sync.responses.create(**respond).output_text),
        "response, streamed": streamed,
        "embeddings": lambda: str(len(sync.embeddings.create(model=MODEL, input="x").data)),
        "models": lambda: "works" if [model.id for model in sync.models.list()] == [MODEL] else "others",
        "image as data": lambda: image(PIXEL),
        "image from elsewhere": lambda: image(ELSEWHERE),
        "unknown field": lambda: str(sync.chat.completions.create(**ASK, extra_body={"cache_salt": "x"})),
    }
