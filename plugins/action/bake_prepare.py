"""Action ``bake_prepare``: compute the key of the bake; make a fresh tree unless its image exists already."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.access import require_service
from provisioner.bake import Bake, finished, prepare, read_commit, read_sources, require_own_code, role_options
from provisioner.errors import ProvisionError, SpecError
from provisioner.variables import refuse_unknown

# Found by this file: a playbook that imports ours may lie anywhere.
REPOSITORY = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    "output": {"type": "path", "default": str(REPOSITORY / "build/images")},
    "cache": {"type": "path", "default": str(REPOSITORY / "build/cache")},
    "mode": {"type": "str", "default": "test"},
    "mirror": {"type": "str", "default": ""},
    "security_mirror": {"type": "str", "default": ""},
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
            self._require_access(bake, self._templar.template((task_vars or {}).get("deploy_service", "")))
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
        sources = read_sources(Path(wanted["cache"]), wanted["mode"], wanted["mirror"], wanted["security_mirror"])
        told = {name: self._templar.template(variables[name]) for name in options if name in variables}
        # A default that is said is a default: inventories that mean the same make the same image.
        values = {
            name: json.dumps(value, sort_keys=True, default=str)
            for name, value in told.items()
            if value != options[name]
        }
        commit = read_commit(REPOSITORY, wanted["mode"], wanted["source_commit"])
        return Bake(REPOSITORY, Path(wanted["output"]), sources, values, commit)

    def _require_access(self, bake: Bake, service: str) -> None:
        try:
            require_service(bake.access(), service)
        except SpecError as error:
            if not self._task.check_mode:
                raise
            Display().warning(f"a bake will be refused: {error}")

    def _say(self, text: str) -> None:
        Display().display(f"  {text}")
