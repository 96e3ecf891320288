"""Where the pages of a log are, and how a report leads to a release on them (``client_sdk.transparency.log.page``)."""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import FieldError

INDEX = "index.html"
MAX_URL = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """The URL that a log, and its pages with it, are served from.

    Raises:
        EvidenceError: it is none of HTTPS: a link of another kind could run something.
    """

    url: str

    def __post_init__(self) -> None:
        plain = self.url.isascii() and self.url.isprintable() and len(self.url) <= MAX_URL
        if not plain or not self.url.startswith("https://") or set(self.url) & set(" \"'<>\\^`{|}#?"):
            remedy = "give where the log is served from, without query and fragment"
            raise FieldError("log page", "an address https://…", self.url[:64], remedy)

    def of(self, path: str) -> str:
        """Return the address of a file."""
        return f"{self.url.rstrip('/')}/{path}"

    def release(self, number: int, manifest_sha256: bytes) -> str:
        """Return the address of a release's row on the first page."""
        return self.of(f"{INDEX}#{row_id(number, manifest_sha256)}")


def row_id(number: int, manifest_sha256: bytes) -> str:
    """Name the row of a release: a number alone is in a log once for each service."""
    return f"release-{number}-{manifest_sha256.hex()[:16]}"
