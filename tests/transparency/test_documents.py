"""The examples in the C2SP documents, read by the client and by the second reader.

The documents give no public keys for them, so of those nothing can be verified but what they say themselves; the one
example with a key is that of the Go package that the format comes from.
"""

from __future__ import annotations

import base64

import pytest

from client_sdk.errors import VerificationError
from client_sdk.transparency.formats.checkpoint import Checkpoint
from client_sdk.transparency.formats.note import (
    COSIGNATURE,
    NoteSigner,
    NoteVerifier,
    Signed,
    UnverifiedNote,
    add_signature,
    open_note,
    sign_note,
)
from client_sdk.transparency.formats.proof import Proof
from tests.transparency import second_reader

# signed-note, the example at its beginning.
NOTE = """Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xM\
cXxj99ihAQwaqP3ZekRwNtIc=
""".encode()
# tlog-cosignature, the example at its beginning; without its last line it is the one of tlog-checkpoint.
COSIGNED = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gG\
zGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin\
1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()
# tlog-cosignature, "Ed25519 signed message": what the witness above signed.
MESSAGE = """cosignature/v1
time 1679315147
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""
# tlog-proof, the example at its beginning, whose extra data is no base64 and whose signatures are cut off in the
# document: both are left out here, and the checkpoint above takes the place of the one that cannot be read.
PROOF = b"""c2sp.org/tlog-proof@v1
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

"""
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
""".encode()


@pytest.mark.parametrize("example", [NOTE, COSIGNED, GO_NOTE])
def test_both_readers_read_the_same(example):
    found = UnverifiedNote.from_bytes(example)
    assert second_reader.note(example) == (found.text, [(s.name, s.key_id, s.data) for s in found.signatures])
    assert found.to_bytes() == example


def test_the_text_of_a_note_may_have_empty_lines():
    text = UnverifiedNote.from_bytes(NOTE).text
    assert text.startswith("Ognuno")
    assert text.endswith("sole:\n\ned è subito sera.\n")


def test_the_checkpoint_of_the_document():
    text = UnverifiedNote.from_bytes(COSIGNED).text
    found = Checkpoint.from_text(text)
    assert second_reader.checkpoint(text) == (found.origin, found.size, found.root)
    assert (found.origin, found.size, found.to_text()) == ("example.com/behind-the-sofa", 20852163, text)


def test_the_message_that_a_witness_signs_is_the_documents():
    """The time in the document's cosignature is the one in its message; a witness of ours signs the same message."""
    note = UnverifiedNote.from_bytes(COSIGNED)
    assert int.from_bytes(note.signatures[1].data[:8], "big") == 1679315147
    witness = NoteSigner.generate("witness.example.com/w1", COSIGNATURE)
    ours = witness.sign(note.text, at=1679315147)
    plain = NoteSigner(witness.name, witness.seed).sign(MESSAGE)
    assert (ours.data[8:], len(ours.data)) == (plain.data, len(note.signatures[1].data))


def test_the_proof_of_the_document():
    data = PROOF + COSIGNED
    found = Proof.from_bytes(data)
    assert second_reader.proof(data) == (found.index, list(found.hashes), found.checkpoint, found.extra)
    assert (found.index, len(found.hashes), found.checkpoint, found.to_bytes()) == (73894, 5, COSIGNED, data)
    with_extra = data.replace(b"\nindex", b"\nextra " + base64.b64encode(b"age-v1.2.1") + b"\nindex")
    assert Proof.from_bytes(with_extra).extra == b"age-v1.2.1" == second_reader.proof(with_extra)[3]
    assert Proof.from_bytes(with_extra).to_bytes() == with_extra


def test_the_key_and_the_note_that_the_format_comes_from():
    key, signer = NoteVerifier.from_text(GO_KEY), NoteSigner.from_text(GO_PRIVATE)
    assert open_note(GO_NOTE, [key]).signed == (Signed(key),)
    assert (second_reader.signed_by(GO_NOTE, GO_KEY), str(signer.verifier)) == (None, GO_KEY)
    assert sign_note(UnverifiedNote.from_bytes(GO_NOTE).text, signer) == GO_NOTE
    assert (signer.to_text(), "AYEK" in repr(signer)) == (GO_PRIVATE, False)


def test_another_text_under_that_signature():
    with pytest.raises(VerificationError, match=r"R2\.note.*one that does not"):
        open_note(GO_NOTE.replace(b"answer", b"Answer"), [NoteVerifier.from_text(GO_KEY)])
    with pytest.raises(ValueError, match="signature"):
        second_reader.signed_by(GO_NOTE.replace(b"answer", b"Answer"), GO_KEY)


def test_what_we_write_the_second_reader_reads():
    log, witness = NoteSigner.generate("log.example"), NoteSigner.generate("w.example", COSIGNATURE)
    text = Checkpoint("log.example", 3, bytes(32)).to_text()
    note = add_signature(sign_note(text, log), witness.sign(text, at=1_700_000_000))
    assert second_reader.signed_by(note, str(log.verifier)) is None
    assert second_reader.signed_by(note, str(witness.verifier)) == 1_700_000_000
    assert second_reader.checkpoint(second_reader.note(note)[0]) == ("log.example", 3, bytes(32))
