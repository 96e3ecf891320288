"""Ending our process at any call: before the request leaves, or after its answer came and nobody read it."""

from __future__ import annotations

import contextlib

from google.auth.transport.requests import AuthorizedSession


class Interrupted(BaseException):
    """The operator's machine went away."""


@contextlib.contextmanager
def at_call(monkeypatch, number, *, after):
    """End the process at its call of this number, counted from 0."""
    real, count = AuthorizedSession.request, iter(range(1 << 30))

    def request(session, *arguments, **named):
        this = next(count) == number
        if this and not after:
            raise Interrupted
        answer = real(session, *arguments, **named)
        if this:
            raise Interrupted
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(AuthorizedSession, "request", request)
        yield


def count_of(monkeypatch, run):
    """Return how many calls a run makes."""
    calls = []
    real = AuthorizedSession.request

    def request(session, *arguments, **named):
        calls.append(arguments)
        return real(session, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(AuthorizedSession, "request", request)
        run()
    return len(calls)
