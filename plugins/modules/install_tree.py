"""Ansible module: write a set of files, links and folders; it runs inside the root file system."""

from __future__ import annotations

import base64
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: install_tree
short_description: put a folder of files into the image in one task
description:
  - The action plugin of the same name reads the folder on the controller and fills in O(entries).
  - Everything becomes root's. Folders on the way are made with mode 0755. A link in the way is replaced, not followed.
options:
  entries: {description: "what to write: path, kind (file, link, directory), mode, content", type: list, elements: dict}
  remove: {description: globs of what goes away first, type: list, elements: str}
  keep: {description: patterns of paths that O(remove) spares, type: list, elements: str}
"""


def doomed(globs, keep):
    found = {str(path) for pattern in globs for path in Path("/").glob(pattern.lstrip("/"))}
    return sorted(path for path in found if not any(fnmatchcase(path, pattern) for pattern in keep))


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        # Through a linked folder two globs can name one file by two ways.
        path.unlink(missing_ok=True)


def same(path, entry):
    if entry["kind"] == "link":
        return path.is_symlink() and str(path.readlink()) == entry["content"]
    if path.is_symlink() or not path.exists():
        return False
    state = path.stat()
    if (state.st_mode & 0o7777, state.st_uid, state.st_gid) != (entry["mode"], 0, 0):
        return False
    if entry["kind"] == "directory":
        return path.is_dir()
    return path.is_file() and path.read_bytes() == base64.b64decode(entry["content"])


def write(path, entry):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or entry["kind"] != "directory":
        remove(path)
    if entry["kind"] == "link":
        path.symlink_to(entry["content"])
        return
    if entry["kind"] == "directory":
        path.mkdir(exist_ok=True)
    else:
        path.write_bytes(base64.b64decode(entry["content"]))
    path.chmod(entry["mode"])


def main():
    lists = {name: {"type": "list", "elements": "str", "default": []} for name in ("remove", "keep")}
    lists["entries"] = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(lists, supports_check_mode=True)
    rewritten = {entry["path"] for entry in module.params["entries"]}
    gone = [path for path in doomed(module.params["remove"], module.params["keep"]) if path not in rewritten]
    for path in [] if module.check_mode else gone:
        remove(Path(path))
    written = [entry for entry in module.params["entries"] if not same(Path(entry["path"]), entry)]
    for entry in [] if module.check_mode else written:
        write(Path(entry["path"]), entry)
    module.exit_json(changed=bool(gone or written), removed=gone, written=[entry["path"] for entry in written])


if __name__ == "__main__":
    main()
