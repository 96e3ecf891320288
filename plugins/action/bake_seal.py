"""Action ``bake_seal``: clean the configured tree, ask the refuse gate, pack the image."""

from __future__ import annotations

from provisioner.action import Action
from provisioner.bake import Bake, seal

# As `bake_prepare` returned it.
ARGUMENTS = {"bake": {"type": "dict", "required": True}}


class ActionModule(Action):
    """Shows the packing."""

    what, arguments = "bake", ARGUMENTS

    def act(self, wanted):
        if self.pretend:
            return {"changed": True, "skipped": True, "msg": "would pack the image"}
        image = seal(Bake.from_vars(wanted["bake"]), progress=self.say)
        return {"changed": True, "image": str(image.path)}
