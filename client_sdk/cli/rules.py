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
from client_sdk.rules import Keeper, broader, keepers

MANIFEST = "manifest.json"
_SAID = {"what", "message"}  # variables that hold the words of the check that follows
# A variable part of a text, in brackets or as the place before a colon.
_VARIABLE = re.compile(r" \([^()]*…[^()]*\)|^[^:]*…[^:]*: ")
_EXAMPLES = (
    "vitrine rules",
    "vitrine rules T8.5",
    "vitrine rules T8 L1 --json",
    "vitrine rules --vectors tests/vectors",
)
# Where the vectors are in a working tree; an installed client has none.
_TREE = Path(client_sdk.__file__).parent.parent / "tests" / "vectors"


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Checks under a prefix of the caller's: the file whose first lines number them, and what they are of."""

    module: str
    of: str


_NUMBERED = {
    "ChainRules": _Numbered("client_sdk.verify.chain", "chain of"),
    "CrlRules": _Numbered("client_sdk.verify.crl", "revocation list of"),
    "OcspRules": _Numbered("client_sdk.verify.ocsp", "OCSP response for"),
}
_COUNTED = ("rule", "place", "file")
Said = dict[tuple[str, str], str]


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
    parser.add_argument(
        "rules",
        metavar="RULE",
        nargs="*",
        help="an id like T8.5, or what ids begin with, like T8; without any all are printed",
    )
    parser.add_argument("--json", action="store_true", help="print the rules as JSON")
    parser.add_argument(
        "--vectors", metavar="DIR", type=Path, help="folder of the negative vectors (default: the working tree's)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the rules; return the exit code."""
    found = _chosen(rows(_counted(arguments.vectors)), arguments.rules)
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
    counts = (len({row.id for row in found}), len(found), len({row.file for row in found}))
    many = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in zip(counts, _COUNTED, strict=True)]
    screen.print(Text("{}, checked at {} in {}".format(*many)))
    return 0


def _chosen(found: tuple[Row, ...], wanted: list[str]) -> tuple[Row, ...]:
    """Return the rules of these ids, and of those that begin with them; all where none is named.

    Raises:
        UsageError: an id that no rule has.
    """
    for one in wanted:
        if not any(one in broader(row.id) or one == row.id[:1] for row in found):
            what = f"there is no rule {one!r}; expected an id like T8.5, or what ids begin with, like T8"
            raise UsageError(f"RULE: {what}. `vitrine rules` prints all")
    return tuple([row for row in found if not wanted or {*broader(row.id), row.id[:1]} & set(wanted)])


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
    words = {name: _said(name) for name in {keeper.module for keeper in known}}
    found = [
        Row(
            keeper.rule,
            _text_of(keeper, words[keeper.module]),
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


def _text_of(keeper: Keeper, said: Said) -> str:
    """Return what a function says of its rule; where that is in a table of its module, what the module says."""
    return said.get((keeper.function, keeper.rule)) or said.get(("", keeper.rule)) or keeper.what


def _said(name: str) -> Said:
    """Read in a module's source what it says of each rule, by function, all of it; and by module, under no function."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for function, rule, text in _words(name):
        if said := _VARIABLE.sub("", text).strip("… "):
            found.setdefault((function, rule), {})[said] = None
            found.setdefault(("", rule), {})[said] = None
    return {place: "; ".join(texts) for place, texts in found.items()}


def _words(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield function, rule and text: the words beside the id in a check, or in a table."""
    module = importlib.import_module(name)
    for value in vars(module).values():
        for pair in value.values() if isinstance(value, dict) else ():
            if isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
                yield "", *pair
    for function, node in _bodies(name):
        said, is_used = "", False
        for one in _in_order(node):
            if isinstance(one, ast.Assign):
                for text in _assigned(one):
                    said, is_used = text if is_used or not said else f"{said}; {text}", False
            elif (kind := ast.unparse(one.func).rpartition(".")[2]) in _NUMBERED:
                yield from (("", *pair) for pair in _numbered(kind, *[_value(module, a) for a in one.args[:2]]))
            elif kind != "keeps":
                is_used = is_used or any(ast.unparse(argument) in _SAID for argument in one.args)
                yield from ((function, *pair) for pair in _beside(one, said))


def _assigned(node: ast.Assign) -> Iterator[str]:
    """Yield the text that an assignment gives to a variable which holds the words of a check."""
    target, value = node.targets[0], node.value
    pairs = zip(target.elts, value.elts, strict=False) if _are_tuples(target, value) else [(target, value)]  # type: ignore[attr-defined]
    yield from (_text(one) for name, one in pairs if ast.unparse(name) in _SAID)


def _are_tuples(*nodes: ast.expr) -> bool:
    return all(isinstance(node, ast.Tuple) for node in nodes)


def _value(module: Any, node: ast.expr) -> str:
    """Return a text that stands in a call, or in the module's variable that stands there."""
    return str(vars(module)[node.id]) if isinstance(node, ast.Name) else _text(node)


def _beside(call: ast.Call, said: str) -> Iterator[tuple[str, str]]:
    """Yield a rule's id and the text that follows it, in the same string or among the arguments."""
    texts = [said if ast.unparse(one) in _SAID else _text(one) for one in call.args]
    at = next((place for place, text in enumerate(texts) if text), None)
    if at is None:
        return
    rule, _, text = texts[at].partition(": ")
    if following := [one for one in (text, *texts[at + 1 :]) if one]:
        yield rule, following[0]


def _numbered(kind: str, prefix: str, subject: str) -> Iterator[tuple[str, str]]:
    """Yield the checks of a chain, a list or an answer under a prefix, as the file that makes them numbers them."""
    module = importlib.import_module(_NUMBERED[kind].module)
    for number, text in re.findall(r"\(\.(\d)\) ([^.:]+)", module.__doc__ or ""):
        plain = re.sub(r"[`*]", "", " ".join(text.split()))
        yield f"{prefix}.{number}", f"{_NUMBERED[kind].of} {subject}: {plain[0].lower() + plain[1:]}"
    if kind == "OcspRules":
        yield from _numbered("ChainRules", f"{prefix}.responder", f"the OCSP responder for {subject}")


def _bodies(name: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield the functions of a module and of its classes by qualified name, and what stands outside of them."""
    spec = find_spec(name)
    source = spec.loader.get_source(name) if spec and spec.loader else None  # type: ignore[attr-defined]
    for node in ast.parse(source or "").body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for one in inside:
            yield (prefix + one.name if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""), one


def _in_order(body: ast.AST) -> list[ast.Assign | ast.Call]:
    """Return assignments and calls as they stand in their file."""
    found = [node for node in ast.walk(body) if isinstance(node, (ast.Assign, ast.Call))]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join([part.value if isinstance(part, ast.Constant) else "…" for part in node.values])  # type: ignore[misc]
    return ""
