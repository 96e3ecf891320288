"""The registry of rules is complete and true: what a function records is what stands over it."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from functools import cache
from pathlib import Path

import pytest

from client_sdk.errors import VerificationError
from client_sdk.report import Ledger
from client_sdk.rules import keepers, keeps
from client_sdk.verify.chain import ChainRules
from client_sdk.verify.crl import CrlRules
from client_sdk.verify.ocsp import OcspRules

PACKAGE = Path(importlib.import_module("client_sdk").__file__).parent
FILES = sorted(path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")
# They give the ids of whoever calls them: a prefix is an argument there, or the id is.
BY_PREFIX = {f"client_sdk.{name}" for name in ("verify.chain", "verify.crl", "verify.ocsp", "report")}
MODULES = [name for path in FILES if (name := ".".join(path.with_suffix("").parts)) not in BY_PREFIX]
RULE = re.compile(r"([A-Z]\d{1,2}(?:\.[\w-]+)*)(?:: .*)?", re.DOTALL)
RECORDS = {"equal", "holds", "judge"}
RAISES = {"VerificationError", "Failure"}
SUFFIXES = {
    "ChainRules": tuple("123456"),
    "CrlRules": tuple("123"),
    "OcspRules": (*"1234", *(f"responder.{number}" for number in "123456")),
}


def ids_of(value):
    """Return the rule ids in a table of a module: in its strings, or made from the prefix of somebody's rules."""
    if isinstance(value, str):
        found = RULE.fullmatch(value)
        return {found[1]} if found else set()
    if isinstance(value, (ChainRules, CrlRules, OcspRules)):
        return {f"{value.prefix}.{number}" for number in SUFFIXES[type(value).__name__]}
    if isinstance(value, dict):
        return set().union(*map(ids_of, value.values()))
    if isinstance(value, (tuple, list, frozenset, set)):
        return set().union(*map(ids_of, value))
    return set()


def prefixed(node):
    """Return the ids that a ChainRules or CrlRules, made where it is used, stands for."""
    name = ast.unparse(node.func).split(".")[-1]
    (rule,) = ids_of(ast.literal_eval(node.args[0] if node.args else node.keywords[0].value))
    return {f"{rule}.{number}" for number in SUFFIXES[name]}


def own_nodes(function):
    """Walk a function's body, without its docstring, its decorators and the functions inside it."""
    waiting = list(function.body)
    if ast.get_docstring(function) is not None:
        waiting.pop(0)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(node))


def recorded(function, module):
    """Return the ids in a function's body, and in the module's tables that it reads."""
    found, prefixes = set(), set()
    for node in own_nodes(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in SUFFIXES:
            found |= prefixed(node)
            prefixes |= set(ast.walk(node))
    for node in own_nodes(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prefixes:
            found |= ids_of(node.value)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            value = vars(module).get(node.id)
            found |= ids_of(value) if not callable(value) else set()
    return found


def hands_rules_on(function, module):
    """Tell whether a function gives the ids of checks that a chain, a list or an answer goes through."""
    kinds = (ChainRules, CrlRules, OcspRules)
    for node in own_nodes(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in SUFFIXES:
            return True
        if (
            isinstance(node, ast.Name)
            and isinstance(node.ctx, ast.Load)
            and isinstance(vars(module).get(node.id), kinds)
        ):
            return True
    return False


def makes_checks(function):
    """Tell whether a function records a check or makes a refusal of which the id is its own."""
    parameters = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
    for node in own_nodes(function):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name, first = ast.unparse(node.func).split("."), node.args[0]
        passes_on = isinstance(first, ast.Name) and first.id in parameters
        passes_on |= isinstance(first, ast.Attribute) and first.attr == "rule"  # an error's, told again
        if (name[-1] in RAISES or (name[-1] in RECORDS and "ledger" in name)) and not passes_on:
            return True
    return False


@cache
def functions(name):
    """Return a module's functions by qualified name."""
    found = {}

    def collect(body, prefix):
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found[prefix + node.name] = node
                collect(node.body, f"{prefix}{node.name}.<locals>.")
            elif isinstance(node, ast.ClassDef):
                collect(node.body, f"{prefix}{node.name}.")

    collect(ast.parse(Path(sys.modules[name].__file__).read_text()).body, "")
    return found


def kept(name):
    claimed: dict[str, set[str]] = {}
    for keeper in keepers():
        if keeper.module == name:
            claimed.setdefault(keeper.function, set()).add(keeper.rule)
    return claimed


@pytest.mark.parametrize("name", MODULES)
def test_what_a_function_records_is_what_stands_over_it(name):
    module = importlib.import_module(name)
    claimed = kept(name)
    assert claimed.keys() <= functions(name).keys()
    for function, node in functions(name).items():
        if makes_checks(node) or hands_rules_on(node, module) or function in claimed:
            assert recorded(node, module) == claimed.get(function, set()), function


@pytest.mark.parametrize("name", MODULES)
def test_no_function_that_records_is_unclaimed(name):
    importlib.import_module(name)
    assert {f for f, node in functions(name).items() if makes_checks(node)} - kept(name).keys() == set()


def test_the_registry_names_function_and_purpose():
    importlib.import_module("client_sdk.verify.quote")
    (keeper,) = [k for k in keepers() if k.rule == "Q6.2"]
    assert (keeper.module, keeper.function) == ("client_sdk.verify.quote", "_signature")
    rules = {k.rule for k in keepers() if k.module.startswith("client_sdk.verify")}
    assert {"K1.1", "K2.2", "Q1.1", "Q8.3", "C2.2", "L1.0", "L2.7", "L7.12", "L9.1", "L11.2"} <= rules


def test_a_keeper_is_the_function_itself():
    def check(ledger):
        ledger.equal("Z1", "…", expected=1, got=2)

    assert keeps()(check) is check
    with pytest.raises(VerificationError):
        check(Ledger())


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('ledger.equal("Z1.2", "w", expected=1, got=1)', {"Z1.2"}),
        ('raise VerificationError("Z3", "w")', {"Z3"}),
        ('return (Failure("Z4: the clause", "a", "b"),)', {"Z4"}),
        ('rules = ChainRules("Z5", "a certificate")', {f"Z5.{n}" for n in range(1, 7)}),
        ('rules = CrlRules("Z6", "a list", age)', {f"Z6.{n}" for n in range(1, 4)}),
        ('rules = OcspRules("Z7", "an answer", age)', {f"Z7.{n}" for n in SUFFIXES["OcspRules"]}),
        ('log("no rule: Z9 is only named")', set()),
    ],
)
def test_the_reader_of_bodies_sees_every_form(body, found):
    (function,) = ast.parse(f"def f(ledger, age):\n    {body}\n").body
    assert recorded(function, ast) == found
    assert makes_checks(function) is bool(found and "rules" not in body)


def test_an_id_that_is_an_argument_is_the_callers():
    (function,) = ast.parse("def f(rule, ledger):\n    raise VerificationError(rule, 'w')\n").body
    assert not makes_checks(function)
