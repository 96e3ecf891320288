"""Rollouts on Google Cloud: two groups behind one balancer, the new one first behind a balancer of its own."""

from __future__ import annotations

import copy
import re

import pytest

from tests.fakes.gcp import group, machines
from tests.provisioner.clouds.gcp.conftest import GROUP, KEY, OTHER_KEY, image
from tests.provisioner.clouds.rolling import SERVICE, Releases, RollingTests, Scene

REGION = "regions/europe-west4"


def inner(url):
    return re.sub(r"^projects/[^/]+/", "", url)


class Google(Scene):
    """The fake project: backend services name groups, groups have machines."""

    old, new, third = KEY, OTHER_KEY, "9c8d" * 16

    def __init__(self, lab, releases):
        super().__init__(releases)
        self.lab, self.api = lab, lab.api

    def start(self):
        self.lab.reset()
        self.api.handler = self.lab

    def save(self):
        project = self.lab.project
        return project.block, copy.deepcopy((project.resources, project.buckets, project.objects, project.numbers))

    def restore(self, saved):
        self.start()
        project = self.lab.project
        project.block, rest = saved
        project.resources, project.buckets, project.objects, project.numbers = copy.deepcopy(rest)
        for url in [one for one in project.resources if "/forwardingRules/" in one]:
            group.serve(project, url)

    def short(self, key):
        return key[:40]

    def variables(self):
        return GROUP | self.changes

    def image(self, key):
        self.lab.pack(GROUP, key)
        return image(self.lab.disks, key)

    def cloud(self):
        return self.lab.cloud(self.variables())

    def rule(self, which):
        name = "prod" if which == SERVICE else "prod-staging"
        return self.lab.project.resources.get(f"{REGION}/forwardingRules/{name}")

    def endpoint(self, which):
        rule = self.rule(which)
        return f"https://{rule['IPAddress']}:8443" if rule else ""

    def led(self, which):
        rule, resources = self.rule(which), self.lab.project.resources
        if rule is None:
            return []
        groups = [inner(one["group"]) for one in resources[inner(rule["backendService"])]["backends"]]
        urls = [url.replace("/instanceGroups/", "/instanceGroupManagers/") for url in groups]
        found = [resources[one] for url in urls for one in group.machines(self.lab.project, url)]
        return [(one["name"], one["labels"]["vitrine-image"]) for one in found]

    def has(self, key):
        return self.lab.has(self.variables(), key)

    def leftovers(self):
        """What there is, but for parts of names that differ each time."""
        return sorted(re.sub(r"listens at .*", "listens", one) for one in self.lab.project.leftovers())

    def destroy(self):
        self.lab.destroy(self.variables())

    def nothing_starts(self):
        self.lab.project.start = machines.nothing

    def no_quota(self):
        error = {"code": "QUOTA_EXCEEDED", "message": "Quota 'GPUS_ALL_REGIONS' exceeded. Limit: 2.0 globally."}
        self.lab.project.failing += [("instances", error)] * 2

    def break_new(self):
        """Somebody deletes its image; Google has no group that failed."""
        del self.lab.project.resources[f"global/images/prod-boot-{self.new[:16]}"]

    def too_much(self):
        return ({"zone": "europe-west4-c"}, {"subnet": "10.65.0.0/24"}, {"zone": "us-central1-a"})

    def enough(self):
        return {"client_ranges": ["192.0.2.0/24"], "model_disk_gib": 50, "replicas": 3}


@pytest.fixture
def scene(lab, tmp_path):
    made = Google(lab, Releases(tmp_path / "operator"))
    (tmp_path / "operator").mkdir()
    made.again()
    return made


class TestRollout(RollingTests):
    """All that every vendor's rollouts hold to."""
