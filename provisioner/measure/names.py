"""What an event is of, in words; whoever looks for the events of something finds them by these."""

from __future__ import annotations

IMAGE = "UKI, Authenticode"
KERNEL = "kernel inside the UKI, Authenticode"
CMDLINE = "kernel command line"
INITRD = "initrd and the stub's archive"


def name_of(section: str) -> str:
    """Return the words for the name of a section of the UKI."""
    return f"name {section}"


def content_of(section: str) -> str:
    """Return the words for the content of a section of the UKI."""
    return f"content of {section}"
