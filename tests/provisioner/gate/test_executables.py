"""The list of programs: read strictly, and each with a reason."""

from __future__ import annotations

import json
import re

import pytest

from provisioner.errors import BakeError
from provisioner.gate import refuse
from provisioner.gate.executables import parse_executables, shipped_executables
from provisioner.image.normalise import DEBUG_MARK

ENTRY = {"path": "usr/bin/false", "why": "says no"}


def text(*entries, version=1):
    return json.dumps({"version": version, "executables": entries})


def test_the_shipped_list_gives_a_reason_for_every_program_and_has_no_shell():
    listed = [executable for executable in shipped_executables() if executable.where != DEBUG_MARK]
    assert all(executable.why for executable in listed)
    for name in ("sh", "dash", "bash", "busybox", "perl", "tar", "curl", "wget", "gcc", "apt", "umount", "systemctl"):
        assert not [x.path for x in listed if any(x.matches(f"usr/{folder}/{name}") for folder in ("bin", "sbin"))]


def test_no_pattern_of_it_takes_a_whole_folder():
    listed = [executable.path for executable in shipped_executables() if executable.where != DEBUG_MARK]
    assert [path for path in listed if path.endswith("/*") or path.startswith("*")] == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[", "not JSON"),
        (text(ENTRY, version=2), "exactly version 1"),
        (json.dumps({"version": 1}), "exactly version 1"),
        (json.dumps([]), "exactly version 1"),
        (text({"path": "usr/bin/false"}), "expected the keys"),
        (text(ENTRY | {"reason": "x"}), "expected the keys"),
        (text("usr/bin/false"), "expected the keys"),
        (text(ENTRY | {"why": " "}), "none is empty"),
        (text(ENTRY | {"where": ""}), "none is empty"),
        (text(ENTRY | {"why": 1}), "are texts"),
        (text(ENTRY | {"path": "/usr/bin/false"}), "below the root"),
        (text(ENTRY | {"path": "*"}), "below the root"),
        (text(ENTRY | {"path": "**/*"}), "below the root"),
        (text(ENTRY, ENTRY), "twice"),
    ],
)
def test_a_malformed_list_is_refused(given, said):
    with pytest.raises(BakeError, match=re.escape(said)):
        parse_executables(given)


def test_the_refusal_names_the_property_and_the_program(tree):
    (tree / "usr/bin/curl").write_text("x")
    (tree / "usr/bin/curl").chmod(0o755)
    with pytest.raises(BakeError, match=r"minimal_userland \(unlisted-executable\): usr/bin/curl: "):
        refuse(tree)


def test_programs_of_an_image_for_gpus_are_due_there_alone(tree):
    gpu = [executable for executable in shipped_executables() if executable.where not in ("", DEBUG_MARK)]
    assert {executable.where for executable in gpu} == {"usr/lib/vitrine/driver", "usr/lib/vitrine-vllm"}
    for executable in gpu:
        (tree / executable.where).mkdir(parents=True, exist_ok=True)
        program = tree / executable.path.replace("*", "")
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("x")
        program.chmod(0o755)
    refuse(tree)


def test_a_debug_image_has_small_tools_and_no_program_anywhere_else(tree):
    def program(name):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
        (tree / name).chmod(0o755)

    program("usr/bin/dmesg")
    program("usr/sbin/losetup")
    with pytest.raises(BakeError, match=r"minimal_userland \(unlisted-executable\): usr/bin/dmesg, usr/sbin/losetup"):
        refuse(tree)
    (tree / DEBUG_MARK).write_text("DEBUG\n")
    refuse(tree, "debug")
    program("usr/libexec/tool")
    with pytest.raises(BakeError, match=r"minimal_userland \(unlisted-executable\): usr/libexec/tool"):
        refuse(tree, "debug")
