"""Action ``release_accept``: judge the running VM by the candidate (or published) release, then publish it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.acceptance import accept
from provisioner.errors import ProvisionError
from provisioner.publish import RELEASE, promote, sole
from provisioner.target import Deployment, target_of
from provisioner.verdict import keeper

ARGUMENTS = {
    "root": {"type": "path", "required": True},
    # Where clients connect; without, the cloud says where the deployment of `vm` is.
    "origin": {"type": "str"},
    "vm": {"type": "dict", "required": True},
    "seconds": {"type": "float", "default": 600},
    "publish": {"type": "bool", "default": True},
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
        if self._task.check_mode:
            return result | {"skipped": True, "msg": f"would verify {wanted['origin'] or wanted['vm'].get('name')}"}
        try:
            return result | self._accepted(wanted, Path(wanted["root"]))
        except ProvisionError as error:
            raise AnsibleActionFail(f"acceptance: {error}") from None

    def _accepted(self, wanted: dict, root: Path) -> dict:
        """Judge, and publish what was judged by: nobody else may touch the release in between."""
        told = Deployment(
            variables=wanted["vm"],
            root=root,
            origin=wanted["origin"] or "",
            candidate=wanted["publish"],
            simulated_cloud=Path(wanted["simulated_cloud"]) if wanted["simulated_cloud"] else None,
        )
        before = _bytes(root / RELEASE)
        with sole(root) if wanted["publish"] else nullcontext():
            target = target_of(told, seconds=wanted["seconds"], progress=_say)
            report = accept(target, seconds=wanted["seconds"], progress=_say, keep=keeper(root, _say))
            published = promote(root) if wanted["publish"] else target.release
        return {
            "changed": _bytes(published) != before,
            "release": str(published),
            "checks": len(report["checks"]),
        }


def _say(text: str) -> None:
    Display().display(f"  {text}")


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
