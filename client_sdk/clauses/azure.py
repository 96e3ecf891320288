"""What a policy says about a VM on Azure whose runtime data ``verify/azure.py`` found bound to the CPU's report.

(T1.console) Whether the host's console is enabled, (T1.secure-boot) Secure Boot's state, (T1.tpm) that there is a TPM
and (T1.persisted) whether its state outlives the VM's boots, (T1.vm) which VM it is, and (T1.thumbprint) the root
certificate that was given to it.

These are the paravisor's words, as true as its measurement is good. Neither they nor the attestation key's certificate
name a subscription: *whose* VM it is, is not stated on Azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from client_sdk.clauses.expected import Stated
from client_sdk.errors import Failure
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.azure import HclFacts

UNSTATED = "not stated"
_SEPARATOR = bytes(4)


def pcr_of_vm_id(configuration: Mapping[str, Any] | None) -> bytes:
    """Return what PCR 6 must be (SHA-256 bank) on the VM that this configuration is of: its id, then the separator.

    So it is on five of six VMs on Azure whose quote and runtime data were published, each with another id; no document
    of Microsoft's says it. Without a paravisor there is no id (None), and the separator is alone. A paravisor that
    states no id gives a value that no PCR has.
    """
    told = () if configuration is None else (configuration.get("vmUniqueId"),)
    value = bytes(32)
    for event in (*(b"UUID: " + one.upper().encode() if isinstance(one, str) else b"" for one in told), _SEPARATOR):
        value = sha256(value + sha256(event).digest()).digest()
    return value


@dataclass(frozen=True, slots=True)
class AzureVm:
    """What the paravisor must state; nothing has a default. A flag that it does not state is :data:`UNSTATED`."""

    console_enabled: Stated
    secure_boot: Stated
    tpm_enabled: Stated
    tpm_persisted: Stated
    vm_id: Stated
    root_thumbprint: Stated

    @keeps("T1.console", "T1.persisted", "T1.secure-boot", "T1.thumbprint", "T1.tpm", "T1.vm")
    def judge(self, facts: HclFacts, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the VM's configuration. Its id is compared in lower case: paravisors write it in either."""
        said = facts.configuration.get
        vm = said("vmUniqueId", UNSTATED)
        return (
            *self.console_enabled.judge(
                "T1.console", "the host's console is as expected", said("console-enabled", UNSTATED), ledger
            ),
            *self.secure_boot.judge(
                "T1.secure-boot", "Secure Boot's state is as expected", said("secure-boot", UNSTATED), ledger
            ),
            *self.tpm_enabled.judge("T1.tpm", "the VM's TPM is as expected", said("tpm-enabled", UNSTATED), ledger),
            *self.tpm_persisted.judge(
                "T1.persisted", "the TPM's persistence is as expected", said("tpm-persisted", UNSTATED), ledger
            ),
            *self.vm_id.judge(
                "T1.vm", "the VM is an expected one", vm.lower() if isinstance(vm, str) else UNSTATED, ledger
            ),
            *self.root_thumbprint.judge(
                "T1.thumbprint",
                "the root certificate given to the VM is an expected one",
                said("root-cert-thumbprint", UNSTATED),
                ledger,
            ),
        )
