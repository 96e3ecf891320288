"""What an audit finds to differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: where, what was published, what is found instead, and lines that show how."""

    where: str
    published: str
    found: str
    how: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "how": list(self.how)}
