"""A tiny image that real tools made: read by us and by erofs-utils' own reader, and read when it was tampered with."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioner.contents import telling
from provisioner.contents.erofs import open_erofs
from provisioner.contents.image import open_contents
from provisioner.contents.verity import BLOCK
from provisioner.errors import BakeError, MeasureError
from provisioner.image.chroot import Bind, run_inside
from provisioner.measure.gpt import find_partition, read_table
from provisioner.report.command import register
from tests.provisioner.contents import tiny

pytestmark = pytest.mark.root


@pytest.fixture
def run(capfdbinary):
    def command(*words):
        parser = argparse.ArgumentParser()
        register(parser.add_subparsers())
        arguments = parser.parse_args(["image", *map(str, words)])
        status = arguments.run(arguments)
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return command


@pytest.fixture
def image(tiny_image):
    return tiny_image


@pytest.fixture
def tree(tiny_tree):
    return tiny_tree


@pytest.fixture
def copy(image, tmp_path):
    return shutil.copytree(image, tmp_path / "copy")


def partition(image, name):
    with (image / "boot.raw").open("rb") as file:
        return find_partition(read_table("boot.raw", file), name)


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_every_file_is_what_was_packed(image, tree):
    found = {entry.path: entry for entry in open_contents(image).part("root").walk()}
    there = {f"/{path.relative_to(tree)}": path for path in tree.rglob("*")}
    assert found.keys() == there.keys()
    for name, path in there.items():
        entry, state = found[name], path.lstat()
        assert (entry.mode, entry.uid, entry.gid) == (state.st_mode, state.st_uid, state.st_gid), name
        if stat.S_ISREG(state.st_mode):
            assert entry.read() == path.read_bytes(), name
        if stat.S_ISLNK(state.st_mode):
            assert entry.target == str(path.readlink()), name


def test_erofs_utils_reads_the_same(image, tools, tmp_path):
    """A second reader, by those who made the format."""
    part = partition(image, "vitrine-root")
    with (image / "boot.raw").open("rb") as file:
        file.seek(part.offset)
        (tmp_path / "root.erofs").write_bytes(file.read(part.size))
    words = ["fsck.erofs", "--extract=/work/out", "/work/root.erofs"]
    run_inside(tools, words, what="reading", binds=(Bind(tmp_path, "/work", writable=True),))
    for entry in open_contents(image).part("root").walk():
        theirs = tmp_path / "out" / entry.path.lstrip("/")
        assert stat.S_IFMT(theirs.lstat().st_mode) == stat.S_IFMT(entry.mode), entry.path
        if entry.is_file:
            assert theirs.read_bytes() == entry.read(), entry.path


def test_links_on_the_way_are_followed(image):
    root = open_contents(image).part("root")
    assert root.find("/bin/vitrine/firewall.nft").read() == root.find("/usr/lib/vitrine/firewall.nft").read()
    assert root.find("/bin").target == "usr/lib"
    for path in ("/bin/nothing", "/etc/passwd/x", "/nope"):
        with pytest.raises(BakeError, match="there is no"):
            root.find(path)


def test_all_parts_are_listed(run, image):
    for part, expected in (
        ("initrd", "/init"),
        ("uki", "/.cmdline"),
        ("model", "/m/model.gguf"),
        ("root", "/etc/passwd"),
    ):
        status, out, _ = run("list", image, f"{part}:/", "--json", "--digests")
        told = json.loads(out)
        assert (status, told["part"]) == (0, part)
        assert expected in [entry["path"] for entry in told["entries"] if "sha256" in entry]


def test_listing_below_a_folder(run, image):
    _, out, _ = run("list", image, "/usr/lib/vitrine")
    assert [line.split()[-1] for line in out.decode().splitlines()] == [
        "/usr/lib/vitrine",
        "/usr/lib/vitrine/firewall.nft",
    ]


def test_cat_gives_the_bytes(run, image, tree):
    assert run("cat", image, "/noise") == (0, (tree / "noise").read_bytes(), "")
    assert run("cat", image, "initrd:init")[1] == b"#!/bin/sh\n"


def test_show_leads_to_the_pcrs(run, image):
    status, out, _ = run("show", image, "/text", "--json")
    way = json.loads(out)["way"]
    cmdline = open_contents(image).cmdline
    assert status == 0
    assert [link["what"].partition(" ")[0] for link in way[-5:]] == ["kernel", "UKI", "PCR", "PCR", "PCR"]
    assert f"vitrine.root={next(link['digest'] for link in way if link['what'] == 'root hash of root')}:" in cmdline
    assert "blocks" in way[1]["how"]
    assert b"PCR 9" in run("show", image, "initrd:/init")[1]
    assert b"content of .cmdline" in run("show", image, "uki:.cmdline")[1]
    events = {link["pcr"]: link["how"].partition(": ")[2] for link in way if link["pcr"] is not None}
    uki = {4: "UKI, Authenticode", 11: "content of .cmdline"}
    assert events == uki | {9: "kernel command line"}
    initrd = json.loads(run("show", image, "initrd:/init", "--json")[1])["way"]
    events = {link["pcr"]: link["how"].partition(": ")[2] for link in initrd if link["pcr"] is not None}
    assert events == uki | {9: "initrd and the stub's archive", 11: "content of .initrd"}


def test_units_and_firewall(run, image):
    _, out, _ = run("units", image)
    told = {words[1]: words[0] for line in out.decode().splitlines() if (words := line.split())}
    assert told == {"fw.service": "started", "masked.service": "masked", "quiet.service": "static"}
    _, out, _ = run("units", image, "fw.service")
    assert b"User=x" in out
    assert b"10-more.conf  sha256 " in out
    _, out, _ = run("firewall", image)
    assert b"# loaded by fw.service" in out
    assert b"policy drop" in out


@pytest.mark.parametrize("words", [("list", "/nope"), ("cat", "/nope"), ("units", "no.service")])
def test_what_is_not_there_is_said(run, image, words):
    status, out, err = run(words[0], image, *words[1:])
    assert (status, out) == (1, b"")
    listing = "units" if words[0] == "units" else "list"
    assert err.startswith("vitrine: ")
    assert err.endswith(f"; what there is: vitrine image {listing} {image}\n")


def test_a_folder_has_no_contents(run, image):
    status, out, err = run("cat", image, "/etc")
    told = "vitrine: usage: /etc: expected a file or a link, got something else, which has no contents; "
    assert (status, out, err.startswith(told)) == (2, b"", True)


@pytest.mark.parametrize(("program", "words"), [("zstd", ("list", "initrd:/"))])
def test_a_program_that_is_missing_is_named_with_its_package(run, image, monkeypatch, program, words):
    monkeypatch.setenv("PATH", "/nowhere")
    status, out, err = run(words[0], image, *words[1:])
    told = f"vitrine: usage: {program}: expected the program, of the package {program}: install it, got none\n"
    assert (status, out, err) == (2, b"", told)


@pytest.mark.parametrize("words", [("cat", "disk:/x"), ("list", "nope:")])
def test_a_part_that_no_image_has_is_usage(run, image, words):
    assert run(words[0], image, *words[1:])[0] == 2


def test_a_folder_without_an_image_is_usage(run, tmp_path):
    for data in (None, b"", b"MZ"):
        if data is not None:
            (tmp_path / "uki.efi").write_bytes(data)
        status, _, err = run("list", tmp_path)
        assert (status, "is not the folder of an image" in err) == (2, True)
        assert "; name the folder of a baked image" in err


@pytest.mark.parametrize("offset", [1024, 5000, 40_000])
def test_a_bit_of_the_root_that_was_flipped_is_refused(run, copy, offset):
    flip(copy / "boot.raw", partition(copy, "vitrine-root").offset + offset)
    status, _, err = run("list", copy, "/", "--digests")
    assert (status, "is not what the root hash" in err) == (1, True)


@pytest.mark.parametrize(("words", "path"), [(("firewall",), "firewall.nft"), (("units", "fw.service"), "fw.service")])
def test_a_damaged_file_is_told_wherever_it_is_read(run, copy, words, path):
    """Its contents are read last, when the rest is told already."""
    (found,) = (one for one in open_contents(copy).part("root").walk() if one.path.endswith(f"/{path}") and one.is_file)
    flip(copy / "boot.raw", partition(copy, "vitrine-root").offset + found.where()[-1][-1] * BLOCK)
    status, out, err = run(words[0], copy, *words[1:])
    told = f"; {copy} is not whole, or was changed: get it anew, or bake it (`make bake`)\n"
    assert (status, out, err.endswith(told), "Traceback" in err) == (1, b"", True, False)


def test_of_a_damaged_file_nothing_is_written(run, copy):
    """Not even what lies before the damage: whoever pipes it on would take it for the file."""
    found = open_contents(copy).part("root").find("/noise")
    flip(copy / "boot.raw", partition(copy, "vitrine-root").offset + found.where()[-1][-1] * BLOCK)
    status, out, err = run("cat", copy, "/noise")
    assert (status, out, "is not what the root hash" in err) == (1, b"", True)


def test_a_unit_that_is_too_long_to_be_one_is_refused(run, image, monkeypatch):
    monkeypatch.setattr(telling, "_MAX_TEXT", 16)
    for words in (("units", image, "fw.service"), ("firewall", image)):
        status, out, err = run(*words)
        assert (status, out) == (1, b"")
        assert "bytes, and what it is read as has at most 16" in err


def test_a_command_line_that_gives_a_disk_more_blocks_than_it_has_is_refused(copy):
    data = (copy / "uki.efi").read_bytes()
    told = data.partition(b"vitrine.root=")[2].split(b" ")[0]
    count = told.rpartition(b":")[2]
    (copy / "uki.efi").write_bytes(data.replace(told, told[: -len(count)] + b"9" * len(count)))
    with pytest.raises(BakeError, match=rf"gives root 9+ blocks, where boot\.raw has {int(count)}"):
        open_contents(copy).part("root")


def test_a_disk_that_ends_before_its_partition_does_is_refused(copy):
    """Its table may say that it is as long as it likes."""
    os.truncate(copy / "boot.raw", partition(copy, "vitrine-root").offset + 7 * BLOCK)
    with pytest.raises(BakeError, match=r"gives root \d+ blocks, where boot\.raw has 7"):
        open_contents(copy).part("root")


def test_a_uki_that_names_another_root_is_refused(run, copy, image):
    data = (image / "uki.efi").read_bytes()
    root_hash = open_contents(image).cmdline.partition("vitrine.root=")[2][:64].encode()
    (copy / "uki.efi").write_bytes(data.replace(root_hash, b"0" * 64))
    status, _, err = run("list", copy)
    assert (status, "is not what the root hash" in err) == (1, True)


@pytest.mark.parametrize("wrong", [b"vitrine.root=zz", b"vitrine_root=aa"])
def test_a_command_line_that_names_no_root_is_refused(copy, wrong):
    data = (copy / "uki.efi").read_bytes()
    (copy / "uki.efi").write_bytes(data.replace(b"vitrine.root=" + data.partition(b"vitrine.root=")[2][:2], wrong))
    with pytest.raises(BakeError, match="does not name root once"):
        open_contents(copy).part("root")


def test_a_disk_without_a_table_or_a_uki_that_is_none_is_refused(copy):
    (copy / "boot.raw").write_bytes(bytes(4096))
    with pytest.raises(MeasureError, match="GPT"):
        open_contents(copy).part("root")
    (copy / "uki.efi").write_bytes(b"MZ")
    with pytest.raises(MeasureError, match=r"uki\.efi"):
        open_contents(copy)


@dataclass(frozen=True)
class Bare:
    """Blocks that nobody hashes: what a publisher who signs nonsense would have hashed."""

    data: bytes

    @property
    def count(self):
        return len(self.data) // BLOCK

    def read(self, index):
        if not 0 <= index < self.count:
            raise BakeError("no such block")
        return self.data[index * BLOCK : (index + 1) * BLOCK]


ORDER = ("!", "%", "-a", "...", ".a", "0", "A", "Z", "a", "a b", "aa", "~", "ä", "日")
"""Names before, between and behind "." and "..", and such as are ordered in another way as text of some language."""


@pytest.fixture(scope="module")
def small(tools, tmp_path_factory):
    """A file system of few blocks, in which every other byte decides something."""
    root = tmp_path_factory.mktemp("small")
    (root / "tree/folder").mkdir(parents=True)
    (root / "tree/text").write_bytes(b"".join(b"%d, a text that is compressed\n" % n for n in range(600)))
    (root / "tree/folder/noise").write_bytes(bytes(n * n * 7919 % 251 ^ n % 256 for n in range(9000)))
    (root / "tree/link").symlink_to("folder/noise")
    (root / "tree/order").mkdir()
    for name in ORDER:
        (root / "tree/order" / name).touch()
    words = ["mkfs.erofs", f"-T{tiny.EPOCH}", "-x-1", "--quiet", "-zlz4hc", "/work/root.erofs", "/work/tree"]
    run_inside(tools, words, what="packing", binds=(Bind(root, "/work", writable=True),))
    return (root / "root.erofs").read_bytes()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6))
def test_whatever_a_file_system_says_is_read_or_refused(small, changes):
    """Its root hash may be right all the same: a hostile publisher computes it."""
    data = bytearray(small)
    for at, new in changes:
        place = 1024 + at % (len(data) - 1032)
        data[place : place + len(new)] = new
    try:
        for entry in open_erofs(Bare(bytes(data))).walk():
            entry.read()
    except BakeError:
        pass


def test_the_small_file_system_is_read_as_it_is(small):
    found = {entry.path: entry for entry in open_erofs(Bare(small)).walk()}
    ordered = {"/order", *(f"/order/{name}" for name in ORDER)}
    assert set(found) == {"/folder", "/folder/noise", "/link", "/text"} | ordered
    assert found["/text"].read().endswith(b"599, a text that is compressed\n")


def test_one_and_many_workers_make_the_same_file_system(tools, tree, tmp_path):
    """The number of cores decides how many mkfs.erofs takes, and must not decide about its bytes."""
    made = set()
    for workers in (1, 2, 7):
        words = [
            "mkfs.erofs",
            f"-T{tiny.EPOCH}",
            "-U5fdd348b-0878-81ab-b50f-5575b8c65582",
            "-x-1",
            "--quiet",
            "-zlz4hc",
        ]
        binds = (Bind(tmp_path, "/work", writable=True), Bind(tree, "/mnt"))
        run_inside(tools, [*words, f"--workers={workers}", "/work/root.erofs", "/mnt"], what="packing", binds=binds)
        made.add((tmp_path / "root.erofs").read_bytes())
    assert len(made) == 1
