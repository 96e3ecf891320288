"""Action ``inventory_check``: read the whole inventory before anything is made; all faults at once, one a line."""

from __future__ import annotations

import json
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.utils.vars import load_extra_vars

from provisioner.action import Action
from provisioner.bake import Bake, require_own_code, role_options
from provisioner.image.sources import Sources
from provisioner.inventory import Told, require
from provisioner.variables import OPERATOR

# Found by this file: a playbook that imports ours may lie anywhere.
REPOSITORY = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    # Which playbook begins with it: each needs something else of the inventory.
    "playbook": {"type": "str", "required": True, "choices": ["bake", "deploy", "rollout", "verify", "destroy"]},
}
# Ansible's own, which hold everything else once more.
_MAGIC = {"hostvars", "vars", "groups", "environment", "omit"}


class ActionModule(Action):
    """Looks at variables alone: whatever needs a cloud or an image comes later."""

    what, arguments = "inventory", ARGUMENTS

    def act(self, wanted):
        require_own_code(REPOSITORY)
        options = role_options(REPOSITORY)
        values, unresolved = self._resolved({*OPERATOR, *options})
        output, cache = (values.get(name) or f"{REPOSITORY}/build" for name in ("bake_output", "bake_cache"))
        given = {name: json.dumps(value) for name, value in values.items() if name in options}
        require(
            Told(
                playbook=wanted["playbook"],
                names=frozenset(self.variables),
                values=values,
                unresolved=unresolved,
                text=self._text(),
                given=frozenset(load_extra_vars(self._loader)),
                sources=tuple(self.variables.get("ansible_inventory_sources") or ()),
                roles=tuple(path.name for path in (REPOSITORY / "roles").iterdir()),
                options=options,
                bake=Bake(REPOSITORY, Path(output), Sources(cache=Path(cache), mode="test"), given),
                build=REPOSITORY / "build",
                real=not self.pretend,
            )
        )
        return {"changed": False, "root": str(REPOSITORY / "build" / values["deploy_vm"]["name"])}

    def _resolved(self, names):
        """Resolve the variables that are set; return those that cannot be with the reason."""
        values, unresolved = {}, {}
        for name in names & self.variables.keys():
            try:
                # Through JSON: Ansible's own kinds of text and number stay here.
                values[name] = json.loads(json.dumps(self._templar.template(self.variables[name])))
            except AnsibleError as error:
                unresolved[name] = next(iter(str(error.message or error).strip().splitlines()), "an error")
        return values, unresolved

    def _text(self):
        """Return every template that the inventory says, as it is written: what a variable is read by."""
        said = [self.variables[name] for name in self.variables.keys() - _MAGIC if not name.startswith("ansible_")]
        return "\n".join(text for text in _texts(said) if "{{" in text or "{%" in text)


def _texts(value):
    """Yield the texts in a value of whatever shape; the keys of mappings are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
