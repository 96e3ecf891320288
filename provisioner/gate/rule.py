"""One rule of the refuse gate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that an image may not hold (or, for the check ``required``, must hold).

    ``property`` is the role whose property it would break. ``not_in`` names the one mode of baking in which the rule
    is not asked.
    """

    id: str
    property: str
    check: str
    patterns: tuple[str, ...]
    why: str
    expression: str = ""
    not_in: str = ""

    def matcher(self) -> re.Pattern[str]:
        """All patterns as one expression over a path relative to the root; ``*`` crosses slashes."""
        return re.compile("|".join(translate(pattern) for pattern in self.patterns))
