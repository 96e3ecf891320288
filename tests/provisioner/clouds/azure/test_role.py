"""The role in the documentation: exactly the actions that deploying, changing, looking and destroying take."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from provisioner.clouds import Rolling
from provisioner.errors import CloudError
from tests.provisioner.clouds.conftest import quiet

PAGE = Path(__file__).resolve().parents[4] / "docs/clouds/azure.md"


def role():
    (text,) = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return json.loads(text)


def granted():
    return frozenset(action.lower() for action in role()["Actions"])


def live(azure):
    """Do everything that an operator does, with one machine and with several."""
    azure.apply()
    azure.session().open_doors("toy", 8443)
    azure.apply(azure.spec(image=1, client_networks=["198.51.100.0/24"]))
    azure.apply(azure.spec(image=1, replicas=2))
    azure.apply(azure.spec(image=1, replicas=3))
    for step in ("stage", "overlap", "drain", "stage", "back"):
        azure.remote().roll(azure.spec(image=2, replicas=3), Rolling(old=azure.image(1).key, step=step), progress=quiet)
    azure.session().vm("toy")
    azure.session().open_doors("toy", 8443)
    azure.session().names()
    azure.destroy()


def test_the_role_is_exactly_what_was_used(azure):
    live(azure)
    assert set(azure.arm.actions) == granted()
    assert azure.cloud.things == {}


def test_the_role_is_enough(azure):
    azure.arm.allowed = granted()
    live(azure)
    assert azure.cloud.things == {}


@pytest.mark.clouds
@pytest.mark.parametrize("action", sorted(granted()))
def test_without_any_one_of_its_actions_something_is_refused_by_name(azure, action):
    azure.arm.allowed = granted() - {action}
    with pytest.raises(CloudError, match=re.compile(re.escape(action), re.IGNORECASE)):
        live(azure)


def test_the_role_has_no_wildcard_and_nothing_in_the_data_plane():
    assert not [action for action in role()["Actions"] if "*" in action]
    assert role()["DataActions"] == []


def test_the_role_cannot_look_into_a_machine_or_run_anything_in_it():
    for action in ("runcommand/action", "runcommands/write", "extensions/write", "retrievebootdiagnosticsdata/action"):
        assert f"microsoft.compute/virtualmachines/{action}" not in granted()
