"""DER, strictly: definite lengths in their shortest form, one-byte tags, integers in their shortest form (X.690).

It is for the few structures that ``cryptography`` does not read: vendors' extensions, and a certificate in a padded
image.
"""

from __future__ import annotations

from client_sdk.errors import EvidenceError

BOOLEAN, INTEGER, UTF8_STRING, SEQUENCE = 0x01, 0x02, 0x0C, 0x30
MAX_LENGTH_BYTES = 4
MAX_INTEGER = 64


class DerReader:
    """Read elements one after another; ``name`` begins every error's place, ``start`` is where the bytes began."""

    __slots__ = ("_data", "_name", "_start", "offset")

    def __init__(self, data: bytes, name: str, start: int = 0) -> None:
        self._data, self._name, self._start, self.offset = data, name, start, 0

    def error(self, message: str) -> EvidenceError:
        """Make an error about the byte at hand."""
        return EvidenceError(f"{self._name} byte {self._start + self.offset}", message)

    @property
    def tag(self) -> int | None:
        """The tag of the next element, or None at the end."""
        return self._data[self.offset] if self.offset < len(self._data) else None

    def element(self, tag: int) -> bytes:
        """Read the content of an element that must have this tag."""
        data, start = self._data, self.offset
        if data[start : start + 1] != bytes((tag,)):
            got = "nothing" if self.tag is None else f"{self.tag:#04x}"
            raise self.error(f"expected DER tag {tag:#04x}, got {got}")
        content, size = self._content()
        end = content + size
        if end > len(data):
            raise self.error(f"an element of {size} bytes runs over the end")
        self.offset = end
        return data[content:end]

    def inner(self, tag: int) -> DerReader:
        """Read a constructed element and return a reader of its content."""
        content = self.element(tag)
        return DerReader(content, self._name, self._start + self.offset - len(content))

    def integer(self) -> int:
        """Read an INTEGER in its shortest form, with its sign."""
        content = self.element(INTEGER)
        if not content or len(content) > MAX_INTEGER:
            raise self.error(f"an integer of {len(content)} bytes")
        if len(content) > 1 and (content[0], content[1] >> 7) in ((0x00, 0), (0xFF, 1)):
            raise self.error("an integer that is not in its shortest form")
        return int.from_bytes(content, "big", signed=True)

    def boolean(self) -> int:
        """Read a BOOLEAN: 0, or 1 for the one spelling of true that DER has."""
        content = self.element(BOOLEAN)
        if content not in (b"\0", b"\xff"):
            raise self.error("a boolean that is neither 00 nor FF")
        return content[0] & 1

    def text(self, limit: int) -> str:
        """Read a UTF8String of printable characters."""
        content = self.element(UTF8_STRING)
        try:
            found = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error("not UTF-8") from error
        if len(content) > limit or not found.isprintable():
            raise self.error(f"not a printable string of at most {limit} bytes")
        return found

    def skip(self) -> None:
        """Step over an element of whatever tag."""
        if self.tag is None or self.tag & 0x1F == 0x1F:
            raise self.error("an element without a one-byte tag")
        self.element(self.tag)

    def finish(self) -> None:
        """Refuse bytes that are left over."""
        if left := len(self._data) - self.offset:
            raise self.error(f"{left} bytes are left over")

    def _content(self) -> tuple[int, int]:
        """Return where the element's content starts, and its size."""
        place = self.offset + 1
        first = self._data[place] if place < len(self._data) else 0x80
        if first < 0x80:
            return place + 1, first
        count = first & 0x7F
        coded = self._data[place + 1 : place + 1 + count]
        if not 1 <= count <= MAX_LENGTH_BYTES or len(coded) != count:
            raise self.error("a length that is indefinite, too long or cut short")
        size = int.from_bytes(coded, "big")
        if coded[0] == 0 or size < 0x80:
            raise self.error("a length that is not in its shortest form")
        return place + 1 + count, size


def trim_certificate(image: bytes, where: str) -> bytes:
    """Return the certificate in an image of a TPM's NV index: one DER element, then nothing but zero bytes.

    Raises:
        EvidenceError: it does not start with a whole element, or something else follows.
    """
    reader = DerReader(image, where)
    reader.element(SEQUENCE)
    if image[reader.offset :].strip(b"\0"):
        raise reader.error("bytes other than zero follow the certificate")
    return image[: reader.offset]
