"""What a release and a client have to know of machines on Azure."""

from __future__ import annotations

from client_sdk.evidence import AZURE
from provisioner.clouds.azure.sizes import SIZES
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.clouds.interface import Guest
from provisioner.clouds.policy import policy


def guest_of(spec: AzureSpec) -> Guest:
    """Return the kind of the machines, and a policy file for clients.

    Azure certifies no subscription, so the policy cannot name whose machines they are: what counts is the image. Which
    paravisor is taken, the release says by its launch measurement.
    """
    gpus = int(SIZES[spec.size].gpu)
    text = policy(
        spec.name,
        "sev-snp",
        "which machines",
        ("[azure]", "console_enabled = false", f"secure_boot = {'true' if spec.secure_boot else 'false'}"),
        ("[nvidia]", f"count = {gpus}"),
    )
    return Guest(platform=AZURE, tee="snp", gpus=gpus, policy=text)
