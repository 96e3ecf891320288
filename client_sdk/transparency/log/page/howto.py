"""How to check a log and a release of it: commands and Python with this log's own keys, to be copied.

What comes from the log or from keys is quoted, for a shell and for Python: whoever copies it runs nothing else.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from client_sdk.page.address import Address
from client_sdk.page.markup import Html, join, tag, text
from client_sdk.transparency.log.page.overview import Fate, Overview, Shelf
from client_sdk.transparency.log.page.parts import paragraphs, report_path, signed_path, style_of

MANIFESTS = "manifest"
"""The folder beside the pages that has manifests, each named by its SHA-256."""
SERVICE = "https://llm.example"
_KEYS = (
    "These lines have the keys of the log and its witnesses that this page was made with, and name the publisher's key "
    "files. Compare the keys with what the publisher gave you in another way: who serves this page could have put "
    "others here. Where a publisher's keys were replaced, his first ones lead on to the present ones, by the rotations "
    "in the log."
)
_REFUSED = "Clients refuse this release. These lines are for whoever wants to see that."


def check_log(overview: Overview, address: Address) -> list[Html]:
    """Return how to check all of the log, and how to pin it."""
    pins = _pins(overview)
    verify = _command("vitrine", "log", "verify", address.url, *pins)
    found = [
        paragraphs(_KEYS),
        _step("Read every file of the log, and compare all of it with its checkpoint:", verify, "shell"),
    ]
    for shelf in overview.shelves:
        told = f"Be told of every release of {shelf.name} that is added, and see that nothing else changed:"
        monitor = _command("vitrine", "log", "monitor", address.url, *pins, *_publisher(shelf), "--state", "seen")
        pin = f"Pin the log in a client: from then on it takes no release of {shelf.name} that is not in it."
        found += [_step(told, monitor, "shell"), _step(pin, _pinned(overview, shelf), "Python")]
    return found


def check_release(overview: Overview, shelf: Shelf, fate: Fate, address: Address) -> list[Html]:
    """Return how to get a release with its proof, and how to hold a service against it."""
    path = signed_path(fate.entry.index)
    fetch = shlex.join(["curl", "-fsS", "-o", "release.json", address.of(path)])
    pins, publisher = _pins(overview), _publisher(shelf)
    prove = _command("vitrine", "log", "bundle", address.url, "release.json", *pins[:2], *publisher)
    prove += _more("--output", "bundle.json")
    verify = _command("vitrine", "verify", SERVICE, "--release", "bundle.json", *publisher, *pins)
    verify += _more("--html", "report.html", "--log-page", address.url)
    talk = f"{_pinned(overview, shelf)}client = Client({SERVICE!r}, releases='bundle.json', publisher=publisher)\n"
    file = tag("p", text("The signed file is "), tag("a", text("release.json"), href=f"../{path}"), text("."))
    return [
        paragraphs(*([_REFUSED] if style_of(fate.state) == "bad" else []), _KEYS),
        *_report(overview, fate.entry.index),
        file,
        _step("Get the release, and the proof that it is in the log:", f"{fetch}\n{prove}", "shell"),
        _step(f"Hold a service (here {SERVICE}) against it, and keep a report that leads here:", verify, "shell"),
        _step("Or talk to the service, which happens only if all of that holds:", talk, "Python"),
    ]


def _report(overview: Overview, index: int) -> Iterator[Html]:
    if index in overview.reports:
        link = tag("a", text("a verification report"), href=f"../{report_path(index)}")
        rest = " of a service that ran this release, as whoever keeps this log saw it. Your own is the one that counts."
        yield tag("p", text("There is "), link, text(rest))


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


def _publisher(shelf: Shelf) -> tuple[str, ...]:
    threshold = ("--threshold", str(shelf.first.threshold)) if shelf.first.threshold > 1 else ()
    return ("--publisher", *_key_files(shelf), *threshold)


def _key_files(shelf: Shelf) -> tuple[str, ...]:
    """Name the files of the publisher's first keys: rotations in the log lead on from those."""
    many = len(shelf.first.public_keys)
    return ("publisher.pub",) if many == 1 else tuple(f"publisher-{place}.pub" for place in range(1, many + 1))


def _pinned(overview: Overview, shelf: Shelf) -> str:
    threshold = f"    threshold={shelf.first.threshold},\n" if shelf.first.threshold > 1 else ""
    return (
        "from client_sdk import Client, Publisher\n\n"
        "publisher = Publisher(\n"
        f"    keys={_tuple(_key_files(shelf))},\n{threshold}"
        f"    log={str(overview.log)!r},\n"
        f"    witnesses={_tuple([str(witness.key) for witness in overview.witnesses])},\n"
        ")\n"
    )


def _tuple(found: Sequence[str]) -> str:
    return "(" + "".join(f"\n        {one!r}," for one in found) + ("\n    )" if found else ")")
