"""What a release and a client have to know of machines in Google Cloud."""

from __future__ import annotations

from client_sdk.evidence import GCP
from provisioner.clouds.gcp.spec import GcpSpec
from provisioner.clouds.interface import Guest
from provisioner.clouds.policy import policy

_TEES = {"tdx": "tdx", "sev-snp": "snp"}


def guest_of(spec: GcpSpec) -> Guest:
    """Return the kind of the machines, and the policy file that names project and zone.

    Google certifies both (rules K3.4, K3.5). On SEV-SNP the policy has to take Google's word for the image, since the
    CPU measures Google's firmware alone there; it says so to whoever reads it.
    """
    technology, gpus = spec.family.technology, spec.family.gpus
    sections = [
        ("[google]", f'project = "{spec.place.project}"', f'zones = ["{spec.place.zone}"]'),
        ("[nvidia]", f"count = {gpus}"),
    ]
    if technology == "sev-snp":
        why = f"{spec.machine_type}: the CPU measures Google's firmware alone, and Google's TPM says which image runs"
        sections.append(("[sev_snp]", f'cloud_vouched_boot = "{why}"'))
    text = policy(spec.name, technology, "whose machines", *sections)
    return Guest(platform=GCP, tee=_TEES[technology], gpus=gpus, policy=text)
