"""What a deployment in Google Cloud costs beside its machines, by meter: the prices are Google's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from provisioner.clouds.gcp import kinds
from provisioner.clouds.gcp.driver import GcpDriver


def meters(driver: GcpDriver, name: str, *, addresses: int, rules: int) -> Iterator[tuple[str, str]]:
    """Yield addresses, balancers, the machines' disks, and what keeps the images: images, and objects of the bucket.

    Raises:
        GcpError: Google refuses.
    """
    yield "addresses", f"{addresses} static" if addresses else "none of this deployment's own"
    yield "balancers", f"{rules} forwarding rule{'s' if rules > 1 else ''}" if rules else "none"
    sizes: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for _, body in driver.listing.of_kind(kinds.DISK, name):
        kind = body.get("type", "").rpartition("/")[2] or "disk"
        sizes[kind] += int(body.get("sizeGb", 0))
        count[kind] += 1
    yield "disks", ", ".join(f"{count[kind]} x {kind}, {sizes[kind]} GiB together" for kind in sorted(count)) or "none"
    stored = [int(body.get("archiveSizeBytes", 0)) for _, body in driver.listing.of_kind(kinds.IMAGE, name)]
    yield "images", _stored(stored)
    buckets = [one.key.name for one in driver.storage.buckets() if one.mark and one.mark.deployment == name]
    yield "objects", _stored([size for bucket in buckets for size in driver.storage.sizes(bucket)])


def _stored(sizes: list[int]) -> str:
    return f"{len(sizes)}, {sum(sizes) / (1 << 30):.2f} GiB stored together" if sizes else "none"
