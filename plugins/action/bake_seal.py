"""Action `bake_seal`: clean the configured tree, ask the refuse gate, pack the image."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.bake import Bake, read_sources, seal
from provisioner.errors import BakeError, ProvisionError

# Found by this file: a playbook that imports ours may lie anywhere.
REPOSITORY = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    "output": {"type": "path", "default": str(REPOSITORY / "build/images")},
    "cache": {"type": "path", "default": str(REPOSITORY / "build/cache")},
    "mode": {"type": "str", "default": "test"},
    "mirror": {"type": "str", "default": ""},
    "security_mirror": {"type": "str", "default": ""},
    "key": {"type": "str", "required": True},
    "values": {"type": "dict", "required": True},
    "commit": {"type": "str", "required": True},
}


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
            sources = read_sources(Path(wanted["cache"]), wanted["mode"], wanted["mirror"], wanted["security_mirror"])
            bake = Bake(REPOSITORY, Path(wanted["output"]), sources, wanted["values"], wanted["commit"])
            if bake.key() != wanted["key"]:
                raise BakeError("the sources changed while the roles were applied; run the bake again")
            image = seal(bake, progress=lambda text: Display().display(f"  {text}"))
        except ProvisionError as error:
            raise AnsibleActionFail(f"bake: {error}") from error
        return result | {"changed": True, "image": str(image.path)}
