"""One skeleton for every role, and nothing in it that hides a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (REPOSITORY / "roles").iterdir() if path.is_dir())
SKELETON = (
    *("defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml"),
    *("tasks/main.yml", "tasks/preflight.yml", "tasks/configure.yml"),
)
ALLOWED = {"defaults", "meta", "tasks", "files", "templates", "molecule"}
CHANGES_NOTHING = {"ansible.builtin.assert", "ansible.builtin.find", "ansible.builtin.stat"}
KEYWORDS = {"name", "register", "changed_when", "failed_when", "when", "loop", "vars", "no_log", "loop_control"}
ROLES_OF_THE_BAKE = yaml.safe_load((REPOSITORY / "playbooks/bake.yml").read_text())[1]["roles"]
# One that not every image has stands there with its condition.
ORDER = [entry if isinstance(entry, str) else entry["role"] for entry in ROLES_OF_THE_BAKE]
TASK_FILES = sorted(path for role in ROLES for path in (role / "tasks").glob("*.yml"))


def read(path):
    return yaml.safe_load(path.read_text())


def name_of(path):
    return path.name if path.is_dir() else path.relative_to(REPOSITORY).as_posix()


def module_of(task):
    (module,) = set(task) - KEYWORDS
    return module


roles = pytest.mark.parametrize("role", ROLES, ids=name_of)
task_files = pytest.mark.parametrize("path", TASK_FILES, ids=name_of)


@roles
def test_the_skeleton_is_whole_and_nothing_else(role):
    assert [name for name in SKELETON if not (role / name).is_file()] == []
    assert {path.name for path in role.iterdir()} <= ALLOWED
    assert {path.name for path in (role / "tasks").iterdir()} == {"main.yml", "preflight.yml", "configure.yml"}


@roles
def test_defaults_are_the_argument_specification(role):
    options = read(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == (read(role / "defaults/main.yml") or {})
    assert all(option["description"].endswith(".") for option in options.values())


@roles
def test_variables_bear_the_name_of_their_role(role):
    assert [name for name in read(role / "defaults/main.yml") or {} if not name.startswith(f"{role.name}_")] == []


@roles
def test_a_role_checks_first_and_then_acts(role):
    imported = [task["ansible.builtin.import_tasks"] for task in read(role / "tasks/main.yml")]
    assert imported == ["preflight.yml", "configure.yml"]
    assert {module_of(task) for task in read(role / "tasks/preflight.yml")} <= CHANGES_NOTHING


@roles
def test_a_role_is_few_tasks(role):
    assert len(read(role / "tasks/configure.yml")) <= 4, "each task costs a second: put the files into files/tree"


@roles
def test_every_role_is_baked_in(role):
    assert ORDER.count(role.name) == 1


def test_what_is_removed_last_is_not_needed_by_a_later_role():
    assert ORDER[0] == "base"
    assert ORDER[-1] == "minimal_userland"


@task_files
def test_no_shell_no_ignored_errors_no_loop_with_a_complicated_condition(path):
    for task in read(path):
        assert module_of(task) != "ansible.builtin.shell"
        assert not {"ignore_errors", "become"} & set(task)
        assert not ("loop" in task and isinstance(task.get("when"), list) and len(task["when"]) > 1)


@task_files
def test_a_command_says_when_it_changed_something(path):
    assert [
        t["name"] for t in read(path) if module_of(t) == "ansible.builtin.command" and "changed_when" not in t
    ] == []


@roles
def test_nothing_of_one_machine_is_in_a_role(role):
    for path in (p for p in role.rglob("*") if p.is_file() and not p.is_symlink()):
        assert not re.search(r"/home/|/work/|https?://|BEGIN .*PRIVATE KEY", path.read_text()), path


@roles
def test_files_for_the_image_lie_where_the_image_wants_them(role):
    tree = role / "files/tree"
    tops = {path.name for path in tree.iterdir()} if tree.is_dir() else set()
    assert tops <= {"etc", "usr"}
