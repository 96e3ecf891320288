"""Action ``bake_prepare``: compute the key of the bake; make a fresh tree unless its image exists already."""

from __future__ import annotations

import json
import os
from pathlib import Path

from provisioner.access import require_service
from provisioner.action import Action
from provisioner.bake import (
    Addresses,
    Bake,
    finished,
    prepare,
    read_commit,
    read_sources,
    require_own_code,
    role_options,
)
from provisioner.errors import SpecError
from provisioner.room import require_room

# Found by this file: a playbook that imports ours may lie anywhere.
REPOSITORY = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    "output": {"type": "path", "default": str(REPOSITORY / "build/images")},
    "cache": {"type": "path", "default": str(REPOSITORY / "build/cache")},
    "mode": {"type": "str", "default": "test"},
    "mirror": {"type": "str", "default": ""},
    "security_mirror": {"type": "str", "default": ""},
    "hub": {"type": "str", "default": ""},
    "source_commit": {"type": "str", "default": ""},
}


class ActionModule(Action):
    """Shows the download and the bootstrap."""

    what, arguments = "bake", ARGUMENTS

    def act(self, wanted):
        bake = self._bake(wanted)
        done = finished(bake)
        missing = done is None and not self.pretend
        port = bake.service().port
        if self.pretend:
            self._warn_of_access(bake, self._templar.template(self.variables.get("deploy_service", "")))
        if missing:
            self._require_room(bake)
        tree = str(prepare(bake, owner=os.getppid(), progress=self.say)) if missing else ""
        return {
            "finished": done is not None,
            "changed": done is None,
            "image": str(bake.image()),
            "gateway_port": port,
            "cache": wanted["cache"],
            "tree": tree,
            "bake": bake.to_vars(),
        }

    def _bake(self, wanted):
        require_own_code(REPOSITORY)
        addresses = Addresses(wanted["mirror"], wanted["security_mirror"], wanted["hub"])
        sources = read_sources(Path(wanted["cache"]), wanted["mode"], addresses)
        options = role_options(REPOSITORY)
        told = {name: self._templar.template(self.variables[name]) for name in options if name in self.variables}
        # A default that is said is a default: inventories that mean the same make the same image.
        values = {
            name: json.dumps(value, sort_keys=True, default=str)
            for name, value in told.items()
            if value != options[name]
        }
        commit = read_commit(REPOSITORY, wanted["mode"], wanted["source_commit"])
        return Bake(REPOSITORY, Path(wanted["output"]), sources, values, commit)

    def _require_room(self, bake):
        if "deploy_vm" in self.variables:
            require_room(bake, self._templar.template(self.variables["deploy_vm"]), progress=self.say)
        else:
            self.say("no deploy_vm in this inventory: whether the models fit its GPU is not checked")

    def _warn_of_access(self, bake, service):
        """Say what a real run refuses: a plan can be looked at before there is an issuer."""
        try:
            require_service(bake.access(), service)
        except SpecError as error:
            self.say(f"warning: a bake will be refused: {error}")
