"""The edge between what a cloud answers and our code: an answer that is not as it should be is one typed error.

Beyond it, code reads bodies as the vendor's documentation has them, and asks no field whether it is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from provisioner.errors import CloudError

# What reading a body raises that has other fields, other types, other text, or no end.
ODD: tuple[type[Exception], ...] = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
PAGES = 1000  # more pages than anything of ours has
_SHOWN = 200


@contextlib.contextmanager
def understood(what: str, *more: type[Exception]) -> Iterator[None]:
    """Turn what an odd answer raises into a CloudError that says which; ``more`` is what a library raises of its own.

    Raises:
        CloudError: the answer is not understood.
    """
    try:
        yield
    except ODD + more as error:
        raise misread(what, error) from error


def misread(what: str, error: object) -> CloudError:
    """Say that the answer to a call is not understood."""
    told = f"{type(error).__name__} {error}" if isinstance(error, Exception) else str(error)
    shown = " ".join(told.split())[:_SHOWN]
    return CloudError(f"{what}: an answer that is not understood ({shown}); run it again, and report it if it stays")
