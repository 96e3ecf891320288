from __future__ import annotations

import base64
import os
from pathlib import PurePosixPath

import pytest

from provisioner.errors import SpecError
from provisioner.overlay import Entry, collect, unit_links

ROOT = PurePosixPath("/")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "tree"
    (folder / "etc/deep").mkdir(parents=True)
    (folder / "etc/plain").write_text("text")
    (folder / "etc/deep/tool").write_text("#!")
    (folder / "etc/deep/tool").chmod(0o700)
    (folder / "etc/link").symlink_to("/dev/null")
    return folder


def test_files_links_and_the_executable_bit_are_carried(source):
    assert collect(source, ROOT) == (
        Entry("/etc/deep/tool", "file", 0o755, base64.b64encode(b"#!").decode()),
        Entry("/etc/link", "link", 0o777, "/dev/null"),
        Entry("/etc/plain", "file", 0o644, base64.b64encode(b"text").decode()),
    )


def test_the_callers_umask_and_times_do_not_reach_the_image(source):
    before = collect(source, ROOT)
    (source / "etc/plain").chmod(0o600)
    (source / "etc/deep/tool").chmod(0o777)
    os.utime(source / "etc/plain", (0, 0))
    assert collect(source, ROOT) == before


def test_only_what_is_included_goes_in(source):
    assert [e.path for e in collect(source, PurePosixPath("/opt"), include=("*/tool",))] == ["/opt/etc/deep/tool"]


def test_templates_lose_their_suffix(source):
    (source / "etc/name.j2").write_text("{{ x }}")
    entries = collect(source, ROOT, render=lambda text: text.replace("{{ x }}", "value"))
    assert Entry("/etc/name", "file", 0o644, base64.b64encode(b"value").decode()) in entries


@pytest.mark.parametrize("name", ["__pycache__", ".mypy_cache", ".pytest_cache"])
def test_what_running_the_code_left_behind_stays_out(source, name):
    before = collect(source, ROOT)
    (source / name).mkdir()
    (source / name / "x.pyc").write_text("x")
    assert collect(source, ROOT) == before


def test_a_linked_folder_is_carried_as_a_link_not_as_its_contents(source, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("x")
    (source / "etc/out").symlink_to(tmp_path / "secret")
    assert Entry("/etc/out", "link", 0o777, str(tmp_path / "secret")) in collect(source, ROOT)


def test_a_pipe_is_refused(source):
    os.mkfifo(source / "etc/pipe")
    with pytest.raises(SpecError, match="files, folders and links only"):
        collect(source, ROOT)


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(SpecError, match="src: expected a folder"):
        collect(tmp_path / "missing", ROOT)


def test_a_pattern_that_matches_nothing_is_a_mistake(source):
    with pytest.raises(SpecError, match=r"at least one file like \*\.py"):
        collect(source, ROOT, include=("*.py",))


def test_units_are_enabled_and_masked_by_links():
    assert unit_links({"a.service": "multi-user.target"}, ("b.service",)) == (
        Entry(
            "/etc/systemd/system/multi-user.target.wants/a.service", "link", 0o777, "/usr/lib/systemd/system/a.service"
        ),
        Entry("/etc/systemd/system/b.service", "link", 0o777, "/dev/null"),
    )


def test_an_instance_is_enabled_by_a_link_to_its_template():
    (link,) = unit_links({"x@m-1.5b.service": "multi-user.target"}, ())
    assert (link.path, link.content) == (
        "/etc/systemd/system/multi-user.target.wants/x@m-1.5b.service",
        "/usr/lib/systemd/system/x@.service",
    )


@pytest.mark.parametrize(
    ("enable", "mask", "said"),
    [
        ({"a.service": "multi-user.target"}, ("a.service",), "a unit that is not masked, got a.service"),
        ({"../a.service": "multi-user.target"}, (), r"a file name like x.service, got \.\./a.service"),
        ({"a.service": "../../etc.target"}, (), r"got \.\./\.\./etc.target"),
        ({}, ("getty",), "a file name like x.service, got getty"),
    ],
)
def test_a_unit_that_cannot_be_meant(enable, mask, said):
    with pytest.raises(SpecError, match=said):
        unit_links(enable, mask)


def test_all_faults_are_told_at_once():
    with pytest.raises(SpecError) as caught:
        unit_links({"a": "b"}, ("c/d",))
    assert len(caught.value.faults) == 3
