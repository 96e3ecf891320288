"""A secret that is recognised wherever it turns up: the forms it may take, and a search for all of them in bytes.

Pure. A needle is found whole or not at all: not in what is compressed or encrypted, nor one that lies in pieces.
"""

from __future__ import annotations

import base64
import json
import secrets
import struct
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

# Between the groups stands what each notation writes in its own way, so that no form contains another.
_JOINTS = ('é"', "/ ", "ü+")
_GROUP = 5
_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
_SHORTEST = 12
"""Needles of fewer bytes would be found by chance in a gigabyte."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Which form was found, and where it begins in all that was searched."""

    form: str
    offset: int


@dataclass(frozen=True, slots=True)
class Canary:
    """A text that nobody else has written, and how the model's tokenizer counts it: perhaps in several contexts."""

    text: str
    tokens: tuple[tuple[int, ...], ...] = ()

    def with_tokens(self, *counted: Iterable[int]) -> Canary:
        """Return the same text with its numbers as a tokenizer gave them.

        The first and the last depend on what stands beside the text, so they are left out.
        """
        return Canary(self.text, tuple(tuple(numbers)[1:-1] for numbers in counted))

    def needles(self) -> Mapping[str, bytes]:
        """Return the forms by name.

        Raises:
            ValueError: one is so short that it would be found by chance.
        """
        found = {**_texts(self.text), **_base64(self.text.encode()), **_numbers(self.tokens)}
        short = sorted(name for name, needle in found.items() if len(needle) < _SHORTEST)
        if short:
            raise ValueError(f"too short to mean anything: {', '.join(short)}")
        return found


def new_canary() -> Canary:
    """Make one that was never seen before."""
    groups = ["".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(len(_JOINTS) + 1)]
    return Canary("".join(group + joint for group, joint in zip(groups, (*_JOINTS, ""), strict=True)))


def search(chunks: Iterable[bytes], needles: Mapping[str, bytes]) -> Iterator[Hit]:
    """Yield every place of every needle in what the chunks are when put together, wherever the borders lie.

    Raises:
        ValueError: there are no needles, or one of zeros alone: that search would find nothing, or everything.
    """
    if not needles or not all(any(needle) for needle in needles.values()):
        raise ValueError("nothing to search for")
    longest = max(map(len, needles.values()))
    kept, begins = b"", 0
    for chunk in chunks:
        # Most of a guest's memory is zeros: of such a piece only the border can hold the end of a needle.
        skipped = max(0, len(chunk) - longest) if _is_zero(chunk) else 0
        data = kept + chunk[skipped:]
        for form, needle in needles.items():
            # What lies in the kept end alone was found before.
            at = data.find(needle, max(0, len(kept) - len(needle) + 1))
            while at >= 0:
                yield Hit(form, begins + at)
                at = data.find(needle, at + 1)
        kept = data[max(0, len(data) - longest + 1) :]
        begins += skipped + len(data) - len(kept)


def counted(hits: Iterable[Hit]) -> dict[str, int]:
    """Return how often each form was found."""
    return dict(Counter(hit.form for hit in hits))


def _is_zero(chunk: bytes) -> bool:
    return chunk[:1] == b"\0" and chunk.count(0) == len(chunk)


def _texts(text: str) -> dict[str, bytes]:
    """Return the notations of the text as a whole. Python keeps a text like this one in memory as Latin-1."""
    utf8 = text.encode()
    quoted = urllib.parse.quote(text, safe="")
    escaped = json.dumps(text)[1:-1]
    return {
        "utf-8": utf8,
        "latin-1": text.encode("latin-1"),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "utf-32-le": text.encode("utf-32-le"),
        "json": escaped.encode(),
        "json, upper case": _upper(escaped, "\\u").encode(),
        "json, utf-8": json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        "json in json": json.dumps(escaped)[1:-1].encode(),
        "percent": quoted.encode(),
        "percent, lower case": _lower(quoted).encode(),
        "form": urllib.parse.quote_plus(text).encode(),
        "python": repr(utf8)[2:-1].encode(),
        "hex": utf8.hex().encode(),
        "hex, upper case": utf8.hex().upper().encode(),
    }


def _base64(data: bytes) -> dict[str, bytes]:
    """Return what all texts in base64 have in common in which the data begins at each place of a group of three."""
    found = {}
    for place in range(3):
        whole = base64.b64encode(b"\0" * place + data)
        # The first and the last group hold bits of the neighbours.
        inner = whole[4 if place else 0 : len(whole) - (4 if (place + len(data)) % 3 else 0)]
        found[f"base64, {place}"] = inner
        found[f"base64 for URLs, {place}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def _numbers(tokens: Iterable[tuple[int, ...]]) -> dict[str, bytes]:
    found = {}
    for i, numbers in enumerate(tokens):
        if max(numbers, default=0) < 1 << 16:
            found[f"tokens {i}, 16 bit"] = struct.pack(f"<{len(numbers)}H", *numbers)
        found[f"tokens {i}, 32 bit"] = struct.pack(f"<{len(numbers)}I", *numbers)
        found[f"tokens {i}, 64 bit"] = struct.pack(f"<{len(numbers)}Q", *numbers)
        for name, joint in (("text", ", "), ("dense text", ",")):
            found[f"tokens {i}, {name}"] = joint.join(map(str, numbers)).encode()
    return found


def _upper(text: str, mark: str) -> str:
    head, *parts = text.split(mark)
    return head + "".join(mark + part[:4].upper() + part[4:] for part in parts)


def _lower(quoted: str) -> str:
    head, *parts = quoted.split("%")
    return head + "".join("%" + part[:2].lower() + part[2:] for part in parts)
