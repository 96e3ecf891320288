"""The one class of all actions: whatever a step refuses ends in sentences, wherever in the step it is refused."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail

from provisioner.action import Action
from provisioner.errors import CloudError, Fault, SpecError

PLUGINS = Path(__file__).resolve().parents[2] / "plugins/action"


ARGUMENTS = {"then": {"type": "raw", "required": True}}
CONNECTION = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))


class Step(Action):
    """A step that does what a test wants."""

    what, arguments = "step", ARGUMENTS

    def act(self, wanted):
        return wanted["then"](self)


def run(then, *, check=False):
    task = SimpleNamespace(
        async_val=0, check_mode=check, diff=False, args={"then": then}, action="step", environment=None
    )
    return Step(task, CONNECTION, None, None, None, None).run(task_vars={"deploy_name": "toy"})


def raising(error):
    def act(_):
        raise error

    return act


def test_what_a_step_returns_is_the_tasks_result():
    assert run(lambda step: {"changed": step.pretend, "name": step.variables["deploy_name"]}, check=True) == {
        "changed": True, "name": "toy",
    }  # fmt: skip


def test_one_fault_is_one_sentence():
    with pytest.raises(AnsibleActionFail, match=r"step: port: expected a number, got 'x'$"):
        run(raising(SpecError((Fault("port", "a number", "'x'"),))))


def test_several_faults_are_one_a_line():
    both = SpecError((Fault("port", "a number", "'x'"), Fault("zone", "a zone", "3")))
    with pytest.raises(AnsibleActionFail) as caught:
        run(raising(both))
    lines = str(caught.value).splitlines()
    assert lines[-3:] == ["step:", "  port: expected a number, got 'x'", "  zone: expected a zone, got 3"]


@pytest.mark.parametrize("error", [CloudError("no quota"), PermissionError(13, "Permission denied", "/build/x")])
def test_a_refusal_of_the_cloud_or_the_disk_is_a_sentence_and_names_no_cause(error):
    with pytest.raises(AnsibleActionFail, match=r"step: .*(no quota|Permission denied: '/build/x'; check)") as caught:
        run(raising(error))
    assert caught.value.__cause__ is None


def test_a_mistake_of_ours_is_not_called_a_refusal():
    with pytest.raises(ZeroDivisionError):
        run(lambda _: 1 / 0)


@pytest.mark.parametrize("path", sorted(PLUGINS.glob("*.py")), ids=lambda path: path.stem)
def test_every_action_is_of_this_class(path):
    """But for the one that is carried out in the tree, and not here."""
    (made,) = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    assert [ast.unparse(base) for base in made.bases] == ["ActionBase" if path.stem == "install_tree" else "Action"]
