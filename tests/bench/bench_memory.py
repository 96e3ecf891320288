"""How much memory a verification takes: of a fresh process that reads one request of a stage and judges it.

The request comes from a simulator in another process. Reading its JSON and base64 counts, imports do not.
"""

from __future__ import annotations

from client_sdk.conformance.__main__ import STAGES
from tests.bench.measure import show_machine, show_memory
from tests.fuzz.stages import REQUESTS

SHOWN = ("snp", "tdx", "tpm-quote", "azure-hcl", "nvidia-gpu")


def main() -> None:
    """Print the figures."""
    show_machine()
    print("\npeak memory of a verification, in a fresh process")
    for stage in SHOWN:
        show_memory(stage, *STAGES[stage], REQUESTS[stage]())


if __name__ == "__main__":
    main()
