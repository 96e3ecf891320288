"""Action ``release_accept``: judge the running VM by the candidate (or published) release, then publish it."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.acceptance import Target, Trust, accept
from provisioner.clouds.tpm_ca import CERTIFICATE
from provisioner.errors import ProvisionError
from provisioner.publish import CANDIDATES, PUBLISHER, RELEASE, promote
from provisioner.verdict import keeper

ARGUMENTS = {
    "root": {"type": "path", "required": True},
    "origin": {"type": "str", "required": True},
    "seconds": {"type": "float", "default": 600},
    "publish": {"type": "bool", "default": True},
    # A policy file and a folder of collateral; without, the CA of the local VM's software TPM is what counts.
    "policy": {"type": "path"},
    "collateral": {"type": "path"},
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
        target = Target(wanted["origin"], release, root / PUBLISHER, self._trust(wanted), self._collateral(wanted))
        try:
            report = accept(target, seconds=wanted["seconds"], progress=_say, keep=keeper(root, _say))
        except ProvisionError as error:
            raise AnsibleActionFail(f"acceptance: {error}") from None
        published = promote(root) if wanted["publish"] else release
        return result | {
            "changed": _bytes(published) != before,
            "release": str(published),
            "checks": len(report["checks"]),
        }

    def _trust(self, wanted: dict) -> Trust:
        if wanted["policy"]:
            return Trust("policy", Path(wanted["policy"]))
        return Trust("simulated", Path(wanted["root"]) / CERTIFICATE)

    def _collateral(self, wanted: dict) -> Path | None:
        return Path(wanted["collateral"]) if wanted["collateral"] else None


def _say(text: str) -> None:
    Display().display(f"  {text}")


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
