"""Action ``vm_launch``: start the VM of a baked image, or leave the one that runs with the same plan alone."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.errors import ProvisionError
from provisioner.image.artefacts import open_image
from provisioner.image.firmware import firmware
from provisioner.launch import launch
from provisioner.secure_boot import signed_image
from provisioner.spec import VmSpec

ARGUMENTS = {
    "image": {"type": "path", "required": True},
    "root": {"type": "path", "required": True},
    "cache": {"type": "path", "required": True},
    "vm": {"type": "dict", "required": True},
    "seconds": {"type": "float", "default": 600},
}


class ActionModule(ActionBase):
    """Runs in the controller, so that the wait for a booting VM is seen."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(ARGUMENTS)
        try:
            spec = VmSpec.from_vars(self._spec(wanted))
            if self._task.check_mode:
                return result | {"changed": True, "skipped": True, "msg": f"would launch {spec.name}"}
            vm, changed = launch(
                spec,
                Path(wanted["root"]),
                seconds=wanted["seconds"],
                progress=lambda text: Display().display(f"  {text}"),
            )
        except ProvisionError as error:
            raise AnsibleActionFail(f"launch: {error}") from None
        return result | {"changed": changed, "endpoint": vm.endpoint, "pid": vm.pid, "accelerator": vm.accelerator}

    def _spec(self, wanted: dict) -> dict:
        image = open_image(Path(wanted["image"]))
        ours = firmware(Path(wanted["cache"]))
        boot_disk, folder = image.boot_disk, ours.code.parent
        if wanted["vm"].get("secure_boot") is True and not self._task.check_mode:
            signed = signed_image(image.path, Path(wanted["root"]), ours)
            boot_disk, folder = signed.boot_disk, signed.folder
        return wanted["vm"] | {
            "boot_disk": str(boot_disk),
            "model_disk": str(image.model_disk),
            "gateway_port": image.service.port,
            "firmware": str(folder),
        }
