"""LangChain's ChatOpenAI."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

import openai
from langchain_core.messages import convert_to_messages
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.compat.features import ANSWER, ELSEWHERE, MODEL, PIXEL, QUESTION, WANTS_A_CALL, WEATHER, Client, called, told

FUNCTION = {"type": "function", "function": {"name": "get_weather", "description": "", "parameters": WEATHER}}


def client(url, context):
    """The package against one gateway."""
    options = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0, "timeout": 120, "model": MODEL}
    options["http_client"] = openai.DefaultHttpxClient(verify=context)

    def chat(tokens=8, **more):
        return ChatOpenAI(temperature=0, max_tokens=tokens, **options, **more)

    embed = OpenAIEmbeddings(check_embedding_ctx_length=False, **options)
    speaking = {**_chats(chat), **_async_chats(chat, context), **_tools(chat), **_others(chat)}
    return Client(
        "langchain-openai", version("langchain-openai"), {**speaking, "embeddings": lambda: str(embed.embed_query("x"))}
    )


def _joined(chunks):
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total


def _chats(chat):
    def usage():
        last = _joined(chat(stream_usage=True).stream(QUESTION)).usage_metadata
        return "works" if last and last["output_tokens"] == 8 else "none"

    return {
        "chat": lambda: told(chat().invoke(QUESTION).text),
        "chat, streamed": lambda: told("".join(chunk.text for chunk in chat().stream(QUESTION))),
        "usage of a stream": usage,
    }


def _async_chats(chat, context):
    async def asynchronous(work):
        async with openai.DefaultAsyncHttpxClient(verify=context) as http:
            return await work(chat(http_async_client=http))

    async def answered(model):
        return told((await model.ainvoke(QUESTION)).text)

    async def streamed(model):
        return told("".join([chunk.text async for chunk in model.astream(QUESTION)]))

    return {
        "async chat": lambda: asyncio.run(asynchronous(answered)),
        "async chat, streamed": lambda: asyncio.run(asynchronous(streamed)),
    }


def _tools(chat):
    def tools(*, stream):
        model = chat(40).bind_tools([FUNCTION], tool_choice="required")
        messages = convert_to_messages(WANTS_A_CALL)
        (call,) = (_joined(model.stream(messages)) if stream else model.invoke(messages)).tool_calls
        return called(call["name"], call["args"])

    def structured():
        schema = {**ANSWER, "title": "answer"}
        found = chat(64).with_structured_output(schema, method="json_schema", strict=True).invoke(QUESTION)
        return "works" if found == {"n": 7} else f"another answer: {found}"

    return {
        "tools": lambda: tools(stream=False),
        "tools, streamed": lambda: tools(stream=True),
        "structured output": structured,
    }


def _others(chat):
    responses = {"tokens": 16, "use_responses_api": True}

    def image(address):
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": address}}]
        chat().invoke([{"role": "user", "content": parts}])
        return "works"

    return {
        "response": lambda: told(chat(**responses).invoke(QUESTION).text),
        "response, streamed": lambda: told("".join(chunk.text for chunk in chat(**responses).stream(QUESTION))),
        "image as data": lambda: image(PIXEL),
        "image from elsewhere": lambda: image(ELSEWHERE),
        "unknown field": lambda: str(chat(extra_body={"cache_salt": "x"}).invoke(QUESTION)),
    }
