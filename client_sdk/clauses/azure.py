"""What a policy says about a VM on Azure whose runtime data ``verify/azure.py`` found bound to the CPU's report.

(T1.console) Whether the host's console is enabled, (T1.secure-boot) Secure Boot's state, (T1.tpm) that there is a TPM
and (T1.persisted) whether its state outlives the VM's boots, (T1.vm) which VM it is, and (T1.thumbprint) the root
certificate that was given to it.

These are the paravisor's words, as true as its measurement is good. Neither they nor the attestation key's certificate
name a subscription: *whose* VM it is, is not stated on Azure.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.clauses.stated import Stated
from client_sdk.errors import Failure
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.azure import HclFacts

UNSTATED = "not stated"


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
