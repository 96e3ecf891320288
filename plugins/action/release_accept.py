"""Action ``release_accept``: judge the running VM by the candidate (or published) release, then publish it."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.acceptance import Target, accept
from provisioner.errors import ProvisionError
from provisioner.publish import CANDIDATES, PUBLISHER, RELEASE, promote

ARGUMENTS = {
    "root": {"type": "path", "required": True},
    "origin": {"type": "str", "required": True},
    "seconds": {"type": "float", "default": 600},
    "publish": {"type": "bool", "default": True},
}


class ActionModule(ActionBase):
    """Runs in the controller: it is a client like any other."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(ARGUMENTS)
        if self._task.check_mode:
            return result | {"skipped": True, "msg": f"would verify {wanted['origin']}"}
        root = Path(wanted["root"])
        release = root / (CANDIDATES[RELEASE] if wanted["publish"] else RELEASE)
        before = _bytes(root / RELEASE)
        target = Target(wanted["origin"], release, root / PUBLISHER, root / "tpm-ca.pem")
        try:
            report = accept(target, seconds=wanted["seconds"], progress=lambda text: Display().display(f"  {text}"))
        except ProvisionError as error:
            raise AnsibleActionFail(f"acceptance: {error}") from None
        published = promote(root) if wanted["publish"] else release
        return result | {
            "changed": _bytes(published) != before,
            "release": str(published),
            "checks": len(report["checks"]),
        }


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
