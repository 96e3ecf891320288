"""Finding a mirror: the host's own in both apt notations, one that is named, and what is refused."""

from __future__ import annotations

import pytest

from provisioner.errors import BakeError
from provisioner.image.mirror import DEFAULT_KEYRING, find_mirror, parse_deb822, parse_one_line

DEB822 = """\
# the distribution
Types: deb deb-src
URIs: http://mirror.test/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
deb cdrom:[Debian 12]/ bookworm main
# deb http://commented.test/debian bookworm main
deb-src http://source.test/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main non-free-firmware # ours
deb http://mirror.test/debian bookworm-updates main
deb http://mirror.test/debian-security bookworm-security main
"""


def host(tmp_path, *, release="ID=debian\nVERSION_CODENAME=bookworm\n", keyring=True, **files):
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text(release)
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        place = "etc/apt/sources.list" if name == "main_list" else f"etc/apt/sources.list.d/{stem}.{suffix}"
        (tmp_path / place).write_text(text)
    if keyring:
        path = tmp_path / DEFAULT_KEYRING.relative_to("/")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"keys")
    return tmp_path


def test_the_hosts_mirror_in_deb822(tmp_path):
    found = find_mirror(root=host(tmp_path, debian_sources=DEB822))
    assert (found.main, found.security) == ("http://mirror.test/debian", "http://mirror.test/security")


def test_the_hosts_mirror_in_one_line_notation(tmp_path):
    found = find_mirror(root=host(tmp_path, main_list=ONE_LINE))
    assert (found.main, found.security) == ("http://mirror.test/debian", "http://mirror.test/debian-security")


def test_the_suite_is_replaced_and_the_archives_keyring_named(tmp_path):
    text = find_mirror(root=host(tmp_path, debian_sources=DEB822)).sources_list("trixie")
    assert "bookworm" not in text
    assert "Suites: trixie trixie-updates\n" in text
    assert "Suites: trixie-security\n" in text
    assert text.count(f"Signed-By: {DEFAULT_KEYRING}\n") == 2


def test_a_named_mirror_wins_and_implies_its_security_archive(tmp_path):
    found = find_mirror("http://named.test/debian/", root=host(tmp_path, debian_sources=DEB822))
    assert (found.main, found.security) == ("http://named.test/debian", "http://named.test/debian-security")


def test_pool_files_of_the_security_archive_come_from_there(tmp_path):
    found = find_mirror(root=host(tmp_path, debian_sources=DEB822))
    assert found.base_of("pool/updates/main/b/bash.deb") == "http://mirror.test/security"
    assert found.base_of("pool/main/b/bash.deb") == "http://mirror.test/debian"


def test_another_vendors_repository_with_debians_suite_name_is_not_taken_for_debian(tmp_path):
    vendor = "Types: deb\nURIs: http://vendor.test/apt\nSuites: bookworm\nComponents: main\n"
    found = find_mirror(root=host(tmp_path, a_sources=vendor, debian_sources=DEB822))
    assert found.main == "http://mirror.test/debian"


def test_debian_13_with_its_own_suite_name(tmp_path):
    text = DEB822.replace("bookworm", "trixie")
    release = 'ID="debian"\nVERSION_CODENAME=trixie\n'
    assert find_mirror(root=host(tmp_path, release=release, debian_sources=text)).main == "http://mirror.test/debian"


def test_a_host_that_is_not_debian_needs_a_named_mirror(tmp_path):
    root = host(tmp_path, release='ID=fedora\nPRETTY_NAME="Fedora 44"\n')
    with pytest.raises(BakeError, match="Fedora 44, not Debian: set bake_mirror"):
        find_mirror(root=root)
    assert find_mirror("http://named.test/debian", root=root).main == "http://named.test/debian"


def test_ubuntu_is_not_debian(tmp_path):
    ubuntu = "Types: deb\nURIs: http://ubuntu.test/ubuntu\nSuites: noble noble-updates\nComponents: main\n"
    with pytest.raises(BakeError, match="not Debian"):
        find_mirror(
            root=host(tmp_path, release="ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", u_sources=ubuntu)
        )


def test_a_host_without_os_release_is_not_taken_for_debian(tmp_path):
    with pytest.raises(BakeError, match="an unknown system"):
        find_mirror(root=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        DEB822.replace("Types: deb", "Enabled: no\nTypes: deb"),
        DEB822.replace("Types: deb deb-src", "Types: deb-src"),
        DEB822.replace("bookworm", "bullseye"),
        DEB822.replace("main contrib", "contrib"),
        DEB822.replace("http://mirror.test/debian/", "cdrom:[x]/"),
    ],
    ids=["empty", "disabled", "sources only", "another release", "no main", "cdrom"],
)
def test_a_configuration_without_a_usable_debian_entry_is_refused(tmp_path, text):
    with pytest.raises(BakeError, match="names no Debian mirror"):
        find_mirror(root=host(tmp_path, debian_sources=text))


def test_a_mirror_whose_security_archive_cannot_be_guessed_is_refused(tmp_path):
    with pytest.raises(BakeError, match="set bake_security_mirror"):
        find_mirror("http://named.test/mirrors/deb", root=host(tmp_path))


@pytest.mark.parametrize("address", ["named.test/debian", "ftp://named.test/debian", "", "http://a.test/debian trixie"])
def test_what_is_no_address_is_refused(tmp_path, address):
    with pytest.raises(BakeError, match="expected an address"):
        find_mirror(address, root=host(tmp_path))


def test_a_missing_keyring_is_named(tmp_path):
    with pytest.raises(BakeError, match="install the package debian-archive-keyring"):
        find_mirror(root=host(tmp_path, keyring=False, debian_sources=DEB822))


def test_comments_sources_and_discs_are_no_entries():
    assert [entry.uri for entry in parse_one_line(ONE_LINE)] == ["http://mirror.test/debian"] * 2 + [
        "http://mirror.test/debian-security"
    ]


def test_an_inlined_key_does_not_confuse_the_reader():
    inlined = DEB822.replace(
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n URIs: http://evil.test/debian\n -----END-----",
    )
    assert {entry.uri for entry in parse_deb822(inlined)} == {
        "http://mirror.test/debian",
        "http://mirror.test/security",
    }
