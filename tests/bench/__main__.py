"""`make bench`: every figure of docs/performance.md, each printed by the code that measured it."""

from __future__ import annotations

import sys

from tests.bench import bench_client, bench_memory, bench_nvidia, bench_snp, bench_tdx, bench_tpm, bench_vm


def main() -> int:
    """Run the verifiers' figures, then the VM's."""
    for bench in (bench_client, bench_snp, bench_tdx, bench_tpm, bench_nvidia, bench_memory, bench_vm):
        bench.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
