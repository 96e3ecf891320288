"""A log of ten million entries, on real tiles: `python -m tests.bench.log` (or `make bench-log`).

The tiles of the whole tree are written and read as any log's are. Its entries are numbers, hashed as entries are, but
for the last ones, which are signed releases: ten million of those would take tens of gigabytes. What they would take is
their size times their number, and is printed as such.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.transparency.formats import tiles
from client_sdk.transparency.formats.checkpoint import Checkpoint
from client_sdk.transparency.formats.merkle import leaf_hash, verify_consistency, verify_inclusion
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, add_signature, sign_note
from client_sdk.transparency.formats.tiles import ENTRIES, WIDTH, Tile
from client_sdk.transparency.log import tree
from client_sdk.transparency.log.bundling import make_bundle
from client_sdk.transparency.log.config import Config
from client_sdk.transparency.log.contents import Contents
from client_sdk.transparency.log.remote import Folder, RemoteTree, read_checkpoint
from client_sdk.transparency.log.writer import PUBLIC, STATE, LogWriter, create
from tests.fakes.simulated_vm import NOW, publisher, publisher_key, release, signed

SEED = 20261126
TRIES = 400
WITNESSES = 3


@dataclass(frozen=True)
class Figures:
    """What is printed: a name, a value, and how it was got."""

    rows: list[tuple[str, str, str]]

    def add(self, name, value, how):
        self.rows.append((name, value, how))
        print(f"{name}: {value} ({how})", file=sys.stderr, flush=True)


class Counting(Folder):
    """A folder that counts what is read."""

    files = size = 0

    def get(self, path, *, limit):
        found = super().get(path, limit=limit)
        self.files, self.size = self.files + 1, self.size + len(found)
        return found


def entry(number):
    return signed(release(number))


def built(home, size, figures):
    """Write the tiles of a tree of this size, of which the last entries are releases, and its checkpoint."""
    signer = NoteSigner.generate("log.example/releases")
    create(home, lambda key: Config(key.verifier, publisher()), signer)
    row = [entry(number) for number in range(1, size % WIDTH + 1)]
    public, written = home / PUBLIC, 0

    def keep(tile, data):
        nonlocal written
        path = public / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written += len(data)

    growing, began = tree.Growing(keep), time.process_time()
    for number in range(size - len(row)):
        growing.add(leaf_hash(b"%d" % number))
    for data in row:
        growing.add(leaf_hash(data))
    root, spent = growing.finish(), time.process_time() - began
    if row:
        keep(Tile(ENTRIES, size // WIDTH, len(row)), tiles.pack(row))
    (public / "checkpoint").write_bytes(sign_note(Checkpoint(signer.name, size, root).to_text(), signer))
    services = {} if not row else {"vitrine": (len(row), b"")}
    (home / STATE).write_bytes(replace(Contents(publisher()), size=size, services=_digests(services)).to_json())
    figures.add("entries", f"{size:,}", "leaves of the tree")
    figures.add("tiles", f"{written / 1e6:.0f} MB in {_files(public):,} files", "all hashes, written and counted")
    figures.add("building", f"{size / spent:,.0f} entries a second of CPU", "hashes and files, without signatures")
    return signer


def _digests(services):
    return {name: (number, bytes(32)) for name, (number, _) in services.items()}


def _files(folder):
    return sum(1 for path in folder.rglob("*") if path.is_file())


def proofs(home, signer, size, figures):
    """Make and verify proofs of random entries and between random sizes."""
    source, chosen = Counting(home), random.Random(SEED)  # noqa: S311 - which entries are looked at
    shown = read_checkpoint(source, signer.verifier)
    hashes, files, read, spent = [], [], [], []
    for _ in range(TRIES):
        source.files = source.size = 0
        remote, index = RemoteTree(source, shown.checkpoint), chosen.randrange(size - size % WIDTH or size)
        proof = remote.inclusion(index)
        files.append(source.files)
        read.append(source.size)
        leaf, began = leaf_hash(b"%d" % index), time.perf_counter()
        verify_inclusion(leaf, index, size, proof, shown.checkpoint.root)
        spent.append(time.perf_counter() - began)
        hashes.append(len(proof))
    figures.add(
        "inclusion proof", f"{max(hashes)} hashes, {32 * max(hashes)} bytes", f"the longest of {TRIES} random entries"
    )
    figures.add(
        "making one",
        f"{max(files)} files, {max(read) / 1e3:.0f} kB read",
        "the most; every tile proven, none kept before",
    )
    figures.add("verifying one", f"{statistics.median(spent) * 1e6:.0f} µs", "median, hashes alone")
    lengths, remote = [], RemoteTree(source, shown.checkpoint)
    for _ in range(TRIES):
        old = chosen.randrange(1, size)
        proof = remote.consistency(old)
        verify_consistency(old, _root(home, old, remote), size, shown.checkpoint.root, proof)
        lengths.append(len(proof))
    figures.add(
        "consistency proof", f"{max(lengths)} hashes, {32 * max(lengths)} bytes", f"longest of {TRIES} random sizes"
    )


def _root(home, old, remote):
    """Return the root of an earlier size, from the full tiles of this one."""
    return tree.root_of(old, lambda tile: remote.hashes(tiles.at(tile.level, tile.index, remote.size))[: tile.width])


def scanning(home, signer, size, figures):
    """Check every tile of the tree, as `vitrine log verify` does besides reading the entries."""
    source = Folder(home)
    remote, began = RemoteTree(source, read_checkpoint(source, signer.verifier).checkpoint), time.process_time()
    for index in range(-(-size // WIDTH)):
        remote.hashes(tiles.at(0, index, size))
    spent = time.process_time() - began
    figures.add("checking all tiles", f"{spent:.0f} s of CPU", f"{size / spent:,.0f} entries a second")
    sample, began = [entry(1)] * 2000, time.process_time()
    for data in sample:
        leaf_hash(data)
    each = (time.process_time() - began) / len(sample)
    figures.add("hashing an entry", f"{each * 1e6:.1f} µs", f"a signed release of {len(sample[0]):,} bytes")
    began = time.process_time()
    contents = Contents(publisher())
    for number in range(1, 501):
        contents, _ = contents.take(entry(number))
    took = (time.process_time() - began) / 500
    began = time.process_time()
    for number in range(1, 501):
        entry(number)
    took -= (time.process_time() - began) / 500
    figures.add("a monitor's entry", f"{took * 1e3:.2f} ms", "a release's signature and fields, and its order")


def appending(home, size, figures):
    """Append to the large log: one at a time, and many with one checkpoint; every file is flushed to the disk."""
    log, number = LogWriter(home), size % WIDTH
    for many, times in ((1, 100), (WIDTH, 4)):
        batches = [[entry(number + 1 + j * many + i) for i in range(many)] for j in range(times)]
        number += many * times
        wall, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            log.append(batch)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        figures.add(
            f"append, {many} with a checkpoint",
            f"{many * times / wall:,.0f} entries a second",
            f"{cpu / times * 1e3:.0f} ms of CPU and {wall / times * 1e3:.0f} ms in all for each checkpoint",
        )
    return [data for batch in batches for data in batch][-1]


def client(home, signer, newest, figures):
    """Make the bundle of a release with three witnesses, and judge it as the client does."""
    source, witnesses = Folder(home), [NoteSigner.generate(f"w{n}.example", COSIGNATURE) for n in range(WITNESSES)]
    shown = read_checkpoint(source, signer.verifier)
    note = shown.data
    for witness in witnesses:
        note = add_signature(note, witness.sign(shown.checkpoint.to_text(), at=int(NOW.timestamp())))
    (home / PUBLIC / "checkpoint").write_bytes(note)
    shown, began = read_checkpoint(source, signer.verifier), time.process_time()
    made = make_bundle(newest, shown, RemoteTree(source, shown.checkpoint), ()).to_json()
    figures.add(
        "making a bundle", f"{(time.process_time() - began) * 1e3:.0f} ms", "of a new release, which is found first"
    )
    figures.add("bundle", f"{len(made):,} bytes", f"a release of {len(newest):,} bytes, {WITNESSES} witnesses")
    began = time.process_time()
    RemoteTree(source, shown.checkpoint).find(leaf_hash(b"0"))
    figures.add(
        "finding the oldest entry", f"{time.process_time() - began:.1f} s", "for its bundle: every tile is read"
    )
    keys = (publisher_key().public_key(),)
    keyed = Publisher(
        keys=keys,
        log=signer.verifier,
        witnesses=tuple(witness.verifier for witness in witnesses),
        max_checkpoint_age=timedelta(days=1),
    )
    cost = {}
    for name, data, pinned in (("bare", newest, Publisher(keys=keys)), ("bundle", made, keyed)):
        began = time.process_time()
        for _ in range(TRIES):
            open_releases((data,), pinned, now=NOW)
        cost[name] = (time.process_time() - began) / TRIES * 1e3
    how = f"against {cost['bare']:.2f} ms for the release alone; no file and no network"
    figures.add("a client judges a bundle", f"{cost['bundle']:.2f} ms of CPU", how)


def storage(size, newest, figures):
    """Say what entries would take, and what partial bundles take until a full one is there."""
    figures.add(
        "entries of this size", f"{size * (len(newest) + 2) / 1e9:.0f} GB", f"{len(newest):,} bytes each, computed"
    )
    partial = (len(newest) + 2 + 32) * WIDTH * (WIDTH - 1) / 2
    figures.add("partial files", f"{partial / 1e6:.0f} MB at most", "while a bundle fills one by one, computed")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the log goes for the time of the run (a temporary folder)")
    arguments = parser.parse_args()
    home, figures = Path(tempfile.mkdtemp(prefix="log-", dir=arguments.folder)), Figures([])
    began = time.monotonic()
    try:
        size = arguments.entries
        signer = built(home, size, figures)
        proofs(home, signer, size, figures)
        scanning(home, signer, size, figures)
        newest = appending(home, size, figures)
        client(home, signer, newest, figures)
        storage(size, newest, figures)
    finally:
        shutil.rmtree(home)
    figures.add("the whole run", f"{time.monotonic() - began:.0f} s", "wall clock")
    print("| what | figure | how |\n|---|---|---|")
    for row in figures.rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
