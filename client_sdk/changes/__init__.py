"""What changed from one release to the next: compared, held against what few have a good reason for, and told."""

from client_sdk.changes.alarms import alarms
from client_sdk.changes.compare import Change, Section
from client_sdk.changes.image import contents
from client_sdk.changes.stated import measured, statements
from client_sdk.changes.telling import as_dicts, lines, words

__all__ = ["Change", "Section", "alarms", "as_dicts", "contents", "lines", "measured", "statements", "words"]
