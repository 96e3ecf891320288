"""Inventory plugin: the nodes of deployments as hosts, with what ``vitrine status`` knows of each."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable

from provisioner.errors import ProvisionError
from provisioner.status.hosts import aged, present, require_others, survey
from provisioner.status.run import BUILD

DOCUMENTATION = """
name: vitrine
short_description: the nodes of deployments, with release, image and last verdict
description:
  - Reads what C(vitrine status) reads; the configuration's name ends in C(.vitrine.yml).
  - Groups are C(cloud_<cloud>), C(deployment_<name>) and C(verdict_<accepted, refused or none>).
  - Nodes have no login. Their connection C(sealed) refuses every task, and says so.
options:
  plugin:
    description: this plugin's name
    type: str
    required: true
    choices: [vitrine]
  inventories:
    description: the inventories whose deployments are listed; relative paths begin at the configuration's folder
    type: list
    elements: str
    required: true
extends_documentation_fragment: inventory_cache
"""


class InventoryModule(BaseInventoryPlugin, Cacheable):
    """A cloud that cannot be asked is an error: hosts that are left out would look like hosts that are gone."""

    NAME = "vitrine"

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith((".vitrine.yml", ".vitrine.yaml"))

    def parse(self, inventory, loader, path, cache=True):  # noqa: FBT002 - Ansible's own signature
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        try:
            found = self._found(Path(path), cache=cache)
        except ProvisionError as error:
            raise AnsibleParserError(f"vitrine: {error}") from error
        for name, told in aged(found["hosts"], present()).items():
            inventory.add_host(name)
            for variable, value in told.items():
                inventory.set_variable(name, variable, value)
        for group, members in found["groups"].items():
            inventory.add_group(group)
            for name in members:
                inventory.add_child(group, name)

    def _found(self, path, *, cache):
        key = self.get_cache_key(str(path))
        may_read = cache and self.get_option("cache")
        if may_read and key in self._cache:
            return self._cache[key]
        inventories = [path.parent / one for one in self.get_option("inventories")]
        require_others(path, inventories)
        found = survey(inventories, BUILD, present())
        if self.get_option("cache"):
            self._cache[key] = found
        return found
