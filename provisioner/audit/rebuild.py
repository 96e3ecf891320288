"""The rebuild: a clean root, the archive's files by hash, no network, and circumstances that must not matter."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from provisioner.audit.archive import Archive
from provisioner.audit.needed import Materials, models_entries
from provisioner.bake import role_options
from provisioner.errors import BakeError, Fault, SpecError
from provisioner.image.afresh import PLAIN, Circumstances, Order, bake_afresh
from provisioner.image.recipe import RECIPE
from provisioner.image.shelf import alone

_SHOWN = 3
# What Ansible runs where it stands in a value; the last may say that other signs begin it.
_TEMPLATE = re.compile(r"\{[{%#]|#jinja2:")
_HOSTS = {
    "all": {
        "hosts": {
            "localhost": {
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            }
        }
    }
}


def rebuild(
    source: Path, archive: Archive, told: Materials, work: Path, *, circumstances: Circumstances = PLAIN
) -> Path:
    """Bake the image that an archive is about from a checkout; returns the image folder, below ``work``.

    Raises:
        BakeError: the archive asks for what is no bake, or the bake fails.
    """
    require_plain(source, archive)
    home = (work / circumstances.folder).resolve()
    cache = home / "cache"
    _lay_out(archive.folder.resolve(), told, cache)
    inventory = home / "inventory.json"
    inventory.write_text(json.dumps(_HOSTS))
    variables = {
        **_variables(archive, home),
        "bake_mode": archive.recipe.mode,
        "bake_source_commit": archive.manifest.source_commit,
    }
    order = Order(source, str(inventory), variables, alone=True, bare=True)
    return bake_afresh(order, home, cache, circumstances)


def require_plain(source: Path, archive: Archive) -> None:
    """Refuse an archive that asks for more than values of variables that roles of the checkout take.

    Whoever hosts it may have written its recipe, which nothing signs, and the bake runs as root. Another name may be
    Ansible's own, such as where it works; and a template in a value is a program.

    Raises:
        BakeError: it asks for that.
    """
    recipe, away = archive.recipe, "do not use this archive: whoever wrote that is after the machine that rebuilds"
    if strange := sorted(recipe.values.keys() - role_options(source).keys()):
        shown = ", ".join(strange[:_SHOWN])
        raise BakeError(f"{RECIPE} of the archive sets {shown}, which no role of the checkout takes; {away}")
    told = {**recipe.variables(), "the mode": recipe.mode, "the commit": archive.manifest.source_commit}
    for name, value in told.items():
        if _TEMPLATE.search(json.dumps(value, ensure_ascii=False)):
            raise BakeError(f"{RECIPE} or manifest of the archive have a template in {name}; {away}")


@contextmanager
def workplace(folder: Path, *, keep: bool) -> Iterator[Path]:
    """Hold a folder for one audit; what it or an interrupted one before left there is removed, unless it is to be kept.

    Raises:
        SpecError: it holds something that is no audit's.
        BakeError: it cannot be written.
    """
    marker = ".vitrine-audit"
    if folder.exists() and any(folder.iterdir()) and not (folder / marker).exists():
        expected = "an empty folder, or that of an audit before; name another"
        raise SpecError((Fault("--work", expected, f"{folder}, in which something else is"),))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / "audit"):
            (folder / marker).write_bytes(b"")
            _clear(folder)
            try:
                yield folder
            finally:
                if not keep:
                    _clear(folder)
    except OSError as error:
        raise BakeError(f"{error.filename or folder}: {error.strerror}") from error


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _lay_out(archive: Path, told: Materials, cache: Path) -> None:
    """Show the archive's files to the bake as its cache. It hashes each once more when it takes it."""
    names = [one.path for one in told.files] + ([f"debs/{told.followed}"] if told.followed else [])
    for name in dict.fromkeys(names):
        link = cache / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(archive / name)
    for folder in (cache / "closure").glob("*"):
        (folder / ".complete").write_bytes(b"")


def _variables(archive: Archive, home: Path) -> dict[str, Any]:
    """Return the recipe's variables, the files of models as folders of this machine: where they lie decides nothing."""
    variables = archive.recipe.variables()
    entries = models_entries(archive.recipe)
    if entries:
        variables["engine_weights"] = [
            {**entry, "folder": str(_folder(archive, entry, home / "weights" / str(index)))}
            for index, entry in enumerate(entries)
        ]
    return variables


def _folder(archive: Archive, entry: dict[str, Any], folder: Path) -> Path:
    for path, digest in entry["files"].items():
        link = folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(archive.folder.resolve() / "weights" / digest)
    return folder
