"""What counts and tells the numbers: counts of a small tree, verdicts as they can be wrong, reasons one for one."""

from __future__ import annotations

import re

import pytest

from tests.hardening import page
from tests.hardening.counts import count
from tests.hardening.judges import read_lynis
from tests.hardening.page import Group, grouped, groups, replace, skipped
from tests.hardening.trees import settings

REPORT = """\
hardening_index=71
tests_executed=A-1|B-2|
suggestion[]=A-1|do|x|-|
suggestion[]=A-1|do|y|-|
warning[]=B-2|w|-|-|
"""


def put(root, path, text="x", mode=0o644):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    (root / path).chmod(mode)


def test_counts_of_a_small_tree(tmp_path):
    put(tmp_path, "usr/bin/dash", "\x7fELF", 0o755)
    put(tmp_path, "usr/bin/su", "\x7fELF", 0o4755)
    put(tmp_path, "usr/bin/wall", "#!/bin/sh", 0o2755)
    put(tmp_path, "usr/lib/modules/6/a.ko.xz")
    put(tmp_path, "usr/lib/systemd/system/sockets.target.wants/x.socket")
    put(tmp_path, "etc/systemd/system/multi-user.target.wants/y.service")
    put(tmp_path, "usr/lib/systemd/system/z.timer")
    (tmp_path / "usr/bin/sh").symlink_to("dash")
    found = list(count(tmp_path).values())
    assert found == [4, 2, 1, 2, 1, 1, 0, 1, 1, 0, 1, 7, 0]


def test_lynis_is_read_test_by_test():
    found = read_lynis(REPORT)
    assert (found.index, found.tests, found.said) == (71, 2, (("A-1", "do"), ("B-2", "w")))


@pytest.mark.parametrize(
    "report", ["", "tests_executed=A\n", "hardening_index=\ntests_executed=A\n", "hardening_index=7\n"]
)
def test_a_report_without_a_verdict_is_none(report):
    with pytest.raises((KeyError, ValueError)):
        read_lynis(report)


REASONS = (Group("one", ("A-*",)), Group("two", ("B-1", "B-2")))


def test_every_line_stands_under_its_reason():
    assert grouped(["B-2", "A-1", "B-1", "A-1"], REASONS) == [(REASONS[0], ["A-1"]), (REASONS[1], ["B-1", "B-2"])]


@pytest.mark.parametrize(
    ("names", "reasons", "said"),
    [
        (["A-1", "B-1", "B-2", "C-1"], REASONS, "no reason is written down for C-1"),
        (["A-1", "B-1"], REASONS, "a reason for what no judge says: B-2"),
        (["B-1", "B-2"], REASONS, "a reason for what no judge says: A-*"),
        (["A-1"], (*REASONS[:1], Group("three", ("A-1",))), "more than one reason for A-1"),
    ],
)
def test_a_line_without_a_reason_or_a_reason_without_a_line_ends_it(names, reasons, said):
    with pytest.raises(SystemExit, match=re.escape(said)):
        grouped(names, reasons)


def test_tables_are_put_between_their_marks_again_and_again():
    text = "a\n<!-- x -->\n<!-- end -->\nb\n"
    once = replace(text, {"x": "| 1 |\n"})
    assert once == "a\n<!-- x -->\n\n| 1 |\n\n<!-- end -->\nb\n"
    assert replace(once, {"x": "| 1 |\n"}) == once


@pytest.mark.parametrize("tables", [{}, {"y": ""}, {"x": "", "y": ""}])
def test_a_table_without_its_marks_is_a_mistake(tables):
    with pytest.raises(SystemExit, match="marks"):
        replace("<!-- x -->\n<!-- end -->\n", tables)


def test_the_settings_are_those_of_files_and_of_the_command_line(tmp_path):
    put(tmp_path, "etc/sysctl.d/1.conf", "# no = 1\nkernel.a = 1\nkernel.b=2\n")
    put(tmp_path, "etc/sysctl.d/2.conf", "kernel.modules_disabled = 1\n")
    told = settings(tmp_path, "quiet sysctl.kernel.sysrq=0")
    assert told.splitlines() == ["kernel.a = 1", "kernel.b = 2", "kernel.modules_disabled = 1", "kernel.sysrq = 0"]


def test_the_page_has_a_reason_for_every_line_that_it_names():
    """What the judges say today, the command tells; here, that page and reasons belong together."""
    text = page.PAGE.read_text()
    for which in ("lynis", "kernel"):
        told = re.search(rf"<!-- {which}_reasons -->\n(.*?)<!-- end -->", text, re.DOTALL)[1]
        rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("| `")]
        assert [row[1] for row in rows] == [group.why for group in groups(which)]
        names = [name for row in rows for name in re.findall(r"`([^`]+)`", row[0])]
        assert dict(grouped(names, groups(which)))
    assert not [test for test in skipped() if f"`{test}`" in text]
