"""Vectors of the stage ``binding``: places, paths, leaves and nodes that are taken for each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

from client_sdk.binding import Place, extra_data, leaf_hash, merkle_tree, node_hash
from tests.vectors.case import Case, Family, Request, merged

NONCES = tuple(sha256(b"client %d" % number).digest() for number in range(7))
SPKI, GPU = sha256(b"TLS key").digest(), sha256(b"GPUs").digest()
MINE = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What one client got, and for which nonce it takes it. ``root`` is what the TPM signed over."""

    root: bytes
    size: int
    nonce: bytes
    place: Place
    gpu: bytes = b""

    def request(self, **changes) -> Request:
        signed = extra_data(self.root, self.size, SPKI, self.gpu)
        made: Request = {
            "extra_data_hex": signed.hex(),
            "nonce_hex": self.nonce.hex(),
            "index": self.place.index,
            "tree_size": self.place.tree_size,
            "path_hex": [node.hex() for node in self.place.path],
            "spki_hex": SPKI.hex(),
        }
        return merged(made | ({"gpu_hex": self.gpu.hex()} if self.gpu else {}), **changes)

    def told(self, **place) -> Request:
        """Tell another place."""
        return replace(self, place=replace(self.place, **place)).request()


def answer(nonces: tuple[bytes, ...], index: int) -> Answer:
    root, places = merkle_tree(nonces)
    return Answer(root, len(nonces), nonces[index], places[index])


def cases() -> list[Case]:
    """Return the cases of the stage."""
    family = Family("binding")
    mine = answer(NONCES, MINE)
    family.control("one of seven", mine.request())
    _places(family, mine)
    _paths(family, mine)
    _other_trees(family, mine)
    _other_parts(family, mine)
    _controls_of_size(family)
    return family.cases


def _places(family: Family, mine: Answer) -> None:
    path = mine.place.path
    family.attack("the index of a neighbour", "C2.2", mine.told(index=3))
    family.attack("the index of another with a path as long", "C2.2", mine.told(index=5))
    family.attack("an index that is the size", "C2.1", mine.told(index=7))
    family.attack("an index beyond the size", "C2.1", mine.told(index=4096))
    family.attack("an index of 2 to the 32 more", "C2.1", mine.told(index=MINE + 2**32))
    family.attack("an index from the other end", "C2.2", mine.told(index=4))
    family.attack("a size of one less", "C2.2", mine.told(tree_size=6))
    family.attack("a size of one more", "C2.2", mine.told(tree_size=8))
    family.attack("a size of 2 to the 32 more", "C2.1", mine.told(tree_size=7 + 2**32))
    family.attack("an empty tree", "C2.1", mine.told(index=0, tree_size=0, path=()))
    family.attack("a path too short", "C2.1", mine.told(path=path[:-1]))
    family.attack("a path too long", "C2.1", mine.told(path=(*path, bytes(32))))
    family.attack("no path", "C2.1", mine.told(path=()))
    last = answer(NONCES, 6)
    family.attack(
        "the last leaf with a path as long as the first's", "C2.1", last.told(path=(bytes(32), *last.place.path))
    )
    large = Answer(mine.root, 4097, mine.nonce, Place(MINE, 4097, (*path, *[bytes(32)] * 10)))
    family.attack("a tree of 4097 leaves", "C2.1", large.request())


def _paths(family: Family, mine: Answer) -> None:
    path = mine.place.path
    family.attack("the first two siblings swapped", "C2.2", mine.told(path=(path[1], path[0], path[2])))
    family.attack("the path from the root to the leaf", "C2.2", mine.told(path=path[::-1]))
    family.attack("a changed sibling", "C2.2", mine.told(path=(path[0], path[1], bytes(32))))
    family.attack("one's own leaf as its sibling", "C2.2", mine.told(path=(leaf_hash(mine.nonce), *path[1:])))
    family.attack("the neighbour's nonce in place of its leaf", "C2.2", mine.told(path=(NONCES[3], *path[1:])))
    for index, name in ((3, "the neighbour"), (6, "the last"), (0, "the first")):
        other = answer(NONCES, index)
        family.attack(f"the answer of {name}", "C2.2", replace(other, nonce=mine.nonce).request())
        if len(other.place.path) == len(path):
            family.attack(f"the path of {name} at one's own index", "C2.2", mine.told(path=other.place.path))
    root, places = merkle_tree((*NONCES[:MINE], bytes(32), *NONCES[MINE + 1 :]))
    family.attack("a tree without it", "C2.2", replace(mine, root=root, place=places[MINE]).request())


def _other_trees(family: Family, mine: Answer) -> None:
    """Roots that a verifier accepts which hashes leaves and nodes in another way."""
    ways = {
        "neither leaves nor nodes marked": (b"", b""),
        "leaves not marked": (b"", b"\1"),
        "nodes not marked": (b"\0", b""),
        "leaves marked as nodes": (b"\1", b"\1"),
        "nodes marked as leaves": (b"\0", b"\0"),
        "the marks exchanged": (b"\1", b"\0"),
    }
    for name, (leaf, node) in ways.items():
        family.attack(f"a tree with {name}", "C2.2", _built(mine, leaf, node).request())
    pair = leaf_hash(NONCES[2]) + leaf_hash(NONCES[3])
    family.attack("an inner node's children for a nonce", "C1", mine.request(nonce_hex=pair.hex()))
    above = Place(1, 4, mine.place.path[1:])
    inner = replace(mine, nonce=node_hash(pair[:32], pair[32:]), place=above)
    family.attack("an inner node for a nonce", "C2.2", inner.request())
    family.attack("its leaf for a nonce", "C2.2", mine.request(nonce_hex=leaf_hash(mine.nonce).hex()))
    alone = Answer(leaf_hash(mine.nonce), 1, mine.nonce, Place(0, 1, ()))
    family.attack("the root for the nonce of a tree of one", "C2.2", replace(alone, root=mine.nonce).request())
    odd = answer(NONCES[:3], 2)
    twice = Place(3, 4, (leaf_hash(NONCES[2]), *odd.place.path))
    family.attack("the last of three told as a fourth", "C2.2", replace(odd, place=twice).request())
    four = merkle_tree((*NONCES[:3], NONCES[2]))[0]
    family.attack("an odd leaf taken twice", "C2.2", replace(odd, root=four).request())


def _built(mine: Answer, leaf: bytes, node: bytes) -> Answer:
    """Build the tree of seven in RFC 9162's shape, but with other marks, and the path from the third leaf."""

    def over(low: int, high: int) -> bytes:
        if high - low == 1:
            return sha256(leaf + NONCES[low]).digest()
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        return sha256(node + over(low, middle) + over(middle, high)).digest()

    path = (over(3, 4), over(0, 2), over(4, 7))
    return replace(mine, root=over(0, 7), place=replace(mine.place, path=path))


def _other_parts(family: Family, mine: Answer) -> None:
    signed = extra_data(mine.root, 7, SPKI, b"").hex()
    family.attack("another TLS key", "C2.2", mine.request(spki_hex="00" * 32))
    family.attack("GPUs that were not signed for", "C2.2", mine.request(gpu_hex=GPU.hex()))
    family.attack("the root itself as extraData", "C2.2", mine.request(extra_data_hex=mine.root.hex()))
    family.attack("the nonce itself as extraData", "C2.2", mine.request(extra_data_hex=mine.nonce.hex()))
    family.attack("extraData cut off", "C2.2", mine.request(extra_data_hex=signed[:-2]))
    family.attack("extraData with more behind", "C2.2", mine.request(extra_data_hex=signed + "00"))
    family.attack("no extraData", "C2.2", mine.request(extra_data_hex=""))
    for size in (0, 31, 33):
        family.attack(f"a nonce of {size} bytes", "C1", mine.request(nonce_hex=(mine.nonce + b"\0")[:size].hex()))
    other = replace(mine, gpu=GPU)
    family.control("with GPUs", other.request())
    family.attack("GPUs left out", "C2.2", other.request(gpu_hex=None))
    family.attack("key and GPUs exchanged", "C2.2", other.request(spki_hex=GPU.hex(), gpu_hex=SPKI.hex()))


def _controls_of_size(family: Family) -> None:
    alone = answer(NONCES[:1], 0)
    family.control("alone", alone.request())
    family.attack("a nonce that was not asked with", "C2.2", alone.request(nonce_hex=NONCES[1].hex()))
    many = tuple(sha256(b"many %d" % number).digest() for number in range(4096))
    last = answer(many, 4095)
    family.control("the last of 4096", last.request())
    family.attack("the last of 4096 told as the first", "C2.2", last.told(index=0))
    twins = (NONCES[0], NONCES[1], NONCES[0])
    for index in (0, 2):
        family.control(f"a nonce that two clients sent, at {index}", answer(twins, index).request())
    family.attack("one twin's path at the other's index", "C2.1", answer(twins, 2).told(index=0))
