"""Whether the release promises the whole lock-down, or is that of a debug image.

(P9) The run-time event ``lockdown`` is the one that an image extends without any way in. A debug image has a console,
and says so: in its command line, in PCR 15, and so in every release of it.

That the VM *is* what the release says, rules L1 and L11 compare; this one is about what it promises.
"""

from __future__ import annotations

from client_sdk.binding import LOCKDOWN
from client_sdk.errors import Failure
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.rules import keeps

_DEBUG = "DEBUG: whoever reaches the VM's console reads every prompt and answer"


@keeps("P9")
def judge_lockdown(measurement: Measurement, ledger: Ledger, *, debug_too: bool = False) -> tuple[Failure, ...]:
    """Judge the release; ``debug_too`` takes a debug image's, and the report says so at its top."""
    whole = not measurement.is_debug
    if not whole and debug_too:
        ledger.opt_out("the image is locked", _DEBUG)
    said = {event.kind: event.data for event in measurement.pcr15_template}["lockdown"] or b""
    return ledger.judge(
        "P9",
        "the release is of a locked image" if whole else "the release is of a locked image, not of a DEBUG one",
        expected=LOCKDOWN.decode() + (", or what a debug image says" if debug_too else ""),
        got=said.decode(errors="replace"),
        condition=whole or debug_too,
    )
