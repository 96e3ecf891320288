"""The lock-down, as named checks over gathered facts. Each can fail, and all failures are reported at once.

A pass proves that this boot looked like this to its own kernel; that the checks ran at all, and in this very form,
is proven by the measured image.
"""

from __future__ import annotations

from collections.abc import Callable

from serving.errors import SelfCheckError
from serving.selfcheck.expect import CheckFailed
from serving.selfcheck.facts import Facts
from serving.selfcheck.gpu import gpus_are_those_that_are_due
from serving.selfcheck.host import (
    devices_are_known,
    disks_are_known,
    no_channel_to_the_host,
    no_credentials_from_the_host,
    no_device_is_taken_later,
)
from serving.selfcheck.kept import clock_is_sane, mounts_are_known, nothing_is_logged, nothing_is_swapped
from serving.selfcheck.kernel import (
    command_line_is_ours,
    kernel_is_locked_down,
    kernel_settings_hold,
    modules_are_signed,
    no_other_kernel_and_no_hibernation,
)
from serving.selfcheck.network import firewall_drops_by_default, nobody_listens, one_interface_is_up
from serving.selfcheck.running import known_programs_run, nobody_has_more_rights
from serving.selfcheck.verified import model_is_verified, root_is_verified

Check = Callable[[Facts], None]


def run(facts: Facts) -> tuple[str, ...]:
    """Carry out every check; return the names of those that passed, in order.

    Raises:
        SelfCheckError: naming every check that failed, with the reason.
    """
    passed, failures = [], []
    for name, check in CHECKS:
        try:
            check(facts)
            passed.append(name)
        except (CheckFailed, OSError, ValueError, LookupError) as error:  # a fact that cannot be read is a failure
            failures.append((name, str(error) or type(error).__name__))
    if failures:
        raise SelfCheckError(tuple(failures))
    return tuple(passed)


CHECKS: tuple[tuple[str, Check], ...] = (
    ("root-verity", root_is_verified),
    ("model-verity", model_is_verified),
    ("command-line", command_line_is_ours),
    ("lockdown", kernel_is_locked_down),
    ("module-signatures", modules_are_signed),
    ("gpus", gpus_are_those_that_are_due),
    ("hot-plug", no_device_is_taken_later),
    ("credentials", no_credentials_from_the_host),
    ("firewall", firewall_drops_by_default),
    ("listeners", nobody_listens),
    ("swap", nothing_is_swapped),
    ("logs", nothing_is_logged),
    ("sysctl", kernel_settings_hold),
    ("clock", clock_is_sane),
    ("kexec", no_other_kernel_and_no_hibernation),
    ("mounts", mounts_are_known),
    ("devices", devices_are_known),
    ("disks", disks_are_known),
    ("interfaces", one_interface_is_up),
    ("host-channels", no_channel_to_the_host),
    ("programs", known_programs_run),
    ("rights", nobody_has_more_rights),
)
NAMES = tuple(name for name, _ in CHECKS)
