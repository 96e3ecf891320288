"""Action ``rollout``: bring a group of machines to an image, none of them unverified, and publish its release."""

from __future__ import annotations

from pathlib import Path

from provisioner.action import Action
from provisioner.baked import image_of
from provisioner.candidate import sign_for
from provisioner.image.artefacts import open_image
from provisioner.launch import warnings
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


class ActionModule(Action):
    """Is a client like any other."""

    what, arguments = "rollout", ARGUMENTS

    def act(self, wanted):
        cloud = rolling_cloud(wanted["vm"], Path(wanted["root"]))
        rollout = self._rollout(wanted)
        if self.pretend:
            for text in warnings(rollout.variables, rollout.image, rollout.root):
                self.say(f"warning: {text}")
            return {"changed": True, "diff": {"prepared": preview(rollout, cloud)}}
        return {"changed": roll_out(rollout, cloud, _client(wanted), progress=self.say)}

    def _rollout(self, wanted):
        path, root, signed = Path(wanted["image"]), Path(wanted["root"]), None
        if not self.pretend:
            open_image(path)
            signed = sign_for(wanted["vm"], path, root, None)
        return Rollout(
            variables=wanted["vm"],
            image=image_of(path, wanted["gateway_port"], signed=signed),
            root=root,
            seconds=wanted["seconds"],
            announce=wanted["announce_seconds"],
            overlap=wanted["overlap_seconds"],
        )


def _client(wanted):
    ca, root = wanted["simulated_cloud"], Path(wanted["root"])
    simulated = Path(ca) if ca else None
    told = Deployment(variables=wanted["vm"], root=root, origin="", candidate=True, simulated_cloud=simulated)
    return AsClient(told, seconds=wanted["seconds"])
