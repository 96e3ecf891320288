"""The help of ``vitrine image``: what each action shows, from where, and an example that can be typed."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from provisioner.report.command import register

ACTIONS = ("list", "cat", "show", "units", "firewall", "packages", "report", "archive")
# Where each says that it reads from.
SOURCES = {
    "list": "boot.raw",
    "cat": "as it is in the image",
    "show": "computed from the image",
    "units": "folders of units in the root",
    "firewall": "file of rules (.nft) in the root",
    "packages": "those of manifest.json",
    "report": "read from sbom.json",
    "archive": "From the cache of the bake",
}


def parser():
    made = argparse.ArgumentParser(prog="vitrine")
    register(made.add_subparsers())
    return made


@pytest.fixture
def helped(capsys):
    def call(*words):
        with pytest.raises(SystemExit) as ended:
            parser().parse_args(["image", *words, "--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return call


def examples(text):
    return [line.strip() for line in text.splitlines() if line.startswith("  vitrine ")]


def test_the_help_of_image_names_every_action_with_examples(helped):
    text = helped()
    assert all(re.search(rf"^    {name} ", text, re.MULTILINE) for name in ACTIONS)
    assert len(examples(text)) >= 3


@pytest.mark.parametrize("name", ACTIONS)
def test_each_action_says_from_where_and_has_an_example(helped, name):
    text = helped(name)
    assert SOURCES[name] in text
    assert examples(text)
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", ["", *ACTIONS])
def test_each_example_is_one_that_the_command_takes(helped, name):
    for line in examples(helped(*filter(None, [name]))):
        arguments = parser().parse_args(shlex.split(line)[1:])
        assert arguments.what == name or not name
