"""Ending our process at any call of a cloud: before the request leaves, or after its answer came and nobody read it."""

from __future__ import annotations

import contextlib
import threading

import requests


class Interrupted(BaseException):
    """The operator's machine went away."""


@contextlib.contextmanager
def at_call(monkeypatch, number, *, after):
    """End the process at its call of this number, counted from 0, and let it make none after; with -1, only count.

    A thread of an SDK only sees the connection end: the process ends with what its main thread does next.
    """
    real, calls = requests.Session.request, []

    def gone():
        raise Interrupted if threading.current_thread() is threading.main_thread() else requests.ConnectionError

    def request(session, *arguments, **named):
        this = len(calls)
        calls.append(arguments)
        if 0 <= number < this or (this == number and not after):
            gone()
        answer = real(session, *arguments, **named)
        if this == number:
            gone()
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "request", request)
        yield calls
