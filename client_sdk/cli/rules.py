"""`vitrine rules`: every rule that the client keeps, in words, where it is kept, and how many attacks try it."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

import client_sdk
from client_sdk.cli.options import Commands, UsageError, add_command
from client_sdk.cli.printing import console, print_json, progress
from client_sdk.rules import Keeper, keepers

MANIFEST = "manifest.json"
_SAID = {"what", "message"}  # variables that hold the words of the check that follows
# What makes checks under a prefix of the caller's → the file whose first lines number them.
_NUMBERED = {f"{kind.title()}Rules": f"client_sdk.verify.{kind}" for kind in ("chain", "crl", "ocsp")}
_EXAMPLES = ("vitrine rules", "vitrine rules --json", "vitrine rules --vectors tests/vectors")
# Where the vectors are in a working tree; an installed client has none.
_TREE = Path(client_sdk.__file__).parent.parent / "tests" / "vectors"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule at one place. ``vectors`` is None where there is no manifest to count in."""

    id: str
    check: str
    file: str
    function: str
    vectors: int | None


def register(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "rules", "print every rule that this client keeps, and where", _EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print the rules as JSON")
    parser.add_argument(
        "--vectors", metavar="DIR", type=Path, help="folder of the negative vectors (default: the working tree's)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the rules; return the exit code."""
    found = rows(_counted(arguments.vectors))
    if arguments.json:
        names = Row.__slots__
        print_json({"rules": [{name: getattr(row, name) for name in names} for row in found]})
        return 0
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("rule", "vectors", "check", "kept in"):
        table.add_column(title, no_wrap=title in {"rule", "vectors"}, overflow="fold")
    for row in found:
        number = "-" if row.vectors is None else str(row.vectors)
        table.add_row(row.id, number, Text(row.check), Text(f"{row.file} {row.function}"))
    screen = console()
    screen.print(table)
    screen.print(Text(f"{len({row.id for row in found})} rules in {len({row.file for row in found})} files"))
    return 0


def rows(counted: Counter[str] | None) -> tuple[Row, ...]:
    """Return every rule of the client, in the order of their ids; a rule that two files keep comes twice."""
    for module in pkgutil.walk_packages(client_sdk.__path__, "client_sdk."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # of the extra `client`
            progress(f"left out: {module.name}, because {error.name} is not installed")
    known = {keeper for keeper in keepers() if keeper.module.startswith("client_sdk.")}
    words = {name: dict(reversed(tuple(_words(name)))) for name in {keeper.module for keeper in known}}
    found = [
        Row(
            keeper.rule,
            words[keeper.module].get(keeper.rule) or keeper.what,
            keeper.module.replace(".", "/") + ".py",
            keeper.function,
            None if counted is None else counted[keeper.rule],
        )
        for keeper in sorted(known, key=_order)
    ]
    return tuple(found)


def _order(keeper: Keeper) -> tuple[Any, ...]:
    parts = re.findall(r"\d+|[^\d.]+", keeper.rule)
    return ([(part.isdigit(), int(part) if part.isdigit() else part) for part in parts], keeper.module, keeper.function)


def _counted(folder: Path | None) -> Counter[str] | None:
    """Count the attacks of a manifest, by rule."""
    if folder is None and not (_TREE / MANIFEST).exists():
        return None
    path = (folder or _TREE) / MANIFEST
    try:
        attacks = json.loads(path.read_bytes())["vectors"]
        return Counter(rule for attack in attacks for rule in attack["rules"])
    except OSError as error:
        raise UsageError(f"--vectors: cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--vectors: {path} is not a manifest of vectors") from error


def _words(name: str) -> Iterator[tuple[str, str]]:
    """Read in a module's source what it says of each rule: the words beside the id in a check, or in a table."""
    for value in vars(importlib.import_module(name)).values():
        for pair in value.values() if isinstance(value, dict) else ():
            if isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
                yield pair
    said = ""
    for node in _in_order(name):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in _SAID:
            said = _text(node.value)
        elif isinstance(node, ast.Call) and (kind := ast.unparse(node.func).rpartition(".")[2]) in _NUMBERED:
            yield from _numbered(kind, _text(node.args[0]))
        elif isinstance(node, ast.Call) and kind != "keeps":
            yield from _beside(node, said)


def _beside(call: ast.Call, said: str) -> Iterator[tuple[str, str]]:
    """Yield a rule's id and the text that follows it, in the same string or among the arguments."""
    texts = [said if ast.unparse(one) in _SAID else _text(one) for one in call.args]
    at = next((place for place, one in enumerate(call.args) if _text(one)), None)
    if at is None:
        return
    rule, _, text = texts[at].partition(": ")
    if following := [text, *[one for one in texts[at + 1 :] if one]]:
        yield rule, next((one for one in following if one), "")


def _numbered(kind: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the checks of a chain, a list or an answer under a prefix, as the file that makes them numbers them."""
    module = importlib.import_module(_NUMBERED[kind])
    for number, text in re.findall(r"\(\.(\d)\) ([^.:]+)", module.__doc__ or ""):
        plain = re.sub(r"[`*]", "", " ".join(text.split()))
        yield f"{prefix}.{number}", plain[0].lower() + plain[1:]
    if kind == "OcspRules":
        yield from (
            (rule, f"{text} (the responder's)") for rule, text in _numbered("ChainRules", f"{prefix}.responder")
        )


def _in_order(name: str) -> list[ast.Assign | ast.Call]:
    """Return assignments and calls of a module as they stand in its file."""
    spec = find_spec(name)
    source = spec.loader.get_source(name) if spec and spec.loader else None  # type: ignore[attr-defined]
    found = [node for node in ast.walk(ast.parse(source or "")) if isinstance(node, (ast.Assign, ast.Call))]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join([part.value if isinstance(part, ast.Constant) else "…" for part in node.values])  # type: ignore[misc]
    return ""
