# ruff: noqa: E501 - lines of the documents
"""Our files, read by a reader that was written from the documents alone, and that reader on the documents' examples."""

from __future__ import annotations

import pytest

from client_sdk.transparency.formats.checkpoint import Checkpoint
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, UnverifiedNote
from client_sdk.transparency.formats.proof import Proof
from client_sdk.transparency.formats.tiles import Tile, rightmost
from client_sdk.transparency.log.bundling import make_bundle
from client_sdk.transparency.log.config import Cosigner
from client_sdk.transparency.log.remote import Folder, RemoteTree, read_checkpoint
from client_sdk.transparency.watchers.witness import Request
from tests.transparency import second_reader, tiles_reader
from tests.transparency.keeping import LOG, entry, make, many

# C2SP tlog-witness, "add-checkpoint", its example of a request.
REQUEST = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""


@pytest.mark.parametrize("size", [1, 3, 255, 256, 257, 600])
def test_every_file_of_a_log(tmp_path, size):
    many(tmp_path, size)
    public = tmp_path / "public"
    note = (public / "checkpoint").read_bytes()
    assert second_reader.signed_by(note, str(LOG)) is None
    origin, found, root = second_reader.checkpoint(second_reader.note(note)[0])
    assert (origin, found) == (LOG.name, size)
    assert tiles_reader.whole_log(public, size) == ([entry(number) for number in range(1, size + 1)], root)


def test_a_cosigned_proof_in_a_bundle(tmp_path):
    witness = NoteSigner.generate("witness.example/w1", COSIGNATURE)
    log = make(tmp_path, witnesses=(Cosigner(witness.verifier),), quorum=1)

    def cosign(note, _tiles):
        return (witness.sign(note.decode().rpartition("\n\n")[0] + "\n", at=1_800_000_000),)

    log.append([entry(number) for number in range(1, 12)], cosign)
    source = Folder(tmp_path)
    shown = read_checkpoint(source, LOG)
    for number in range(1, 12):
        made = make_bundle(entry(number), shown, RemoteTree(source, shown.checkpoint), ())
        index, hashes, note, _ = second_reader.proof(made.proof.to_bytes())
        assert second_reader.signed_by(note, str(LOG)) is None
        assert second_reader.signed_by(note, str(witness.verifier)) == 1_800_000_000
        _, size, root = second_reader.checkpoint(second_reader.note(note)[0])
        assert second_reader.root_of(entry(number), index, size, hashes) == root
        assert second_reader.root_of(entry(number + 1), index, size, hashes) != root
        assert Proof.from_bytes(made.proof.to_bytes()) == made.proof


def test_the_example_of_a_request():
    request = Request.from_bytes(REQUEST.encode())
    assert (request.old, len(request.proof)) == (20_852_014, 4)
    assert request.to_bytes() == REQUEST.encode()
    assert Checkpoint.from_text(UnverifiedNote.from_bytes(request.checkpoint).text).size == 20_852_163


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [(0, 1_234_067, 256, "tile/0/x001/x234/067"), (0, 273, 112, "tile/0/273.p/112"), (1, 0, 17, "tile/1/000.p/17")],
)
def test_both_name_files_alike(level, index, width, path):
    assert tiles_reader.tile_path(level, index, width) == Tile(level, index, width).path == path


def test_the_example_of_a_tree_of_70000():
    """C2SP tlog-tiles, "Partial Tiles"."""
    assert list(rightmost(70_000)) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
