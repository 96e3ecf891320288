"""Action ``bake_prepare``: compute the key of the bake; make a fresh tree unless its image exists already."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

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
from provisioner.errors import ProvisionError
from provisioner.room import require_room
from provisioner.variables import refuse_unknown

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


class ActionModule(ActionBase):
    """Runs in the controller, so that the download and the bootstrap are seen."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(ARGUMENTS)
        try:
            bake = self._bake(wanted, task_vars or {})
            done = finished(bake)
            missing = done is None and not self._task.check_mode
            port = bake.service().port
            if missing:
                self._require_room(bake, task_vars or {})
            tree = str(prepare(bake, owner=os.getppid(), progress=self._say)) if missing else ""
        except ProvisionError as error:
            raise AnsibleActionFail(f"bake: {error}") from None
        return result | {
            "finished": done is not None,
            "changed": done is None,
            "image": str(bake.image()),
            "gateway_port": port,
            "cache": wanted["cache"],
            "tree": tree,
            "bake": bake.to_vars(),
        }

    def _bake(self, wanted: dict, variables: dict) -> Bake:
        require_own_code(REPOSITORY)
        options = role_options(REPOSITORY)
        refuse_unknown(variables, (path.name for path in (REPOSITORY / "roles").iterdir()), options)
        addresses = Addresses(wanted["mirror"], wanted["security_mirror"], wanted["hub"])
        sources = read_sources(Path(wanted["cache"]), wanted["mode"], addresses)
        values = {
            name: json.dumps(self._templar.template(variables[name]), sort_keys=True)
            for name in options
            if name in variables
        }
        commit = read_commit(REPOSITORY, wanted["mode"], wanted["source_commit"])
        return Bake(REPOSITORY, Path(wanted["output"]), sources, values, commit)

    def _require_room(self, bake: Bake, variables: dict) -> None:
        if "deploy_vm" in variables:
            require_room(bake, self._templar.template(variables["deploy_vm"]), progress=self._say)
        else:
            self._say("no deploy_vm in this inventory: whether the models fit its GPU is not checked")

    def _say(self, text: str) -> None:
        Display().display(f"  {text}")
