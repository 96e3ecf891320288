"""`make bench`: every figure of docs/performance.md, each printed by the code that measured it."""

from __future__ import annotations

import sys

from tests.bench import bench_client, bench_vm


def main() -> int:
    """Run the client's figures, then the VM's."""
    bench_client.main()
    bench_vm.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
