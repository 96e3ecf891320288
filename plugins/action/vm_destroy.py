"""Action ``vm_destroy``: stop a VM and remove its state; one that is not there is fine."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.errors import ProvisionError
from provisioner.launch import destroy

ARGUMENTS = {
    "root": {"type": "path", "required": True},
    "vm": {"type": "dict", "required": True},
}


class ActionModule(ActionBase):
    """Runs in the controller."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(ARGUMENTS)
        try:
            there = destroy(
                wanted["vm"],
                Path(wanted["root"]),
                pretend=self._task.check_mode,
                progress=lambda text: Display().display(f"  {text}"),
            )
        except ProvisionError as error:
            raise AnsibleActionFail(f"destroy: {error}") from None
        if not there:
            Display().display(f"  there is no VM {wanted['vm'].get('name')} in {wanted['root']}")
        return result | {"changed": there}
