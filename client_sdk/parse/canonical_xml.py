"""The subset of XML that signed RIM files use: read into a tree, written as Canonical XML 1.1, inclusive, no comments.

One tree serves both: what is hashed is what is read, so a signature cannot cover one thing and a value come from
another. Refused, because RIM files have none of it and each is a way to say two things: document type declarations
(and with them entities), processing instructions, attributes in the ``xml`` namespace, encodings other than UTF-8.
Comments are dropped, as the canonical form does.

Within this subset, Canonical XML 1.1 (W3C Recommendation, 2 May 2008, sections 2.3 and 2.4) is: line ends and
attributes normalised (expat does it), namespace declarations that the output does not have yet in the order of their
prefixes, attributes in the order of namespace and name, empty elements as a pair of tags, and a fixed set of escapes.
A mistake here cannot accept what was not signed unless two trees gave the same bytes, which the escapes exclude; it
would refuse what was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

from client_sdk.errors import EvidenceError

MAX_SIZE = 256 * 1024
MAX_DEPTH = 16
MAX_ELEMENTS = 4096
MAX_ATTRIBUTES = 256
MAX_NAMESPACES = 64
XML = "http://www.w3.org/XML/1998/namespace"
_SEPARATOR = "\x1f"  # no XML document can contain it
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_VALUE = str.maketrans({"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"})
Name = tuple[str, str]
Word = tuple[Name, str]
_Shape = tuple[Name, str, tuple[Name, ...], tuple[Word, ...]]


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its name and its attributes' by namespace and local name, and what is in it, in order.

    ``tag`` and the attributes' ``words`` are spelled with the document's prefixes, ``scope`` maps those in scope to
    namespaces.
    """

    name: Name
    tag: str
    attributes: Mapping[Name, str]
    words: tuple[Word, ...]
    scope: Mapping[str, str]
    content: tuple[Element | str, ...]

    def elements(self) -> tuple[Element, ...]:
        """Return the elements inside, without the text."""
        return tuple([part for part in self.content if isinstance(part, Element)])

    def children(self, name: Name) -> tuple[Element, ...]:
        """Return the elements inside that have this name."""
        return tuple([part for part in self.elements() if part.name == name])

    def text(self) -> str:
        """Return the text directly inside."""
        return "".join([part for part in self.content if isinstance(part, str)])


@dataclass(frozen=True, slots=True)
class _Open:
    """An element whose end is yet to come."""

    name: Name
    tag: str
    words: tuple[Word, ...]
    attributes: dict[Name, str]
    scope: dict[str, str]
    content: list[Element | str]


class _Builder:
    """Takes expat's events and grows the tree; whatever is not of the subset raises at once."""

    def __init__(self, where: str) -> None:
        self.where, self.count, self.namespaces = where, 0, 0
        self.root: Element | None = None
        self.stack: list[_Open] = []
        self.declared: dict[str, str] = {}
        self.shapes: dict[tuple[str, ...], _Shape] = {}
        self.parser = expat.ParserCreate("utf-8", _SEPARATOR)
        self.parser.namespace_prefixes = True
        self.parser.ordered_attributes = True
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self._declaration
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.ProcessingInstructionHandler = self._instruction
        self.parser.StartNamespaceDeclHandler = self._namespace
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def refuse(self, message: str) -> NoReturn:
        """Raise, with the place."""
        raise EvidenceError(f"{self.where} byte {self.parser.CurrentByteIndex}", message)

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            self.refuse("the encoding is not UTF-8")

    def _doctype(self, *_what: object) -> None:
        self.refuse("a document type declaration is not allowed")

    def _instruction(self, *_what: object) -> None:
        self.refuse("a processing instruction is not allowed")

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self.namespaces += 1
        if self.namespaces > MAX_NAMESPACES:  # each of them is in scope for all elements inside
            self.refuse(f"more than {MAX_NAMESPACES} declarations of namespaces")
        self.declared[prefix or ""] = uri or ""

    def _start(self, name: str, attributes: list[str]) -> None:
        self.count += 1
        if len(self.stack) >= MAX_DEPTH or self.count > MAX_ELEMENTS or len(attributes) > 2 * MAX_ATTRIBUTES:
            self.refuse(f"deeper than {MAX_DEPTH}, or more than {MAX_ELEMENTS} elements or {MAX_ATTRIBUTES} attributes")
        above = self.stack[-1].scope if self.stack else {}
        scope, self.declared = ({**above, **self.declared} if self.declared else above), {}
        shape = (name, *attributes[::2])
        full, tag, names, words = self.shapes.get(shape) or self._shape(shape)
        self.stack.append(_Open(full, tag, words, dict(zip(names, attributes[1::2], strict=True)), scope, []))

    def _shape(self, shape: tuple[str, ...]) -> _Shape:
        """Split the names of an element and its attributes, once for all elements that have the same."""
        (full, tag), *rest = [_split(name) for name in shape]
        if any(name[0] == XML for name, _ in rest):
            self.refuse("an attribute in the namespace of XML itself is not allowed")
        self.shapes[shape] = found = (full, tag, tuple([name for name, _ in rest]), tuple(sorted(rest)))
        return found

    def _end(self, _name: str) -> None:
        done = self.stack.pop()
        element = Element(done.name, done.tag, done.attributes, done.words, done.scope, tuple(done.content))
        if self.stack:
            self.stack[-1].content.append(element)
        else:
            self.root = element

    def _characters(self, data: str) -> None:
        self.stack[-1].content.append(data)


def parse_xml(data: bytes, where: str) -> Element:
    """Read a document of the subset into a tree.

    Raises:
        EvidenceError: it is not well-formed, not of the subset, or too large; with the place.
    """
    if len(data) > MAX_SIZE:
        raise EvidenceError(f"{where} byte 0", f"{len(data)} bytes are over the limit of {MAX_SIZE}")
    if (zero := data.find(0)) >= 0:
        raise EvidenceError(f"{where} byte {zero}", "a zero byte is not XML in UTF-8")
    builder = _Builder(where)
    try:
        data.decode("utf-8")  # whatever it was told, expat takes UTF-16 for what its first bytes say it is
        builder.parser.Parse(data, True)
    except UnicodeDecodeError as error:
        raise EvidenceError(f"{where} byte {error.start}", "not UTF-8") from error
    except expat.ExpatError as error:
        place = f"{where} byte {builder.parser.ErrorByteIndex}"
        raise EvidenceError(place, f"not well-formed XML: {expat.ErrorString(error.code)}") from error
    if builder.root is None:
        raise EvidenceError(f"{where} byte 0", "there is no element")
    return builder.root


def canonical(element: Element, *, without: Element | None = None) -> bytes:
    """Write an element and what is in it in canonical form, ``without`` one of its children (the enveloped signature).

    For the document's element this is the form of the document; for one inside, that of the subset with its apex there.
    """
    parts: list[str] = []
    _write(element, {}, parts, without)
    return "".join(parts).encode()


def _write(element: Element, above: Mapping[str, str], parts: list[str], without: Element | None = None) -> None:
    """Append the element; ``above`` are the namespaces that the output has declared around it."""
    parts.append(f"<{element.tag}")
    if element.scope is not above:
        parts += [
            f' xmlns{":" if prefix else ""}{prefix}="{uri.translate(_VALUE)}"'
            for prefix, uri in sorted(element.scope.items())
            if above.get(prefix, "") != uri
        ]
    values = element.attributes
    parts += [f' {word}="{values[name].translate(_VALUE)}"' for name, word in element.words]
    parts.append(">")
    for part in element.content:
        if isinstance(part, str):
            parts.append(part.translate(_TEXT))
        elif part is not without:
            _write(part, element.scope, parts)
    parts.append(f"</{element.tag}>")


def _split(name: str) -> tuple[Name, str]:
    """Split expat's spelling (namespace, local name, prefix, as far as there are any) into name and prefixed word."""
    parts = name.split(_SEPARATOR)
    if len(parts) == 1:
        return ("", name), name
    return (parts[0], parts[1]), parts[1] if len(parts) == 2 else f"{parts[2]}:{parts[1]}"
