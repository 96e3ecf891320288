"""How to check a log and a release of it: commands and Python with this log's own keys, to be copied.

What comes from the log or from keys is quoted, for a shell and for Python: whoever copies it runs nothing else.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from client_sdk.errors import EvidenceError, printable
from client_sdk.page.markup import Html, join, tag, text
from client_sdk.transparency.page.overview import Fate, Overview
from client_sdk.transparency.page.parts import paragraphs

MANIFESTS = "manifest"
"""The folder beside the pages that has manifests, each named by its SHA-256."""
SERVICE = "https://llm.example"
PUBLISHER = "publisher.pub"
_KEYS = (
    "The keys of the log and of its witnesses in these lines are the ones that this page was made with. Take them, and "
    "the publisher's, from where you trust: from the publisher's documents, say, not from the place that serves this."
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the log, and this page with it, is served: what commands are given. The page itself does without.

    Raises:
        EvidenceError: it is no URL of HTTPS.
    """

    url: str

    def __post_init__(self) -> None:
        if not self.url.startswith("https://") or not self.url.isprintable() or " " in self.url:
            raise EvidenceError("url", f"expected https://…, got {printable(self.url)}")

    @property
    def manifests(self) -> str:
        """The folder of manifests, below the page's own."""
        return MANIFESTS


def check_log(overview: Overview, address: Address) -> list[Html]:
    """Return how to check all of the log, and how to pin it."""
    pins = _pins(overview)
    verify = _command("vitrine", "log", "verify", address.url, *pins)
    monitor = _command("vitrine", "log", "monitor", address.url, *pins, "--publisher", PUBLISHER, "--state", "seen")
    pin = "Pin the log in a client: from then on it takes no release that is not in it."
    return [
        paragraphs(_KEYS),
        _step("Read every file of the log, and compare all of it with its checkpoint:", verify, "shell"),
        _step("Be told of every release that is added, and see that nothing else changed:", monitor, "shell"),
        _step(pin, _pinned(overview), "Python"),
    ]


def check_release(overview: Overview, fate: Fate, address: Address) -> list[Html]:
    """Return how to get a release with its proof, and how to hold a service against it."""
    index = str(fate.entry.index)
    pins = _pins(overview)
    fetch = _command("vitrine", "log", "bundle", address.url, "--index", index, *pins[:2], "--output", "bundle.json")
    verify = _command("vitrine", "verify", SERVICE, "--release", "bundle.json", "--publisher", PUBLISHER, *pins)
    verify += _more("--html", "report.html", "--log-page", address.url)
    talk = f"{_pinned(overview)}client = Client({SERVICE!r}, releases='bundle.json', publisher=publisher)\n"
    return [
        paragraphs(_KEYS),
        _step("Get the release with the proof that it is in the log:", fetch, "shell"),
        _step("Hold a service against it, and keep a report that leads back to this page:", verify, "shell"),
        _step("Or talk to the service, which happens only if all of that holds:", talk, "Python"),
    ]


def _step(what: str, lines: str, language: str) -> Html:
    code = tag("code", Html("\n".join(text(line) for line in lines.rstrip("\n").split("\n"))))
    name = f"{language}: {what.rstrip(':.')}"
    return join(tag("p", text(what)), tag("pre", code, tabindex="0", role="group", aria_label=name))


def _pins(overview: Overview) -> tuple[str, ...]:
    witnesses = (("--witness", str(witness.key)) for witness in overview.witnesses)
    return "--log", str(overview.log), *(word for pair in witnesses for word in pair)


def _command(*words: str) -> str:
    """Write a command, an option a line."""
    at = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    return shlex.join(words[:at]) + _more(*words[at:])


def _more(*options: str) -> str:
    pairs: list[list[str]] = []
    for word in options:
        if word.startswith("--") or not pairs:
            pairs.append([])
        pairs[-1].append(word)
    return "".join(f" \\\n    {shlex.join(pair)}" for pair in pairs)


def _pinned(overview: Overview) -> str:
    witnesses = _tuple([str(witness.key) for witness in overview.witnesses])
    return (
        "from client_sdk import Client, Publisher\n\n"
        "publisher = Publisher(\n"
        f"    keys=({PUBLISHER!r},),\n"
        f"    log={str(overview.log)!r},\n"
        f"    witnesses={witnesses},\n"
        ")\n"
    )


def _tuple(found: Sequence[str]) -> str:
    return "(" + "".join(f"\n        {one!r}," for one in found) + ("\n    )" if found else ")")
