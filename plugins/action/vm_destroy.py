"""Action `vm_destroy`: stop a VM and remove its state; one that is not there is fine."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.clouds import QemuCloud
from provisioner.errors import ProvisionError

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
        name = wanted["vm"]["name"]
        try:
            cloud = QemuCloud(Path(wanted["root"]))
            there = cloud.find(name) is not None
            if there and not self._task.check_mode:
                cloud.destroy(name, progress=lambda text: Display().display(f"  {text}"))
        except ProvisionError as error:
            raise AnsibleActionFail(f"destroy: {error}") from error
        return result | {"changed": there}
