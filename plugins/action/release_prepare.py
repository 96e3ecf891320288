"""Action ``release_prepare``: predict what an image measures, write manifest and signed release as candidates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from provisioner.action import Action
from provisioner.baked import image_of
from provisioner.candidate import Wanted, prepare_candidate
from provisioner.image.firmware import firmware, has_firmware

ARGUMENTS = {
    "image": {"type": "path", "required": True},
    "root": {"type": "path", "required": True},
    "service": {"type": "str", "required": True},
    "cache": {"type": "path", "required": True},
    "gateway_port": {"type": "int", "required": True},
    "vm": {"type": "dict", "required": True},
    # A file of signed platform values; clouds need one (docs/operator.md).
    "platform_values": {"type": "path"},
    # Numbers of published releases that clients of the new one shall refuse.
    "revokes": {"type": "list", "elements": "int", "default": []},
}
_NONE = "there are no platform values yet (deploy_platform_values): the machine runs, and no release is made for it"
_DEBUG = "DEBUG: this release is of an image with a console, where every prompt can be read; clients refuse it"


class ActionModule(Action):
    """Touches files under ``root`` alone."""

    what, arguments = "release", ARGUMENTS

    def act(self, wanted):
        if self.pretend:
            return {"changed": True, "skipped": True, "msg": "would predict and sign a candidate release"}
        candidate = prepare_candidate(self._wanted(wanted), Path(wanted["root"]), now=datetime.now(UTC))
        if candidate is None:
            self.say(_NONE)
            return {"changed": False, "msg": _NONE}
        if candidate.debug:
            self.say(_DEBUG)
        return {"changed": candidate.changed, "candidate": str(candidate.release), "number": candidate.number}

    def _wanted(self, wanted):
        folder, cache, values = Path(wanted["image"]), Path(wanted["cache"]), wanted["platform_values"]
        found = firmware(cache) if has_firmware(cache) else None
        return Wanted(
            variables=wanted["vm"],
            image=image_of(folder, wanted["gateway_port"], firmware=found.code.parent if found else None),
            folder=folder,
            service=wanted["service"],
            firmware=found,
            values=Path(values) if values else None,
            revokes=tuple(wanted["revokes"]),
        )
