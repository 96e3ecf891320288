"""What an inventory says of who may ask: one thing, said before anything is baked."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from client_sdk.access_token import Issuer
from provisioner.access import read_access, require_service
from provisioner.errors import SpecError
from provisioner.keys import load_or_create, public_pem

DATE = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def key(tmp_path):
    return load_or_create(tmp_path / "issuer.key")


def told(**changes):
    said = {"access": "tokens", "token_issuer_key": "", "token_service": "vitrine-prod", "tokens_issued_after": ""}
    return {f"gateway_{name}": value for name, value in (said | changes).items()}


def faults(**changes):
    with pytest.raises(SpecError) as caught:
        read_access(told(**changes))
    return {fault.field for fault in caught.value.faults}, str(caught.value)


def test_the_manifest_names_the_issuers_that_the_inventory_gives(key, tmp_path):
    other = load_or_create(tmp_path / "other.key")
    pem = (public_pem(key) + public_pem(other)).decode()
    access = read_access(told(token_issuer_key=pem))
    assert access.service == "vitrine-prod"
    first, second = access.issuers.split(" ")
    assert base64.b64decode(first)[-32:] == key.public_key().public_bytes_raw()
    assert base64.b64decode(second)[-32:] == other.public_key().public_bytes_raw()
    assert Issuer.of(key.public_key()).name != Issuer.of(other.public_key()).name


def test_open_access_is_open_only_where_it_is_said():
    assert read_access(told(access="open")).issuers == ""
    assert faults()[0] == {"gateway_token_issuer_key"}


@pytest.mark.parametrize(
    ("mistake", "changes", "fields"),
    [
        ("another word", {"access": "closed"}, {"gateway_access"}),
        ("a truth", {"access": True}, {"gateway_access"}),
        ("nothing", {"access": ""}, {"gateway_access"}),
        ("no key", {}, {"gateway_token_issuer_key"}),
        ("a key of blanks", {"token_issuer_key": " \n"}, {"gateway_token_issuer_key"}),
        ("a file's name", {"token_issuer_key": "/keys/issuer.pub"}, {"gateway_token_issuer_key"}),
        ("a key that is no text", {"token_issuer_key": 7}, {"gateway_token_issuer_key"}),
        ("no service", {"token_service": "", "token_issuer_key": "x"}, {"gateway_token_service"}),
        ("a service with a blank", {"token_service": "a b"}, {"gateway_token_service"}),
        ("a service that a unit would expand", {"token_service": "a%n"}, {"gateway_token_service"}),
        ("a service of two lines", {"token_service": "a\nExecStart=/x"}, {"gateway_token_service"}),
        ("an option", {"access": "open", "token_service": "a --access=open"}, {"gateway_token_service"}),
        ("a day", {"tokens_issued_after": "2026-01-31"}, {"gateway_tokens_issued_after"}),
        ("what YAML took for a date", {"tokens_issued_after": DATE}, {"gateway_tokens_issued_after"}),
    ],
)  # fmt: skip
def test_a_mistake_is_named(mistake, changes, fields):
    assert fields <= faults(**changes)[0]


def test_open_and_a_key_is_a_contradiction(key):
    assert faults(access="open", token_issuer_key=public_pem(key).decode())[0] == {"gateway_token_issuer_key"}


def test_the_private_half_is_refused_and_not_repeated(key, tmp_path):
    pem = (tmp_path / "issuer.key").read_text()
    found, text = faults(token_issuer_key=pem)
    assert found == {"gateway_token_issuer_key"}
    assert pem.splitlines()[1] not in text


def test_every_mistake_is_said_at_once():
    assert len(faults(access="x", token_issuer_key="x", token_service="a b", tokens_issued_after="x")[0]) == 4


def test_tokens_are_for_the_service_that_the_release_names(key):
    access = read_access(told(token_issuer_key=public_pem(key).decode()))
    require_service(access, "vitrine-prod")
    require_service(access, "")
    require_service(read_access(told(access="open")), "vitrine-other")
    with pytest.raises(SpecError, match="gateway_token_service: expected 'vitrine-other', as deploy_service is"):
        require_service(access, "vitrine-other")
