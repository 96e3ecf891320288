"""``python -m provisioner.image.entry FOLDER``: print the entry of engine_weights for a model's files, hashed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from provisioner.image.files import sha256_of


def entry(folder: Path, *, name: str, repository: str, revision: str, hub: bool) -> dict[str, object]:
    """Hash every file below a folder, hidden ones left out; with ``hub`` the folder itself is not named."""
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = {path.as_posix(): sha256_of(folder / path) for path in paths if not path.as_posix().startswith(".")}
    told: dict[str, object] = {"name": name, "repository": repository, "revision": revision}
    return told | ({} if hub else {"folder": str(folder.resolve())}) | {"files": files}


def main() -> int:
    """Print it as YAML."""
    parser = argparse.ArgumentParser(prog="python -m provisioner.image.entry", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True, help="the model's name in engine_models")
    parser.add_argument("--repository", required=True, help="owner/name on the hub, or what else it is known by")
    parser.add_argument("--revision", required=True, help="the commit on the hub, or what else names this state")
    parser.add_argument("--hub", action="store_true", help="for files that a bake shall fetch from the hub")
    options = vars(parser.parse_args())
    sys.stdout.write(yaml.safe_dump({"engine_weights": [entry(options.pop("folder"), **options)]}, sort_keys=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
