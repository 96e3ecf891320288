"""Google's APIs: credentials, clients, and calls that are tried again where that can help."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from provisioner.clouds.answers import ODD, bounded, misread, understood
from provisioner.clouds.gcp.errors import GcpError, of_exception, of_response
from provisioner.clouds.gcp.libraries import SCOPE, Libraries, load
from provisioner.progress import Progress

_T = TypeVar("_T")
# What Google's library lets through where a key file is a folder, no text, or JSON but no object.
_NO_KEY_FILE = (OSError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where Google's APIs are. Only tests have them elsewhere."""

    compute: str = "https://compute.googleapis.com"
    storage: str = "https://storage.googleapis.com"

    @classmethod
    def from_environment(cls) -> Endpoints:
        """Read the variables that Google's own command line reads for the same purpose."""
        told = {
            name: value.rstrip("/")
            for name in ("compute", "storage")
            if (value := os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}"))
        }
        return cls(**told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long to wait: for one answer, for a call with its retries, for an operation; and how long between looks.

    An operation with ``flex_start`` waits two hours for a machine.
    """

    answer: float = 60.0
    call: float = 180.0
    operation: float = 3 * 3600.0
    settle: float = 300.0
    pause: float = 2.0


class Api:
    """Calls as whoever runs this. ``progress`` hears what no call has a progress of its own for."""

    def __init__(self, endpoints: Endpoints, limits: Limits, *, progress: Progress) -> None:
        self.limits, self.progress = limits, progress
        self._said = False
        self.storage = endpoints.storage
        self.libraries: Libraries = load()
        self._endpoints = endpoints
        self._clients: dict[str, Any] = {}
        try:
            credentials, _ = self.libraries.auth.default(scopes=[SCOPE])
        except (self.libraries.auth_errors.GoogleAuthError, *_NO_KEY_FILE) as error:
            raise GcpError("Google Cloud", of_exception(error, self.libraries)) from error
        self._credentials = credentials
        self._http = self.libraries.transport.AuthorizedSession(credentials)

    def client(self, name: str) -> Any:
        """Return one of the SDK's clients; an operation's client must have the same endpoint, so all come from here."""
        if name not in self._clients:
            options = self.libraries.options.ClientOptions(api_endpoint=self._endpoints.compute)
            make = getattr(self.libraries.compute, name)
            self._clients[name] = make(credentials=self._credentials, client_options=options, transport="rest")
        return self._clients[name]

    def message(self, name: str, body: Mapping[str, Any]) -> Any:
        """Make the SDK's own object from a JSON body; a field that the SDK does not know is an error here."""
        make = getattr(self.libraries.compute, name)
        made = make()
        self.libraries.json_format.ParseDict(dict(body), make.pb(made))
        return made

    def compute(self, client: str, method: str, request: Mapping[str, Any]) -> Any:
        """Call one method of the SDK, again where that can help.

        Raises:
            GcpError: Google refuses, or does not answer in time.
        """
        ask = getattr(self.client(client), method)
        what = f"{client.removesuffix('Client')}.{method.removesuffix('_unary')}"
        return self.call(what, lambda: ask(request=dict(request), retry=None, timeout=self.limits.answer))

    def listed(self, client: str, method: str, request: Mapping[str, Any], field: str = "items") -> tuple[Any, ...]:
        """List all pages; ``field`` is where a page has its things.

        Raises:
            GcpError: Google refuses, or does not answer in time.
            CloudError: the pages do not end, or are not understood.
        """
        ask = getattr(self.client(client), method)
        what = f"{client.removesuffix('Client')}.{method}"

        def pages() -> tuple[Any, ...]:
            asked = ask(request=dict(request), retry=None, timeout=self.limits.answer)
            found = bounded(what, asked.pages, lambda page: page.next_page_token, self.limits.call)
            return tuple(one for page in found for one in _of_page(getattr(page, field)))

        return self.call(what, pages)

    def http(self, what: str, method: str, url: str, *, good: tuple[int, ...] = (200,), **more: Any) -> Any:
        """Ask Cloud Storage; again where that can help.

        Raises:
            GcpError: the answer is none of the good ones, or does not come in time.
        """
        return self.call(what, lambda: self.http_once(what, method, url, good=good, **more))

    def http_once(self, what: str, method: str, url: str, *, good: tuple[int, ...] = (200,), **more: Any) -> Any:
        """Ask Cloud Storage a single time.

        Raises:
            GcpError: the answer is none of the good ones, or does not come.
        """
        try:
            response = self._http.request(method, url, timeout=self.limits.answer, allow_redirects=False, **more)
        except self.libraries.failures as error:
            refused = of_exception(error, self.libraries)
        else:
            if response.status_code in good:
                return response
            refused = of_response(response)
        # Outside of the handler, so that what the library said stays out: the address of an upload is in it.
        raise GcpError(what, refused)

    def json(self, what: str, method: str, url: str, **more: Any) -> Mapping[str, Any]:
        """Ask Cloud Storage for an object of JSON.

        Raises:
            GcpError: it refuses.
            CloudError: the answer is no such object.
        """
        response = self.http(what, method, url, **more)
        with understood(what):
            found = response.json()
            if not isinstance(found, Mapping):
                raise misread(what, f"{type(found).__name__} instead of an object")
            return found

    def call(self, what: str, ask: Callable[[], _T]) -> _T:
        """Ask until it goes well, it cannot, or the time is over; Google says how long to wait, or the wait doubles.

        Raises:
            GcpError: it cannot, or the time is over.
        """
        deadline = time.monotonic() + self.limits.call
        pause = self.limits.pause
        while True:
            try:
                return ask()
            except GcpError as error:
                refused = error
            except self.libraries.failures as error:
                refused = GcpError(what, of_exception(error, self.libraries))
                refused.__cause__ = error
            except (*ODD, self.libraries.json_format.Error) as error:
                raise misread(what, error) from error
            wait = refused.refusal.retry_after
            wait = pause * random.uniform(0.5, 1.5) if wait is None else wait  # noqa: S311, no secret depends on it
            if not refused.refusal.is_transient or time.monotonic() + wait > deadline:
                raise refused
            if refused.refusal.is_unanswered and not self._said:
                self._said = True
                self.progress(f"Google cannot be reached: tries again for {self.limits.call:.0f} s")
            time.sleep(wait)
            pause *= 2


def _of_page(things: Any) -> Iterable[Any]:
    """Yield the things of a page, with the place of each where a list is of all places."""
    return things.items() if isinstance(things, Mapping) else things


def to_dict(message: Any) -> dict[str, Any]:
    """Write the SDK's object as the JSON that the API's documentation shows."""
    made: dict[str, Any] = type(message).to_dict(
        message,
        preserving_proto_field_name=False,
        use_integers_for_enums=False,
        always_print_fields_with_no_presence=False,
    )
    return made
