"""Images of the whole and of all but one role, for tests that show what each role is there for.

Nothing in a bake leaves a role out: this writes a playbook of its own, and asks the refuse gate by itself, so that a
tree which the gate refuses can be packed all the same. What it makes lies in the test's own folder.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from provisioner import bake as baking
from provisioner.bake import Bake
from provisioner.errors import BakeError
from provisioner.gate import refuse
from provisioner.image.normalise import clean
from provisioner.image.rootfs import load_rootfs
from provisioner.publish import prepare, promote
from tests.e2e.machine import BIN, CHECKOUT, run

PLAYBOOK = CHECKOUT / "playbooks/bake.yml"
INVENTORY = CHECKOUT / "inventories/local"


def bake(mode: str, folder: Path) -> Path:
    """Bake as `make bake` does, or find what was baked before; return the image's folder."""
    last = _keeping("{{ bake_image }}", folder / "image.txt")
    (folder / "bake.yml").write_text(yaml.safe_dump([{"import_playbook": str(PLAYBOOK)}, last]))
    _play(folder / "bake.yml", "-e", f"bake_mode={mode}")
    return Path((folder / "image.txt").read_text())


def bake_without(role: str, mode: str, folder: Path) -> tuple[Path, frozenset[str]]:
    """Bake all but one role; return the image's folder, and the rules of the gate that refused the tree."""
    first, roles, _ = yaml.safe_load(PLAYBOOK.read_text())
    roles["roles"] = [entry for entry in roles["roles"] if not _is(entry, role)]
    told = folder / "bake.json"
    last = _keeping("{{ bake_prepared.bake | to_json }}", told)
    (folder / "bake.yml").write_text(yaml.safe_dump([first, roles, last], sort_keys=False))
    # Other roles compare with these, and refuse where the role that has them is not there: that is a refusal, too.
    defaults = yaml.safe_load((CHECKOUT / "roles" / role / "defaults/main.yml").read_text()) or {}
    told_too = json.dumps({**defaults, "bake_mode": mode, "bake_output": str(folder / "images")})
    _play(folder / "bake.yml", "-e", told_too)
    made = Bake.from_vars(json.loads(told.read_text()))
    refused = _asked(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baking, "refuse", lambda *_: None)
        patch.setattr(baking, "refuse_on_trial", lambda *_, **__: None)
        return baking.seal(made, progress=print).path, refused


def publish(image: Path, root: Path) -> None:
    """Give an image a release, as its operator would."""
    prepare(image, root, service="vitrine-test", now=datetime.now(UTC))
    promote(root)


def _keeping(content: str, path: Path) -> dict[str, object]:
    copy = {"content": content, "dest": str(path), "mode": "0600"}
    return {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.copy": copy}]}


def _is(entry: str | dict[str, str], role: str) -> bool:
    return role == (entry if isinstance(entry, str) else entry["role"])


def _asked(made: Bake) -> frozenset[str]:
    """Ask the gate about the tree, as sealing would; return the rules that it breaks."""
    tree = load_rootfs(made.workdir()).tree
    clean(tree)
    try:
        refuse(tree, made.sources.mode)
    except BakeError as error:
        return frozenset(re.findall(r"^  \w+ \(([a-z0-9-]+)\): ", str(error), re.MULTILINE))
    return frozenset()


def _play(playbook: Path, *words: object) -> str:
    outcome = run(BIN / "ansible-playbook", playbook, "-i", INVENTORY, *words, seconds=900)
    assert outcome.status == 0, outcome.out[-4000:] + outcome.err[-2000:]
    return outcome.out
