"""Action ``bake_seal``: clean the configured tree, ask the refuse gate, pack the image."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.bake import Bake, seal
from provisioner.errors import ProvisionError

# As `bake_prepare` returned it.
ARGUMENTS = {"bake": {"type": "dict", "required": True}}


class ActionModule(ActionBase):
    """Runs in the controller, so that the packing is seen."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(ARGUMENTS)
        if self._task.check_mode:
            return result | {"changed": True, "skipped": True, "msg": "would pack the image"}
        try:
            image = seal(Bake.from_vars(wanted["bake"]), progress=lambda text: Display().display(f"  {text}"))
        except ProvisionError as error:
            raise AnsibleActionFail(f"bake: {error}") from None
        return result | {"changed": True, "image": str(image.path)}
