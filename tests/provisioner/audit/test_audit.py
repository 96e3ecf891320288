"""An audit from release to quote: identical where all is as published, and a refusal for each thing that is not."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from client_sdk.errors import VerificationError
from client_sdk.manifest import Manifest
from provisioner.audit import inside
from provisioner.audit.audit import audit
from provisioner.audit.needed import materials
from provisioner.audit.source import compare_source
from provisioner.audit.telling import as_dict, lines
from provisioner.errors import BakeError
from provisioner.image import packages
from provisioner.image.artefacts import named_packages
from provisioner.image.debs import drift_name
from provisioner.image.recipe import Recipe
from provisioner.image.vllm_wheels import LOCK_FILE as CLOSURE
from tests.provisioner.audit import site as sites

pytestmark = pytest.mark.root


def quiet(_line):
    pass


def audited(site, tmp_path, judge=None, **changes):
    return audit(site.subject(**changes), tmp_path, judge, progress=quiet)


def wheres(found):
    return [finding.where for finding in found.findings]


def test_the_same_image_is_identical_down_to_the_quote(site, rebuilt, tmp_path):
    rebuilt(site.image)
    found = audited(site, tmp_path, site.judged)
    told = list(lines(found, "https://x"))
    assert found.is_identical
    assert told[-1].startswith("identical: ")
    assert f"{sites.sha256_of(site.image / 'boot.raw')}  boot.raw" in told
    assert "packages: 2 of Debian and 1 from PyPI in the root; 1 of Debian built the image" in told
    chain = [link.what for link in found.links]
    assert chain[:3] == [f"source {sites.LINE}", "role wall", "file /usr/lib/vitrine/firewall.nft"]
    assert chain[-3:] == ["quoted PCR 4", "quoted PCR 9", "quoted PCR 11"]
    assert all("equal" in link.how for link in found.links[-3:])
    assert json.loads(json.dumps(as_dict(found, "https://x")))["verdict"] == "identical"


def test_without_a_service_it_says_so(site, rebuilt, tmp_path):
    rebuilt(site.image)
    found = audited(site, tmp_path)
    assert found.is_identical
    assert "no service was asked" in list(lines(found, None))[-1]


def test_packages_that_only_the_archive_vouches_for_are_named_and_nothing_is_rebuilt(site, rebuilt, tmp_path):
    lock = packages.parse_lock((site.source / sites.DATA / packages.LOCK_FILE).read_bytes())
    first, *others = lock.image.packages
    theirs = dataclasses.replace(first, sha256="5" * 64)
    drifted = dataclasses.replace(lock, image=dataclasses.replace(lock.image, packages=(theirs, *others)))
    sites.put(site.archive / "debs" / drift_name(lock), packages.serialise_lock(drifted))
    (site.archive / f"debs/{first.sha256}.deb").rename(site.archive / f"debs/{theirs.sha256}.deb")
    manifest = Manifest.from_json((site.image / "manifest.json").read_bytes())
    named = tuple(
        dataclasses.replace(one, sha256=bytes.fromhex(theirs.sha256)) if one.name == first.name else one
        for one in manifest.packages
    )
    (site.image / "manifest.json").write_bytes(dataclasses.replace(manifest, packages=named).to_json())
    (site.archive / "image/manifest.json").unlink()
    (site.archive / "image/manifest.json").write_bytes((site.image / "manifest.json").read_bytes())
    asked = rebuilt(site.image)
    found = audited(site, tmp_path, releases=(sites.release_of(site.image),))
    assert (found.is_identical, asked) == (False, [])
    assert "package lock" in wheres(found)
    assert f"image: {first.name} 1: another file of the same version" in str(found.findings[0])


def of_gpus(site, *, driver, image="1"):
    """Let the archive have a lock with another driver, and other packages; return the manifest of an image of these."""
    path = site.source / sites.DATA / packages.LOCK_FILE
    shipped = packages.parse_lock(path.read_bytes())
    bash = sites.package("bash", image)
    lock = dataclasses.replace(
        shipped,
        image=dataclasses.replace(shipped.image, packages=(bash, *shipped.image.packages[1:])),
        driver=packages.Tree((sites.package("gcc", driver),), ()),
    )
    sites.put(site.archive / "debs" / drift_name(shipped), packages.serialise_lock(lock))
    wheel = f"engine==1 --hash=sha256:{'0' * 64}  # engine-1-py3-none-any.whl\n"
    sites.put(site.source / CLOSURE, wheel.encode())
    named, tools = named_packages(lock, gpus=True)
    manifest = Manifest.from_json((site.image / "manifest.json").read_bytes())
    return dataclasses.replace(manifest, packages=named, tools=tools)


def told_of_gpus(site, manifest):
    return materials(site.source, Recipe("test", {"attester_gpus": '"1"'}), manifest, site.archive)


def test_another_driver_than_the_manifests_in_a_lock_that_is_followed_is_told(site):
    """A GPU's driver is in the image, and what it is built with decides what it does."""
    manifest = of_gpus(site, driver="1", image="2")
    assert told_of_gpus(site, manifest).differing == ()
    of_gpus(site, driver="2", image="2")
    told = told_of_gpus(site, manifest)
    found = [
        finding.found for finding in compare_source(site.source, manifest, told) if finding.where == "package lock"
    ]
    assert told.followed
    assert [line.partition(",")[0] for line in found if "gcc" in line] == [f"gcc (tools): the lock says {shown('2')}"]


def test_a_lock_that_differs_in_the_driver_alone_is_followed_where_the_manifest_names_it(site):
    manifest = of_gpus(site, driver="2")
    told = told_of_gpus(site, manifest)
    assert (bool(told.followed), told.differing, told.drift) == (True, (), ("driver: gcc 1 -> 2",))


def shown(version):
    return f"{version} {sites.package('gcc', version).sha256[:12]}…"


def test_a_changed_line_of_the_source_is_named_and_nothing_is_rebuilt(site, rebuilt, tmp_path):
    asked = rebuilt(site.image)
    (site.source / sites.RULES).write_text("table inet vitrine {\n  policy accept;\n}\n")
    found = audited(site, tmp_path, site.judged)
    assert (wheres(found), asked, found.is_identical) == ([f"source {sites.RULES}"], [], False)
    assert "nothing was rebuilt" in list(lines(found, "x"))[-1]


def test_a_changed_source_shows_the_changed_file_where_it_is_rebuilt_anyway(site, rebuilt, other, tmp_path):
    rebuilt(other)
    (site.source / sites.RULES).write_text("table inet vitrine {\n  policy accept;\n}\n")
    found = audited(site, tmp_path, site.judged, anyway=True)
    (rules,) = [finding for finding in found.findings if finding.where == "root:/usr/lib/vitrine/firewall.nft"]
    assert {"-  policy drop;", "+  policy accept;"} <= set(rules.how)
    assert not found.is_identical


def test_a_file_of_the_source_that_is_gone_is_named(site, rebuilt, tmp_path):
    rebuilt(site.image)
    (site.source / "roles/wall/tasks/configure.yml").rename(site.source / "roles/wall/tasks/other.yml")
    assert "source roles/wall/tasks/configure.yml" in wheres(audited(site, tmp_path))


def test_an_executable_bit_is_a_difference(site, rebuilt, tmp_path):
    rebuilt(site.image)
    (site.source / sites.RULES).chmod(0o755)
    assert wheres(audited(site, tmp_path)) == [f"source {sites.RULES}"]


def test_another_lock_is_named_by_file_and_by_package(site, rebuilt, tmp_path):
    rebuilt(site.image)
    path = site.source / sites.DATA / packages.LOCK_FILE
    lock = packages.parse_lock(path.read_bytes())
    newer = dataclasses.replace(lock.image.packages[0], version="2")
    image = dataclasses.replace(lock.image, packages=(newer, *lock.image.packages[1:]))
    path.write_bytes(packages.serialise_lock(dataclasses.replace(lock, image=image)))
    found = audited(site, tmp_path)
    assert wheres(found) == [f"source {sites.DATA}/{packages.LOCK_FILE}", "package lock"]
    assert "bash (image): the lock says 2 " in found.findings[1].found


def test_a_changed_package_in_the_archive_is_refused(site, rebuilt, tmp_path):
    asked = rebuilt(site.image)
    (deb, *_) = sorted((site.archive / "debs").iterdir())
    deb.unlink()
    deb.write_bytes(b"another package")
    found = audited(site, tmp_path)
    assert [where.split()[1] for where in wheres(found)] == [f"debs/{deb.name}"]
    assert asked == []


@pytest.mark.parametrize("name", ["image/uki.efi", "image/sbom.json"])
def test_a_tampered_file_of_what_was_published_is_refused(site, rebuilt, tmp_path, name):
    rebuilt(site.image)
    (site.archive / name).unlink()
    (site.archive / name).write_bytes(b"tampered")
    assert wheres(audited(site, tmp_path)) == [f"archive {name}"]


def test_a_tampered_boot_disk_is_refused_and_its_place_named(site, rebuilt, tmp_path):
    rebuilt(site.image)
    data = bytearray((site.archive / "image/boot.raw").read_bytes())
    data[-5000] ^= 1
    (site.archive / "image/boot.raw").unlink()
    (site.archive / "image/boot.raw").write_bytes(data)
    found = audited(site, tmp_path)
    assert wheres(found) == ["boot.raw"]
    assert f"{len(data) - 5000:#x}" in found.findings[0].published
    assert "every file inside is equal" in found.findings[0].how[0]


def test_a_missing_package_is_no_verdict(site, rebuilt, tmp_path):
    asked = rebuilt(site.image)
    shutil.rmtree(site.archive / "wheels")
    with pytest.raises(BakeError, match=r"lacks wheels/\w+/engine-2-py3-none-any.whl \(engine 2\)"):
        audited(site, tmp_path)
    assert asked == []


@pytest.mark.parametrize(
    ("name", "data"),
    [("image/manifest.json", None), ("recipe.json", None), ("recipe.json", b"{"), ("recipe.json", b"{}")],
)
def test_an_archive_without_its_manifest_or_recipe_is_no_archive(site, tmp_path, name, data):
    (site.archive / name).unlink()
    if data is not None:
        (site.archive / name).write_bytes(data)
    with pytest.raises(BakeError, match=name.rpartition("/")[2]):
        audited(site, tmp_path)


@pytest.mark.parametrize("data", [b"", b"{}", b"no JSON"])
def test_a_tampered_manifest_is_none_that_the_release_names(site, tmp_path, data):
    (site.archive / "image/manifest.json").unlink()
    (site.archive / "image/manifest.json").write_bytes(data)
    assert wheres(audited(site, tmp_path)) == [f"manifest of the archive {site.archive}"]


def test_a_file_that_a_later_role_took_out_again_has_no_chain_and_that_is_no_difference(site, rebuilt, tmp_path):
    rebuilt(site.image)
    sites.put(site.source / "roles/wall/files/tree/etc/gone", b"gone")
    found = audited(site, tmp_path, line="roles/wall/files/tree/etc/gone:1")
    assert found.is_identical
    assert "no chain from roles/wall/files/tree/etc/gone: there is no /etc/gone in the image" in found.notes


def test_a_release_of_another_manifest_is_refused(site, rebuilt, tmp_path):
    asked = rebuilt(site.image)
    release = dataclasses.replace(site.release, manifest_sha256=bytes(32))
    found = audited(site, tmp_path, site.judged, releases=(release,))
    assert (wheres(found), asked) == ([f"manifest of the archive {site.archive}"], [])


def test_of_two_releases_the_one_of_the_archive_is_audited(site, rebuilt, tmp_path):
    rebuilt(site.image)
    newer = dataclasses.replace(site.release, number=4, manifest_sha256=bytes(32))
    assert audited(site, tmp_path, site.judged, releases=(newer, site.release)).is_identical
    found = audited(site, tmp_path, lambda: site.judged(release=newer), releases=(newer, site.release))
    assert wheres(found) == ["release that the service was accepted under"]


def test_a_renewed_release_of_the_same_image_is_taken_as_well(site, rebuilt, tmp_path):
    rebuilt(site.image)
    renewed = dataclasses.replace(site.release, number=9)
    both = (site.release, renewed)
    assert audited(site, tmp_path, lambda: site.judged(release=renewed), releases=both).is_identical


def test_a_service_with_another_image_is_refused_by_the_client(site, rebuilt, tmp_path):
    asked = rebuilt(site.image)

    def judge():
        raise VerificationError("L1.pcr4", "another image")

    with pytest.raises(VerificationError):
        audited(site, tmp_path, judge)
    assert asked == []


def test_a_service_that_quotes_another_image_is_noticed_whatever_the_release_states(site, rebuilt, other, tmp_path):
    """A publisher who signs what he did not build: the client accepts it, the rebuild does not."""
    rebuilt(site.image)
    lying = dataclasses.replace(site.release, measurements=sites.release_of(other).measurements)
    found = audited(site, tmp_path, lambda: site.judged(other, lying), releases=(lying,))
    assert {"quote: PCR 4", "quote: PCR 9", "quote: PCR 11", "release: local-qemu uefi: PCR 4"} <= set(wheres(found))
    assert "ANOTHER value" in found.links[-1].how


def test_a_rebuild_that_differs_is_shown_down_to_the_file(site, rebuilt, other, tmp_path):
    rebuilt(other)
    found = audited(site, tmp_path, site.judged)
    told = {finding.where: finding for finding in found.findings}
    assert {"manifest: root: root_hash", "manifest: boot: cmdline", "uki:/.cmdline", "initrd:/init", "boot.raw"} <= set(
        told
    )
    root = {where for where in told if where.startswith("root:")}
    assert root == {
        *("root:/usr/lib/vitrine/firewall.nft", "root:/noise", "root:/added", "root:/more", "root:/block", "root:/bin")
    }
    assert (told["root:/added"].published, told["root:/more"].found) == ("no such file", "no such file")
    assert "debug" in told["manifest: boot: cmdline"].found
    assert "quiet" not in told["manifest: boot: cmdline"].found
    assert "mode 100755" in told["root:/block"].found
    assert {"-#!/bin/sh", "+#!/bin/evil"} <= set(told["initrd:/init"].how)
    assert "the first difference is byte 0x493df" in told["root:/noise"].how[0]


def test_a_file_that_is_too_long_to_be_shown_is_a_difference_all_the_same(site, rebuilt, other, tmp_path, monkeypatch):
    """A published image may say of a few bytes that they stand for as many as they like."""
    monkeypatch.setattr(inside, "_MAX_READ", 1000)
    rebuilt(other)
    found = {finding.where: finding for finding in audited(site, tmp_path, site.judged).findings}
    assert found["root:/noise"].how == ("not shown: one of them has more than 1000 bytes",)
    assert found["root:/noise"].published.endswith(", 300000 bytes")
    assert {"-#!/bin/sh", "+#!/bin/evil"} <= set(found["initrd:/init"].how)


def test_a_line_that_no_role_installs_is_said_before_anything_else(site, rebuilt, tmp_path):
    asked = rebuilt(site.image)
    for line, words in (
        (f"{sites.DATA}/{packages.LOCK_FILE}:1", "no role installs"),
        (f"{sites.RULES}:99", "has 3 lines"),
        ("roles/none:1", "No such file"),
    ):
        with pytest.raises(BakeError, match=words):
            audited(site, tmp_path, line=line)
    assert asked == []
