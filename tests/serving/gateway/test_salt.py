"""The salt of the prefix cache."""

from __future__ import annotations

from serving.gateway.salt import Salts


def test_a_subject_keeps_its_salt_over_renewals_of_his_token():
    salts = Salts()
    assert salts.salt("a") == salts.salt("a")


def test_two_subjects_and_two_boots_share_none():
    salts = Salts()
    assert len({salts.salt("a"), salts.salt("b"), salts.salt("A"), Salts().salt("a")}) == 4


def test_a_salt_is_never_empty_and_does_not_name_its_subject():
    for subject in ("alice", ""):
        salt = Salts().salt(subject)
        assert len(salt) == 64
        assert "alice" not in salt
