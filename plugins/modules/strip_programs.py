"""Ansible module: take the programs out of packages whose libraries and data stay; runs inside the root file system."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: strip_programs
short_description: remove every program of the named packages, but for those that are listed
description:
  - A program is a file with an execute bit in any folder, or a link in a folder of commands.
  - What belongs to a package that is not named stays, so that the refuse gate sees it.
  - Links of commands that lead nowhere afterwards go too. Modules of Python's library lose the bit and stay.
options:
  packages: {description: names of installed Debian packages, type: list, elements: str, required: true}
  listed:
    description: "what stays: path (a pattern without the first slash), and where it is wanted"
    type: list
    elements: dict
    required: true
  tools: {description: patterns of what stays besides, type: list, elements: str, required: true}
"""
COMMANDS = ("usr/bin", "usr/sbin", "etc/alternatives")
LISTS = "var/lib/dpkg/info"
MODULES = "usr/lib/python3.*/*.py"


def files_of(root, package):
    lists = root / LISTS
    found = [path for path in (lists / f"{package}.list", lists / f"{package}:amd64.list") if path.is_file()]
    if not found:
        raise FileNotFoundError(f"the package {package} is not installed")
    # A file that dpkg knows as /bin/x lies in usr/bin: the folder is a link.
    names = {line.strip("/") for line in found[0].read_text().splitlines()}
    return sorted({f"usr/{name}" if name.startswith(("bin/", "sbin/", "lib/")) else name for name in names})


def is_program(root, name):
    path = root / name
    if path.is_symlink():
        return name.rpartition("/")[0] in COMMANDS
    return path.is_file() and bool(path.stat().st_mode & 0o111)


def due(root, listed):
    """What an entry names is wanted where its own path is, or everywhere."""
    return [entry["path"] for entry in listed if not entry.get("where") or (root / entry["where"]).exists()]


def kept(name, keep):
    return any(fnmatchcase(name, pattern) for pattern in keep)


def doomed(root, packages, keep):
    names = {name for package in packages for name in files_of(root, package)}
    return sorted(name for name in names if is_program(root, name) and not kept(name, keep))


def leading_nowhere(root, keep):
    """Links are followed as inside: the module's root is the tree itself."""
    links = [path for folder in COMMANDS for path in (root / folder).glob("*") if path.is_symlink()]
    names = [str(path.relative_to(root)) for path in links if not path.exists()]
    return [name for name in names if not kept(name, keep)]


def strip(root, packages, keep):
    # The lists go when the role is done with them: it was here before, and the gate looks after it.
    if not (root / LISTS).is_dir():
        return []
    changed = doomed(root, packages, keep)
    for name in changed:
        if fnmatchcase(name, MODULES):
            (root / name).chmod(0o644)
        else:
            (root / name).unlink()
    # A link may lead to another one.
    while gone := leading_nowhere(root, keep):
        for name in gone:
            (root / name).unlink()
        changed += gone
    return changed


def main():
    lists = {name: {"type": "list", "elements": "str", "required": True} for name in ("packages", "tools")}
    lists["listed"] = {"type": "list", "elements": "dict", "required": True}
    module = AnsibleModule(lists)
    root, told = Path("/"), module.params
    try:
        changed = strip(root, told["packages"], [*due(root, told["listed"]), *told["tools"]])
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), stripped=changed)


if __name__ == "__main__":
    main()
