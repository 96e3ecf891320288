"""Rollouts on Azure: every machine is in two pools, and the balancer's rules alone say which of them is led to."""

from __future__ import annotations

import re

import pytest

from tests.fakes.azure import effects
from tests.provisioner.clouds.azure.conftest import KEYS, VARIABLES
from tests.provisioner.clouds.rolling import Releases, RollingTests, Scene

SET = "microsoft.compute/virtualmachinescalesets"
BALANCER = "microsoft.network/loadbalancers"


class Azure(Scene):
    """The fake subscription: rules name pools, interfaces say which pools they are in."""

    old, new, third = KEYS

    def __init__(self, azure, releases):
        super().__init__(releases)
        self.azure, self.api = azure, azure.api

    def start(self):
        self.azure.reset()
        self.api.handler = self.azure.arm.handle

    def save(self):
        return self.azure.arm.save()

    def restore(self, saved):
        self.start()
        self.azure.arm.restore(saved)

    def variables(self):
        return VARIABLES | {"replicas": 2} | self.changes

    def image(self, key):
        return self.azure.image(KEYS.index(key))

    def cloud(self):
        return self.azure.remote()

    def rules(self, which):
        (balancer,) = self.azure.cloud.of(BALANCER) or (None,)
        told = balancer.properties["loadBalancingRules"] if balancer else ()
        return balancer, [rule["properties"] for rule in told if rule["name"] == which]

    def endpoint(self, which):
        balancer, rules = self.rules(which)
        if not rules:
            return ""
        front = balancer.properties["frontendIPConfigurations"][0]["properties"]["publicIPAddress"]["id"]
        return f"https://{self.azure.cloud.find(front).properties['ipAddress']}:{rules[0]['frontendPort']}"

    def led(self, which):
        balancer, rules = self.rules(which)
        inside = effects.members(self.azure.cloud, balancer) if balancer else {}
        interfaces = [one for rule in rules for one in inside.get(rule["backendAddressPool"]["id"].lower(), ())]
        vms = [self.azure.cloud.find(one.properties["virtualMachine"]["id"]) for one in interfaces]
        return [(vm.name, vm.body["tags"]["vitrine-image"]) for vm in vms]

    def has(self, key):
        return self.azure.has(self.azure.spec(KEYS.index(key), **({"replicas": 2} | self.changes)))

    def leftovers(self):
        running = [f"listens for {name}" for name in self.azure.arm.machines.running]
        return sorted(re.sub(r"_[0-9a-f]{8}", "", one) for one in [*self.azure.cloud.things, *running])

    def destroy(self):
        self.azure.destroy()

    def nothing_starts(self):
        self.azure.arm.machines.move = lambda *_: None

    def no_quota(self):
        self.azure.cloud.quota[VARIABLES["size"]] = 0

    def break_new(self):
        (made,) = [one for one in self.azure.cloud.of(SET) if one.body["tags"]["vitrine-image"] == self.new]
        made.properties["provisioningState"] = "Failed"

    def too_much(self):
        return ({"network": "10.78.0.0/24"}, {"location": "westeurope"})

    def enough(self):
        return {"client_networks": ["198.51.100.0/24"], "model_disk_gib": 2, "replicas": 3}


@pytest.fixture
def scene(azure, tmp_path):
    made = Azure(azure, Releases(tmp_path))
    made.again()
    return made


class TestRollout(RollingTests):
    """All that every vendor's rollouts hold to."""
