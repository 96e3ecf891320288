"""Action ``rollout``: bring a group of machines to an image, none of them unverified, and publish its release."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.candidate import sign_for
from provisioner.clouds import Image
from provisioner.errors import ProvisionError
from provisioner.image.artefacts import FILES, open_image
from provisioner.meeting import AsClient
from provisioner.rollout import Rollout, preview, roll_out, rolling_cloud
from provisioner.target import Deployment

ARGUMENTS = {
    "image": {"type": "path", "required": True},
    "root": {"type": "path", "required": True},
    "gateway_port": {"type": "int", "required": True},
    "vm": {"type": "dict", "required": True},
    "announce_seconds": {"type": "float", "default": 900},
    "overlap_seconds": {"type": "float", "default": 3600},
    "seconds": {"type": "float", "default": 600},
    # For tests: the CA of a pretended cloud's attestation keys. Nothing that it vouches for proves anything.
    "simulated_cloud": {"type": "path"},
}


class ActionModule(ActionBase):
    """Runs in the controller: it is a client like any other."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(ARGUMENTS)
        try:
            cloud = rolling_cloud(wanted["vm"], Path(wanted["root"]))
            rollout = self._rollout(wanted)
            if self._task.check_mode:
                return result | {"changed": True, "skipped": False, "diff": {"prepared": preview(rollout, cloud)}}
            changed = roll_out(rollout, cloud, self._client(wanted), progress=self._say)
        except ProvisionError as error:
            raise AnsibleActionFail(f"rollout: {error}") from None
        return result | {"changed": changed}

    def _rollout(self, wanted: dict) -> Rollout:
        path, root = Path(wanted["image"]), Path(wanted["root"])
        boot_disk = path / FILES["boot_disk"]
        if not self._task.check_mode:
            open_image(path)
            signed = sign_for(wanted["vm"], path, root, None)
            boot_disk = boot_disk if signed is None else signed.boot_disk
        image = Image(
            key=path.name,
            boot_disk=boot_disk,
            model_disk=path / FILES["model_disk"],
            gateway_port=wanted["gateway_port"],
            firmware=path,  # a cloud brings its own
        )
        waits = {key: wanted[f"{key}_seconds"] for key in ("announce", "overlap")}
        return Rollout(variables=wanted["vm"], image=image, root=root, seconds=wanted["seconds"], **waits)

    def _client(self, wanted: dict) -> AsClient:
        ca, root = wanted["simulated_cloud"], Path(wanted["root"])
        simulated = Path(ca) if ca else None
        told = Deployment(variables=wanted["vm"], root=root, origin="", candidate=True, simulated_cloud=simulated)
        return AsClient(deployment=told, seconds=wanted["seconds"])

    def _say(self, text: str) -> None:
        Display().display(f"  {text}")
