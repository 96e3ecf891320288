"""Self-check and roles speak of the same things: a setting, file or program that one of them renames is missed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from provisioner.image.pack import COMMAND_LINE
from serving.selfcheck import host, kernel
from serving.selfcheck.checks import NAMES
from serving.selfcheck.kernel import SYSCTLS
from serving.selfcheck.processes import PROGRAMS

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = REPOSITORY / "roles"


def settings():
    files = sorted(ROLES.glob("*/files/tree/etc/sysctl.d/*.conf"), key=lambda path: path.name)
    lines = [line for path in files for line in path.read_text().splitlines() if "=" in line and line[0] != "#"]
    return {name.strip(): value.strip() for name, value in (line.split("=", 1) for line in lines)}


@pytest.mark.parametrize("name", SYSCTLS)
def test_a_setting_that_is_checked_is_made_by_a_role(name):
    assert settings()[name.replace("/", ".")] == SYSCTLS[name]


def test_the_bake_writes_the_words_where_the_self_check_reads_them():
    assert kernel.WORDS == COMMAND_LINE


def test_the_forbidden_modules_are_those_of_the_role():
    assert "blacklist qemu_fw_cfg\n" in (ROLES / "no_host_input/files/tree" / host.MODULES).read_text()


def test_the_page_names_every_check():
    page = (REPOSITORY / "docs/hardening/self-check.md").read_text()
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    assert sorted(NAMES) == sorted(name for cell in table[1:] for name in re.findall(r"[a-z-]+", cell))


@pytest.mark.root
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_may_run_is_in_the_image(configured, program):
    assert (configured / program.lstrip("/")).is_file()
