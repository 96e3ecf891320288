"""Reading an inventory outside a playbook: with Ansible's own classes, and of it all ``deploy_vm`` alone.

Beside ``action.py`` this is the one file of the provisioner that imports Ansible; a test says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.config.manager import ConfigManager
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.vars.manager import VariableManager

from provisioner.errors import Fault, SpecError

CHECKOUT = Path(__file__).resolve().parents[2]
_HOST = "localhost"  # where every playbook of ours runs
_VARIABLE = "deploy_vm"


def default_inventory() -> Path:
    """Return the inventory that the checkout's ansible.cfg (or ANSIBLE_INVENTORY) names.

    Raises:
        SpecError: there is no checkout around this code.
    """
    config = CHECKOUT / "ansible.cfg"
    if not config.is_file():
        raise SpecError((Fault("-i", "an inventory: this code is in no checkout whose ansible.cfg names one", "none"),))
    try:
        return Path(ConfigManager(conf_file=str(config)).get_config_value("DEFAULT_HOST_LIST")[0])
    except AnsibleError as error:
        raise SpecError((Fault(str(config), "a configuration of Ansible's", _first_line(error)),)) from error


def deploy_vm(source: Path, name: str = "") -> dict[str, Any]:
    """Return ``deploy_vm`` as a playbook with this inventory sees it; ``name`` is what ``-e deploy_name=`` would be.

    What other ``-e`` a deployment was made with is not known here.

    Raises:
        SpecError: there is no such inventory, it does not say ``deploy_vm``, or something in that cannot be resolved.
    """
    if not source.exists():
        raise SpecError((Fault("-i", "an inventory, such as inventories/local", f"{source}, which is not there"),))
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader([])
    try:
        found = _resolved(source, name)
    except AnsibleError as error:
        raise SpecError((Fault(str(source), f"an inventory that says {_VARIABLE}", _first_line(error)),)) from error
    if not isinstance(found, dict):
        raise SpecError((Fault(_VARIABLE, f"a mapping in the variables of {source}", type(found).__name__),))
    if name and found.get("name") != name:
        raise SpecError((Fault("--name", f"a {_VARIABLE}.name that follows deploy_name", repr(found.get("name"))),))
    return found


def _resolved(source: Path, name: str) -> Any:
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(source)])
    variables = VariableManager(loader=loader, inventory=inventory).get_vars(
        host=inventory.get_host(_HOST), include_hostvars=False
    )
    if name:
        variables["deploy_name"] = name
    if _VARIABLE not in variables:
        return None
    # Through JSON: Ansible's own kinds of text and number stay here.
    return json.loads(json.dumps(Templar(loader=loader, variables=variables).template(variables[_VARIABLE])))


def _first_line(error: AnsibleError) -> str:
    return next(iter(str(error.message or error).strip().splitlines()), type(error).__name__)
