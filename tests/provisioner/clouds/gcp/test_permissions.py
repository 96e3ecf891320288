"""The least that credentials need: what the calls of whole deployments took, and what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from provisioner.clouds import Rolling
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.clouds.gcp.conftest import CPU, GROUP, KEY, OTHER_KEY, image

PAGE = Path(__file__).resolve().parents[4] / "docs/clouds/gcp.md"
SECTION = re.compile(r"<!-- permissions -->\n(.*?)<!-- /permissions -->", re.DOTALL)


@pytest.fixture
def used(lab):
    """Everything that deployments do: made, checked, changed, taken away, of both kinds."""
    found = set()
    for variables in (CPU, GROUP):
        lab.reset()
        lab.launch(variables)
        lab.ready(variables)
        lab.launch(variables | {"client_ranges": ["192.0.2.0/24"]})
        lab.launch(variables | {"client_ranges": ["192.0.2.0/24"]}, key=OTHER_KEY)
        roll(lab, variables)
        assert lab.vendor(variables).session().names() == ("prod",)
        keep_a_disk(lab)
        lab.destroy(variables)
        assert lab.project.leftovers() == []
        found |= set(lab.project.used)
    return found


def keep_a_disk(lab):
    """Somebody set a disk to stay when its machine goes."""
    machine = next(one for url, one in lab.project.resources.items() if "/instances/" in url)
    machine["disks"][1]["autoDelete"] = False


def roll(lab, variables):
    """Go through every step beside an older group; one machine has none."""
    if variables is GROUP:
        cloud = lab.cloud(variables)
        lab.pack(variables, KEY)
        for step in ("stage", "overlap", "drain", "stage", "back"):
            rolling = Rolling(old=OTHER_KEY[:16], step=step)
            wanted = variables | {"client_ranges": ["192.0.2.0/24"]}
            cloud.roll(cloud.spec(wanted, image(lab.disks, KEY)), rolling, progress=quiet)
        assert [group.serving for group in cloud.groups("prod")] == [True]


def as_page(permissions):
    groups = {}
    for one in sorted(permissions):
        what, _, verb = one.rpartition(".")
        groups.setdefault(what, []).append(verb)
    return "".join(f"- `{what}`: {', '.join(f'`{verb}`' for verb in verbs)}\n" for what, verbs in groups.items())


def test_the_page_names_exactly_the_permissions_that_the_calls_take(used):
    (told,) = SECTION.findall(PAGE.read_text())
    assert told == as_page(used)


def test_nothing_is_asked_for_that_gives_power_over_identities_or_other_machines(used):
    powers = ("setIamPolicy", "serviceAccounts", "actAs", "osLogin", "setCommonInstanceMetadata", "projects.")
    assert not any(power in one for one in used for power in powers)
