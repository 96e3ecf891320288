"""Action ``vm_launch``: make a deployment be as planned, or leave the one alone that is; wait until it serves."""

from __future__ import annotations

from pathlib import Path

from provisioner.action import Action
from provisioner.baked import image_of
from provisioner.candidate import sign_for
from provisioner.image.artefacts import open_image
from provisioner.image.firmware import firmware, has_firmware
from provisioner.launch import launch, preview, warnings, write_policy

ARGUMENTS = {
    "image": {"type": "path", "required": True},
    "root": {"type": "path", "required": True},
    "cache": {"type": "path", "required": True},
    "gateway_port": {"type": "int", "required": True},
    "vm": {"type": "dict", "required": True},
    "seconds": {"type": "float", "default": 600},
}


class ActionModule(Action):
    """Shows the wait for booting machines."""

    what, arguments = "launch", ARGUMENTS

    def act(self, wanted):
        told, root = wanted["vm"], Path(wanted["root"])
        image = self._image(wanted)
        if self.pretend:
            plan = preview(told, image, root)
            for text in warnings(told, image, root):
                self.say(f"warning: {text}")
            return {"changed": True, "diff": {"prepared": plan}, "endpoint": f"the endpoint of {told['name']}"}
        vm, changed = launch(told, image, root, seconds=wanted["seconds"], progress=self.say)
        policy = write_policy(told, image, root)
        return {"changed": changed, "endpoint": vm.endpoint, "policy": str(policy or ""), **dict(vm.facts)}

    def _image(self, wanted):
        """Name the image; one that a check run did not bake has no files yet, and a plan needs none."""
        path, cache = Path(wanted["image"]), Path(wanted["cache"])
        found = firmware(cache) if has_firmware(cache) else None
        folder = found.code.parent if found else cache / "firmware"
        if self.pretend:
            return image_of(path, wanted["gateway_port"], firmware=folder)
        open_image(path)
        signed = sign_for(wanted["vm"], path, Path(wanted["root"]), found)
        return image_of(path, wanted["gateway_port"], signed=signed, firmware=signed.folder if signed else folder)
