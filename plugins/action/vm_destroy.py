"""Action ``vm_destroy``: take a deployment away, machines and all that was made for them; nothing there is fine."""

from __future__ import annotations

from pathlib import Path

from provisioner.action import Action
from provisioner.launch import destroy

ARGUMENTS = {
    "root": {"type": "path", "required": True},
    "vm": {"type": "dict", "required": True},
}


class ActionModule(Action):
    """A check run names what would go."""

    what, arguments = "destroy", ARGUMENTS

    def act(self, wanted):
        there = destroy(wanted["vm"], Path(wanted["root"]), pretend=self.pretend, progress=self.say)
        return {"changed": there}
