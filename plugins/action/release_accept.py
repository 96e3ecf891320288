"""Action ``release_accept``: judge what runs by the candidate (or published) release, then publish it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from provisioner.acceptance import accept
from provisioner.action import Action
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


class ActionModule(Action):
    """Is a client like any other."""

    what, arguments = "acceptance", ARGUMENTS

    def act(self, wanted):
        """Judge, and publish what was judged by: nobody else may touch the release in between."""
        if self.pretend:
            return {"skipped": True, "msg": f"would verify {wanted['origin'] or wanted['vm']['name']}"}
        root, seconds = Path(wanted["root"]), wanted["seconds"]
        before = _bytes(root / RELEASE)
        # What is published is what was judged: nobody else may touch the release in between.
        with sole(root) if wanted["publish"] else nullcontext():
            target = target_of(_deployment(wanted), seconds=seconds, progress=self.say)
            report = accept(target, seconds=seconds, progress=self.say, keep=keeper(root, self.say))
            published = promote(root) if wanted["publish"] else target.release
        return {
            "changed": _bytes(published) != before,
            "release": str(published),
            "checks": len(report["checks"]),
        }


def _deployment(wanted):
    return Deployment(
        variables=wanted["vm"],
        root=Path(wanted["root"]),
        origin=wanted["origin"] or "",
        candidate=wanted["publish"],
        simulated_cloud=Path(wanted["simulated_cloud"]) if wanted["simulated_cloud"] else None,
    )


def _bytes(path):
    return path.read_bytes() if path.exists() else b""
