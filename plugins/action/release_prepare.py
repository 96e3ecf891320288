"""Action ``release_prepare``: predict what an image measures, write manifest and signed release as candidates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.candidate import Wanted, prepare_candidate
from provisioner.clouds import Image
from provisioner.errors import ProvisionError
from provisioner.image.artefacts import FILES
from provisioner.image.firmware import firmware, has_firmware

ARGUMENTS = {
    "image": {"type": "path", "required": True},
    "root": {"type": "path", "required": True},
    "service": {"type": "str", "required": True},
    "cache": {"type": "path", "required": True},
    "gateway_port": {"type": "int", "required": True},
    "vm": {"type": "dict", "required": True},
    # A file of signed platform values; clouds need one (docs/pcrs.md).
    "platform_values": {"type": "path"},
    # Numbers of published releases that clients of the new one shall refuse.
    "revokes": {"type": "list", "elements": "int", "default": []},
}
_NONE = "there are no platform values yet (deploy_platform_values): the machine runs, and no release is made for it"


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
            candidate = prepare_candidate(self._wanted(wanted), Path(wanted["root"]), now=datetime.now(UTC))
        except ProvisionError as error:
            raise AnsibleActionFail(f"release: {error}") from None
        if candidate is None:
            Display().display(f"  {_NONE}")
            return result | {"changed": False, "msg": _NONE}
        return result | {
            "changed": candidate.changed,
            "candidate": str(candidate.release),
            "number": candidate.number,
        }

    def _wanted(self, wanted: dict) -> Wanted:
        folder, cache, values = Path(wanted["image"]), Path(wanted["cache"]), wanted["platform_values"]
        found = firmware(cache) if has_firmware(cache) else None
        image = Image(
            key=folder.name,
            boot_disk=folder / FILES["boot_disk"],
            model_disk=folder / FILES["model_disk"],
            gateway_port=wanted["gateway_port"],
            firmware=found.code.parent if found else cache / "firmware",
        )
        return Wanted(
            variables=wanted["vm"],
            image=image,
            folder=folder,
            service=wanted["service"],
            firmware=found,
            values=Path(values) if values else None,
            revokes=tuple(wanted["revokes"]),
        )
