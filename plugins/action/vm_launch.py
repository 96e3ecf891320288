"""Action ``vm_launch``: start the VM of a baked image, or leave the one that runs with the same plan alone."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.candidate import sign_for
from provisioner.clouds import Image
from provisioner.errors import ProvisionError
from provisioner.image.artefacts import FILES, open_image
from provisioner.image.firmware import firmware, has_firmware
from provisioner.launch import launch, preview, write_policy

ARGUMENTS = {
    "image": {"type": "path", "required": True},
    "root": {"type": "path", "required": True},
    "cache": {"type": "path", "required": True},
    "gateway_port": {"type": "int", "required": True},
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
        root = Path(wanted["root"])
        try:
            if self._task.check_mode:
                plan = preview(wanted["vm"], self._image(wanted), root)
                where = f"the endpoint of {wanted['vm'].get('name')}"
                return result | {"changed": True, "skipped": False, "diff": {"prepared": plan}, "endpoint": where}
            vm, changed = launch(
                wanted["vm"],
                self._image(wanted),
                root,
                seconds=wanted["seconds"],
                progress=lambda text: Display().display(f"  {text}"),
            )
        except ProvisionError as error:
            raise AnsibleActionFail(f"launch: {error}") from None
        policy = write_policy(wanted["vm"], self._image(wanted), root)
        return result | {"changed": changed, "endpoint": vm.endpoint, "policy": str(policy or ""), **dict(vm.facts)}

    def _image(self, wanted: dict) -> Image:
        """Name the image; one that a check run did not bake has no files yet, and a plan needs none."""
        path, cache = Path(wanted["image"]), Path(wanted["cache"])
        boot_disk = path / FILES["boot_disk"]
        folder = firmware(cache).code.parent if has_firmware(cache) else cache / "firmware"
        if not self._task.check_mode:
            open_image(path)
            signed = sign_for(wanted["vm"], path, Path(wanted["root"]), firmware(cache))
            if signed is not None:
                boot_disk, folder = signed.boot_disk, signed.folder
        return Image(
            key=path.name,
            boot_disk=boot_disk,
            model_disk=path / FILES["model_disk"],
            gateway_port=wanted["gateway_port"],
            firmware=folder,
        )
