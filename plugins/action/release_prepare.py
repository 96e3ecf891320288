"""Action ``release_prepare``: predict what an image measures, write manifest and signed release as candidates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from provisioner.errors import ProvisionError
from provisioner.image.firmware import firmware
from provisioner.platforms import LOCAL, local_secure_boot
from provisioner.publish import prepare
from provisioner.secure_boot import signed_image

ARGUMENTS = {
    "image": {"type": "path", "required": True},
    "root": {"type": "path", "required": True},
    "service": {"type": "str", "required": True},
    "cache": {"type": "path", "required": True},
    "secure_boot": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Runs in the controller; touches files under ``root`` alone."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(ARGUMENTS)
        if self._task.check_mode:
            return result | {"changed": True, "skipped": True, "msg": "would predict and sign a candidate release"}
        try:
            image, root = Path(wanted["image"]), Path(wanted["root"])
            platform = LOCAL
            if wanted["secure_boot"]:
                platform = local_secure_boot(signed_image(image, root, firmware(Path(wanted["cache"]))))
            candidate = prepare(image, root, service=wanted["service"], now=datetime.now(UTC), platforms=(platform,))
        except ProvisionError as error:
            raise AnsibleActionFail(f"release: {error}") from None
        return result | {
            "changed": candidate.changed,
            "candidate": str(candidate.release),
            "number": candidate.number,
        }
