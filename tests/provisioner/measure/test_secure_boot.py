"""PCR 7: the variables of Secure Boot, their signature lists, and what let an image through."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest

from provisioner.errors import MeasureError
from provisioner.measure.secure_boot import OFF, ON, SecureBootVariables, authority, variable_events
from provisioner.measure.signature_list import X509, Signature, list_of, signatures

OWNER = UUID(int=7)
PK, DB = list_of(b"pk", OWNER), list_of(b"signer", OWNER) + list_of(b"another", OWNER)
VARIABLES = SecureBootVariables(state=ON, pk=PK, kek=list_of(b"kek", OWNER), db=DB)


def words(variables):
    return [event.what for event in variable_events(variables)]


def digests(variables):
    return [event.digest for event in variable_events(variables)]


def test_five_variables_in_their_order():
    names = [word.split()[1].rstrip(",") for word in words(VARIABLES)]
    assert names == ["SecureBoot", "PK", "KEK", "db", "dbx"]


@pytest.mark.parametrize(
    ("attack", "changes", "moved"),
    [
        ("Secure Boot switched off", {"state": OFF}, [0]),
        ("a platform key of somebody else", {"pk": list_of(b"theirs", OWNER)}, [1]),
        ("no key exchange key", {"kek": b""}, [2]),
        ("one more key that may sign images", {"db": DB + list_of(b"third", OWNER)}, [3]),
        ("the same keys in another order", {"db": list_of(b"another", OWNER) + list_of(b"signer", OWNER)}, [3]),
        ("the same key of another owner", {"pk": list_of(b"pk", UUID(int=8))}, [1]),
        ("an image that is forbidden", {"dbx": list_of(b"bad", OWNER)}, [4]),
    ],
)
def test_a_change_of_a_variable_shows_in_its_event_alone(attack, changes, moved):
    fields = {name: getattr(VARIABLES, name) for name in ("state", "pk", "kek", "db", "dbx")}
    other = digests(SecureBootVariables(**(fields | changes)))
    assert [i for i, digest in enumerate(digests(VARIABLES)) if digest != other[i]] == moved, attack


def test_a_firmware_without_the_variable_and_one_that_says_off_differ():
    assert digests(SecureBootVariables())[0] != digests(SecureBootVariables(state=OFF))[0]


def test_the_authority_is_the_entry_of_db():
    (event,) = authority(VARIABLES, b"signer")
    (other,) = authority(VARIABLES, b"another")
    assert event.digest != other.digest
    assert authority(SecureBootVariables(state=OFF, pk=PK, db=DB), b"signer") == ()


@pytest.mark.parametrize(
    ("fault", "db", "certificate", "times"),
    [
        ("nobody enrolled the signer", DB, b"stranger", 0),
        ("a part of the signer's certificate", DB, b"signe", 0),
        ("two entries, of which firmware measures one", DB + list_of(b"signer", UUID(int=9)), b"signer", 2),
    ],
)
def test_an_authority_that_cannot_be_told(fault, db, certificate, times):
    with pytest.raises(MeasureError, match=f"signs the image {times} times"):
        authority(SecureBootVariables(state=ON, pk=PK, db=db), certificate)


def test_a_hash_that_db_takes_is_no_certificate():
    kind = UUID("c1c41626-504c-4092-aca9-41f936934328")
    content = b"signer".ljust(32)
    hashes = kind.bytes_le + struct.pack("<III", 28 + 48, 0, 48) + OWNER.bytes_le + content
    assert signatures("db", hashes) == (Signature(kind, OWNER, content),)
    with pytest.raises(MeasureError, match="0 times"):
        authority(SecureBootVariables(state=ON, pk=PK, db=hashes), content)


@pytest.mark.parametrize("state", [b"\2", b"\1\0", b"on"])
def test_a_state_that_secure_boot_does_not_have(state):
    with pytest.raises(MeasureError, match="is no state"):
        SecureBootVariables(state=state)


@pytest.mark.parametrize("keys", [{}, {"pk": PK}, {"db": DB}])
def test_secure_boot_without_keys_starts_nothing(keys):
    with pytest.raises(MeasureError, match="without PK or db"):
        SecureBootVariables(state=ON, **keys)


# --- signature lists


def test_lists_are_read_as_they_are_written():
    assert signatures("db", DB) == (Signature(X509, OWNER, b"signer"), Signature(X509, OWNER, b"another"))
    assert signatures("dbx", b"") == ()
    assert signatures("db", DB)[0].data() == OWNER.bytes_le + b"signer"


def test_several_hashes_in_one_list():
    data = UUID(int=1).bytes_le + struct.pack("<III", 28 + 2 * 48, 0, 48) + bytes(48) + b"\1" * 48
    assert [one.content for one in signatures("dbx", data)] == [bytes(32), b"\1" * 32]


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("cut short", DB[:-1]),
        ("bytes behind the last list", DB + b"\0"),
        ("a list of no signatures", X509.bytes_le + struct.pack("<III", 28, 0, 48)),
        ("a size that is no multiple", X509.bytes_le + struct.pack("<III", 28 + 50, 0, 48) + bytes(50)),
        ("a signature without content", X509.bytes_le + struct.pack("<III", 28 + 16, 0, 16) + bytes(16)),
        ("a size of zero, which would never end", X509.bytes_le + struct.pack("<III", 0, 0, 0)),
        ("a header larger than the list", X509.bytes_le + struct.pack("<III", 28 + 48, 100, 48) + bytes(48)),
    ],
)
def test_a_variable_that_firmware_would_refuse(fault, data):
    with pytest.raises(MeasureError, match="variable db"):
        SecureBootVariables(db=data)
    assert fault
