"""What a reader of changes must not miss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from client_sdk.changes.compare import CHANGED, GONE, Change, Section
from client_sdk.changes.image import COMMIT, ISSUER, UNNAMED
from client_sdk.changes.stated import ANYTHING, DEBUG, KIND

_ALARMS: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("keys", COMMIT, UNNAMED): ("It names no commit any more: nobody can tell what it was built from.",),
    ("keys", ISSUER, CHANGED): ("API tokens are taken from another issuer, or from none where there was one.",),
    ("statement", "service", CHANGED): ("It is another service.",),
}


def alarms(sections: Iterable[Section]) -> Iterator[str]:
    """Say what a reader must not miss: changes that few have a good reason for."""
    for section in sections:
        for change in section.changes:
            if section.key.startswith("measurement/"):
                yield from _alarms_of_a_platform(section, change)
            elif section.key in {"packages", "wheels", "tools"} and change.note:
                yield f"{change.what} has other bytes under the same version: ask why."
            elif section.key == "cmdline" and change.what == "vitrine.mode":
                yield f"The image says that its mode is {change.after or 'none'}; it was {change.before or 'none'}."
            else:
                for how in (change.after or "", change.kind):
                    yield from _ALARMS.get((section.key, change.what, how), ())
                if section.key == "statement" and change.what.startswith("revokes ") and change.kind == GONE:
                    yield f"It no longer {change.what}: what was revoked once must stay so."


def _alarms_of_a_platform(section: Section, change: Change) -> Iterator[str]:
    if change.what == KIND and change.after == DEBUG:
        yield f"{section.title}: the image goes without a part of the lock-down, or has a console (DEBUG)."
    pinned = any(other.what == change.what and other.kind == GONE for other in section.changes)
    if change.after == ANYTHING and pinned:
        yield f"{section.title}: {change.what} may be anything now."
