"""Mutants of the verifier: each recorded check or refusal taken away, turned round, loosened, or moved at its edge.

Loosened: one part of a condition is left out. At its edge: "at most" becomes "less than", and the other way about.

A mutant is one function with other code. It is put in place by giving the function that code, so whoever imported the
function runs it, and nothing is loaded again.
"""

from __future__ import annotations

import ast
import copy
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *(ROOT / "client_sdk" / "verify").glob("*.py"),
        *(ROOT / "client_sdk" / "clauses").glob("*.py"),
        *(ROOT / "client_sdk" / "platforms").glob("*.py"),
        *(ROOT / "client_sdk" / "policies").glob("*.py"),
        ROOT / "client_sdk" / "accept.py",
        ROOT / "client_sdk" / "releases.py",
        *(ROOT / "client_sdk/transparency/client" / f"{name}.py" for name in ("judge", "rollback", "revoked")),
        *(ROOT / "client_sdk/transparency/formats" / f"{name}.py" for name in ("note", "checkpoint", "merkle")),
    )
)
RULE = re.compile(r"[A-Z]\d{1,2}(?:\.[\w-]+)*")
RECORDS = {"equal", "holds", "judge"}
REFUSES = {"_refuse", "_other_data"}
REMOVED, TURNED, LOOSENED, EDGE = "removed", "turned round", "loosened", "at its edge"
_EDGES: dict[type[ast.cmpop], ast.cmpop] = {ast.Lt: ast.LtE(), ast.LtE: ast.Lt(), ast.Gt: ast.GtE(), ast.GtE: ast.Gt()}
_PASS, _NOTHING = ast.Pass(), ast.Tuple([], ast.Load())


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one function. ``what`` is the source of what was changed, in one line."""

    file: str
    function: str
    line: int
    rule: str
    kind: str
    what: str
    code: CodeType

    @property
    def key(self) -> str:
        """Name the mutant so that the name outlives a change of lines."""
        return f"{self.file}::{self.function} [{self.kind}] {self.what}"


@dataclass(frozen=True, slots=True)
class _Edit:
    """A node of a function and what stands in its place."""

    node: ast.AST
    instead: ast.AST
    rule: str
    kind: str


def mutants(file: str) -> Iterator[Mutant]:
    """Yield every mutant of a file, in the order of its lines."""
    source = (ROOT / file).read_text()
    tree = ast.parse(source)
    numbers: Counter[tuple[str, str, str]] = Counter()
    for name, function in _functions(tree):
        for edit in sorted(_edits(function), key=lambda one: (one.node.lineno, one.node.col_offset, one.kind)):
            what = " ".join((ast.get_source_segment(source, edit.node) or "").split())[:120]
            what += f" → {ast.unparse(edit.instead)}" if isinstance(edit.instead, ast.Compare) else ""
            numbers[name, edit.kind, what] += 1
            if (number := numbers[name, edit.kind, what]) > 1:
                what += f" #{number}"
            code = _compiled(tree, edit, name, file)
            yield Mutant(file, name, edit.node.lineno, edit.rule, edit.kind, what, code)


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one) for one in node.body if isinstance(one, ast.FunctionDef))


def _edits(function: ast.FunctionDef) -> Iterator[_Edit]:
    """Yield the edits of a function that checks or refuses something."""
    found = [edit for node in ast.walk(function) for edit in _of_statement(node)]
    covered = {id(edit.node) for edit in found}
    found += [edit for node in ast.walk(function) for edit in _of_call(node) if id(edit.node) not in covered]
    if found:
        told = _told(function)
        found += [edit for node in ast.walk(function) if id(node) not in told for edit in _loosened(node, found)]
    yield from found


def _of_statement(node: ast.AST) -> Iterator[_Edit]:
    """Take away a statement that checks or refuses; turn the condition of a refusal round."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        if (rule := _recorded(node.value) or _refused(node.value)) is not None:
            yield _Edit(node, _PASS, rule, REMOVED)
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        if ast.unparse(node.exc.func) == "VerificationError":
            yield _Edit(node, _PASS, _rule_of(node.exc), REMOVED)
    elif isinstance(node, ast.If):
        calls = [call for one in node.body for call in ast.walk(one) if isinstance(call, ast.Call)]
        rules = [_refused(call) for call in calls if _refused(call) is not None]
        if rules:
            yield _Edit(node.test, ast.UnaryOp(ast.Not(), node.test), rules[0] or "", TURNED)


def _of_call(node: ast.AST) -> Iterator[_Edit]:
    """Take away a clause, and turn the condition of a check round."""
    if not isinstance(node, ast.Call):
        return
    if _name(node) == "Failure":
        return
    rule = _recorded(node)
    if rule is None:
        return
    given = {word.arg: word.value for word in node.keywords}
    if _name(node) not in {"equal", "holds"}:
        yield _Edit(node, _NOTHING, rule, REMOVED)
    if _name(node) == "equal" and {"expected", "got"} <= given.keys():
        other = copy.deepcopy(node)
        other.func = ast.Attribute(node.func.value, "holds", ast.Load())  # type: ignore[attr-defined]
        unequal = ast.Compare(given["expected"], [ast.NotEq()], [given["got"]])
        other.keywords.append(ast.keyword("condition", unequal))
        yield _Edit(node, other, rule, TURNED)
    elif "condition" in given:
        yield _Edit(given["condition"], ast.UnaryOp(ast.Not(), given["condition"]), rule, TURNED)


def _loosened(node: ast.AST, found: list[_Edit]) -> Iterator[_Edit]:
    """Leave one part of a condition out."""
    near = min(found, key=lambda edit: abs(edit.node.lineno - getattr(node, "lineno", 0)))
    if isinstance(node, ast.BoolOp):
        neutral = ast.Constant(isinstance(node.op, ast.And))
        yield from (_Edit(part, neutral, near.rule, LOOSENED) for part in node.values)
    elif isinstance(node, ast.Compare) and len(node.ops) > 1:
        first = ast.Compare(node.left, node.ops[:-1], node.comparators[:-1])
        last = ast.Compare(node.comparators[0], node.ops[1:], node.comparators[1:])
        yield from (_Edit(node, one, near.rule, LOOSENED) for one in (first, last))
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if other := _EDGES.get(type(operator)):
                moved = [*node.ops[:place], other, *node.ops[place + 1 :]]
                yield _Edit(node, ast.Compare(node.left, moved, node.comparators), near.rule, EDGE)


def _told(function: ast.FunctionDef) -> set[int]:
    """Return the nodes that only say for people what was expected and found."""
    found: set[int] = set()
    for call in ast.walk(function):
        if isinstance(call, ast.Call) and "condition" in {word.arg for word in call.keywords}:
            shown = [word.value for word in call.keywords if word.arg in {"expected", "got"}]
            found |= {id(node) for one in shown for node in ast.walk(one)}
    return found


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func).split(".")[-1]


def _recorded(call: ast.Call) -> str | None:
    """Return the rule that a call records or hands to a clause; None where it does neither."""
    named = call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    is_rule = bool(named and RULE.fullmatch(call.args[0].value))  # type: ignore[attr-defined]
    if _name(call) in RECORDS and (is_rule or {word.arg for word in call.keywords} >= {"expected", "got"}):
        return _rule_of(call)
    return _rule_of(call) if is_rule and _name(call) == "_floor" else None


def _refused(call: ast.Call) -> str | None:
    if _name(call) in REFUSES:
        return _rule_of(call) if _name(call) == "_refuse" else "L3"
    return _rule_of(call) if _name(call) in {"VerificationError", "Failure"} else None


def _rule_of(call: ast.Call) -> str:
    first = call.args[0] if call.args else ast.Constant("?")
    return str(first.value).partition(":")[0] if isinstance(first, ast.Constant) else ast.unparse(first)


def _compiled(tree: ast.Module, edit: _Edit, name: str, file: str) -> CodeType:
    """Compile the file with one edit, and return the function's code."""
    memo: dict[int, object] = {id(edit.node): ast.copy_location(copy.deepcopy(edit.instead), edit.node)}
    changed = ast.fix_missing_locations(copy.deepcopy(tree, memo))
    waiting = [compile(changed, str(ROOT / file), "exec")]
    while waiting:
        code = waiting.pop()
        if code.co_qualname == name:
            return code
        waiting += [one for one in code.co_consts if isinstance(one, CodeType)]
    raise LookupError(name)


def function_of(file: str, name: str) -> FunctionType:
    """Return the function itself."""
    found: object = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        found = vars(found)[part]
    return found.__func__ if isinstance(found, (classmethod, staticmethod)) else found  # type: ignore[return-value]


@contextmanager
def in_place(mutant: Mutant) -> Iterator[None]:
    """Let a function run a mutant's code."""
    function = function_of(mutant.file, mutant.function)
    kept = function.__code__
    function.__code__ = mutant.code
    try:
        yield
    finally:
        function.__code__ = kept
