"""The pages about clouds: every command that they give to be typed exists, with these options and these files.

They cannot be run as they stand, because they are about a real cloud; tests/e2e/test_cloud_deploy.py goes the same way.
"""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from client_sdk.cli import collateral, observe, verify
from provisioner import platform_values
from provisioner.endorsement import command as endorsement
from provisioner.publish import KEY

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = {name: (REPOSITORY / f"docs/clouds/{name}.md").read_text() for name in ("gcp", "azure")}
PLAYBOOKS = [("deploy", "gcp"), ("verify", "gcp"), ("deploy", "azure"), ("verify", "azure")]


def commands(page):
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    return [_words(line) for block in blocks for line in block.splitlines() if line]


def _words(line):
    """Split a command, without the file that its output goes to."""
    return shlex.split(line.partition(" > ")[0])


def of(page, program):
    found = [words[1:] for words in commands(page) if words[0] == f".venv/bin/{program}"]
    assert found, f"docs/clouds/{page}.md gives no command of {program}"
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_of_a_program_that_is_looked_at_here(page):
    assert {words[0] for words in commands(page)} == {
        f".venv/bin/{name}" for name in ("vitrine", "ansible-playbook", "python")
    }


@pytest.mark.parametrize("page", PAGES)
def test_the_client_takes_every_command_line(page):
    parser = argparse.ArgumentParser()
    known = parser.add_subparsers(required=True)
    for module in (verify, observe, collateral, endorsement):
        module.register(known)
    for words in of(page, "vitrine"):
        assert parser.parse_args(words).run
    verbs = [words[0] for words in of(page, "vitrine")]
    assert verbs == ["collateral", "observe", *(["endorsement"] if page == "gcp" else []), "verify"]


@pytest.mark.parametrize(("playbook", "page"), PLAYBOOKS)
def test_playbooks_and_inventories_are_there(playbook, page):
    assert [f"playbooks/{playbook}.yml", "-i", f"inventories/{page}"] in of(page, "ansible-playbook")
    for path in (f"playbooks/{playbook}.yml", f"inventories/{page}/hosts.yml"):
        assert (REPOSITORY / path).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_values_are_signed_with_the_key_that_the_first_deployment_makes(page):
    ((_, module, *words),) = of(page, "python")
    options = platform_values.parser().parse_args(words)
    (signed,) = re.findall(r"python -m provisioner\.platform_values .* > (.+)$", PAGES[page], re.MULTILINE)
    assert (module, options.key.name) == ("provisioner.platform_values", KEY)
    assert bool(options.endorsement) == (page == "gcp")
    assert f"deploy_platform_values: /path/to/{signed}" in PAGES[page]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_says_that_no_real_cloud_was_tried_and_what_the_fake_does_not_show(page):
    text = " ".join(PAGES[page].split()).replace("*", "")
    assert "Written from the vendor's schema and documents; not yet run on a real cloud" in text
    assert "It does not show:" in text
