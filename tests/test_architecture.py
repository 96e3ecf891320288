"""The shape of the code, held by a test: who may import whom, and how large things may grow."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import client_sdk

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("client_sdk", "provisioner", "serving")
SOURCES = sorted(
    path for folder in (*PACKAGES, "plugins") for path in (ROOT / folder).rglob("*.py") if "data" not in path.parts
)
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in SOURCES}
TESTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py"))
MAX_FUNCTION, MAX_FILE, MAX_POSITIONAL = 50, 400, 5

FORMATS = {"client_sdk", "client_sdk.evidence", "client_sdk.manifest", "client_sdk.binding"}
FORMATS |= {"client_sdk.access_token"}
FORMATS |= {"client_sdk.encoding", "client_sdk.fields", "client_sdk.errors"}  # what the formats are written in
ARROWS = {
    "client_sdk": lambda name: not name.startswith(("provisioner", "serving", "ansible")),
    "serving": lambda name: not name.startswith(("provisioner", "ansible")) and (not _ours(name) or name in FORMATS),
    "provisioner": lambda name: not name.startswith(("serving", "ansible")) and (not _ours(name) or name in PUBLIC),
    "provisioner/status/inventory.py": lambda name: name.startswith("ansible") or ARROWS["provisioner"](name),
    "provisioner/action.py": lambda name: name.startswith("ansible") or ARROWS["provisioner"](name),
    # An auditor says whom he trusts in the very words of `vitrine verify`.
    "provisioner/audit/command.py": lambda name: name == "client_sdk.cli" or ARROWS["provisioner"](name),
    "provisioner/audit/running.py": lambda name: name == "client_sdk.cli" or ARROWS["provisioner"](name),
    # A mirror has no more time than a service has, by the same sockets.
    "provisioner/audit/exchange.py": lambda name: name == "client_sdk.deadline" or ARROWS["provisioner"](name),
    "plugins": lambda name: not name.startswith(("serving", "client_sdk")),
    "provisioner/releases/logged.py": lambda name: name in LOG or ARROWS["provisioner"](name),
    # A vendor's certificate is read and judged as strictly as the client does, by the same code.
    "provisioner/endorsement/wire.py": lambda name: name == "client_sdk.parse.reader" or ARROWS["provisioner"](name),
    "provisioner/endorsement/verify.py": lambda name: name in CERTIFICATES or ARROWS["provisioner"](name),
}
# The provisioner accepts deployments through the client's public API and writes its formats, nothing else.
PUBLIC = FORMATS | {"client_sdk.release", "client_sdk.dsse", "client_sdk.publisher"}
PUBLIC |= {"client_sdk.rotation", "client_sdk.changes", "client_sdk.transparency.formats.bundle"}
# What is published is put into the publisher's log, by the code that keeps it.
LOG = {f"client_sdk.transparency.log.{name}" for name in ("bundling", "remote", "writer")}
LOG |= {"client_sdk.transparency.formats.merkle", "client_sdk.transparency.watchers.submit"}
CERTIFICATES = {"client_sdk.parse.certificate", "client_sdk.parse.pem", "client_sdk.verify.chain", "client_sdk.report"}
OFFLINE = (
    *(f"provisioner/endorsement/{name}.py" for name in ("wire", "parse", "verify", "vouched", "telling")),
    "client_sdk/parse/",
    "client_sdk/verify/",
    "client_sdk/clauses/",
    "client_sdk/platforms/",
    "client_sdk/policies/",
    "client_sdk/page/",
    "client_sdk/changes/",
    "client_sdk/transparency/log/page/",
    *(
        f"client_sdk/{name}.py"
        for name in (
            "verifier",
            "policy",
            "accept",
            "release",
            "rotation",
            "dsse",
            "roots",
            "binding",
            "ages",
        )
    ),
    *(
        f"client_sdk/{name}.py"
        for name in ("evidence", "manifest", "report", "encoding", "fields", "sources", "collateral")
    ),
    # Of the log, all but the edges: the memory's folder, and what reads, keeps and serves a log.
    "client_sdk/transparency/formats/",
    *(f"client_sdk/transparency/client/{name}.py" for name in ("judge", "keys", "revoked", "rollback", "seen")),
    *(f"client_sdk/transparency/log/{name}.py" for name in ("tree", "contents", "config", "bundling")),
    *(f"client_sdk/transparency/watchers/{name}.py" for name in ("monitor", "witness")),
    # Of the gatherer, all but the edge: what to ask for and how to read an answer are data.
    *(f"client_sdk/gather/{name}.py" for name in ("plan", "wanted", "hosts", "chains", "answers", "contents")),
    *(f"client_sdk/gather/{name}.py" for name in ("amd", "intel", "nvidia", "tpm")),
)
# Of what is about logs: which part may import which of the others.
TRANSPARENCY = {"formats": (), "client": ("formats",), "log": ("formats",), "watchers": ("formats", "log")}
# The files of the client that may open a connection: the channel to a service, and the gatherer's to vendors.
TALKERS = {f"client_sdk/{name}.py" for name in ("fetch", "pinning", "transport", "client", "attested", "gather/web")}
TALKERS |= {"client_sdk/deadline.py"}
# A request's connection is attested before it is used: the streams for that, and how attestation runs on them.
TALKERS |= {"client_sdk/backends.py", "client_sdk/wire.py", "client_sdk/cli/asking.py"}
# The proxy listens on this machine, and asks services through the attested client alone.
TALKERS |= {f"client_sdk/proxy/{name}.py" for name in ("app", "listening", "serving", "upstreams")}
TALKERS |= {"client_sdk/cli/proxying.py"}
# A log or a witness over HTTPS, and the two small servers of the loopback.
TALKERS |= {f"client_sdk/transparency/log/{name}.py" for name in ("web", "listening", "serving")}
TALKERS |= {"client_sdk/transparency/watchers/endpoint.py"}
SOCKETS = re.compile(r"^(socket|ssl|http|urllib\.request|requests|httpx|httpx2|httpcore2|openai|asyncio|anyio)(\.|$)")
JUDGING = tuple(f"client_sdk/{name}" for name in ("verify/", "clauses/", "platforms/", "policies/", "policy"))
CLOCKS = re.compile(r"(now|today|utcnow|time|time_ns|monotonic|perf_counter)")
NETWORK = re.compile(
    r"^(socket|ssl|http|urllib|requests|httpx|httpx2|httpcore2|openai|anyio|subprocess|asyncio|time|os)(\.|$)"
)


def _ours(name):
    return name.startswith("client_sdk")


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module


def _functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _positional(function):
    return [a.arg for a in function.args.posonlyargs + function.args.args if a.arg not in {"self", "cls"}]


def test_there_is_something_to_hold():
    assert {path.split("/")[0] for path in TREES} == {*PACKAGES, "plugins"}


@pytest.mark.parametrize("path", TREES)
def test_imports_point_downhill(path):
    allowed = ARROWS.get(path, ARROWS[path.split("/")[0]])
    assert [name for name in _imports(TREES[path]) if not allowed(name)] == []


@pytest.mark.parametrize("part", TRANSPARENCY)
def test_parts_of_transparency_point_downhill(part):
    """A client judges without a log's code, and a log is kept without knowing who judges or watches it."""
    modules = {_module(path) for path in TREES}
    paths = [path for path in TREES if path.startswith(f"client_sdk/transparency/{part}/")]
    reached = {edge for path in paths for edge in _edges(TREES[path], modules)}
    inside = {edge.split(".")[2] for edge in reached if edge.startswith("client_sdk.transparency.")}
    assert inside <= {part, *TRANSPARENCY[part]}


def test_transparency_has_these_parts_and_no_other():
    found = {path.split("/")[2] for path in TREES if path.startswith("client_sdk/transparency/")}
    assert found == {"__init__.py", *TRANSPARENCY}


@pytest.mark.parametrize("path", [path for path in TREES if path.startswith(OFFLINE)])
def test_parsing_verifying_and_policy_reach_no_network_clock_or_environment(path):
    assert [name for name in _imports(TREES[path]) if NETWORK.match(name)] == []
    calls = [node.func for node in ast.walk(TREES[path]) if isinstance(node, ast.Call)]
    assert [ast.unparse(f) for f in calls if isinstance(f, ast.Attribute) and CLOCKS.fullmatch(f.attr)] == []


def test_few_files_of_the_client_open_connections():
    paths = {path for path in TREES if path.startswith("client_sdk/")}
    assert {path for path in paths if any(map(SOCKETS.match, _imports(TREES[path])))} == TALKERS


def test_nothing_that_clients_run_reaches_the_gatherer():
    """Only the operator's command does: verification never asks a vendor, whatever it is given."""
    for path in (path for path in TREES if path.startswith("client_sdk/")):
        reached = [name for name in _imports(TREES[path]) if name.startswith("client_sdk.gather")]
        assert not reached or path.startswith(("client_sdk/gather/", "client_sdk/cli/collateral")), path


def _module(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _edges(tree, modules):
    """Yield the modules of ours that a module imports; a submodule taken from its package counts as itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in modules else node.module


def test_no_module_imports_itself_by_a_detour():
    modules = {_module(path): tree for path, tree in TREES.items()}
    graph = {name: {edge for edge in _edges(tree, modules) if edge in modules} for name, tree in modules.items()}
    while leaves := [name for name, edges in graph.items() if not edges & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}


def test_no_two_folders_of_the_provisioner_import_each_other():
    """What reads an image does not know the report that is made of it, and so on down."""
    modules = {_module(path): tree for path, tree in TREES.items() if path.startswith("provisioner/")}
    folders = {path.split("/")[1] for path in TREES if path.startswith("provisioner/") and path.count("/") > 1}
    graph = {folder: set() for folder in folders}
    for name, tree in modules.items():
        folder, reached = (
            name.split(".")[1:2],
            {edge.split(".")[1] for edge in _edges(tree, modules) if edge in modules},
        )
        for inside in folders.intersection(folder):
            graph[inside] |= (reached & folders) - {inside}
    assert graph["report"] > {"contents"}
    while leaves := [name for name, edges in graph.items() if not edges & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}


def test_the_predictor_cannot_reach_a_vm():
    for path in (path for path in TREES if path.startswith("provisioner/measure/")):
        names = [n for n in _imports(TREES[path]) if n.startswith(("provisioner", "client_sdk")) or NETWORK.match(n)]
        ours = {name for name in names if not name.startswith(("provisioner.measure", "provisioner.errors"))}
        assert ours == set(), path


@pytest.mark.parametrize("path", TREES)
def test_files_and_functions_stay_small(path):
    lines = (ROOT / path).read_text().count("\n")
    assert lines <= MAX_FILE, f"{lines} lines: split by idea"
    long = [f.name for f in _functions(TREES[path]) if f.end_lineno - f.lineno + 1 > MAX_FUNCTION]
    assert long == [], f"functions over {MAX_FUNCTION} lines"
    wide = [f.name for f in _functions(TREES[path]) if len(_positional(f)) > MAX_POSITIONAL]
    assert wide == [], f"functions with over {MAX_POSITIONAL} positional parameters"


@pytest.mark.parametrize("path", TESTS)
def test_functions_of_tests_stay_small(path):
    """What a test asks for by name, and what a kernel is given, may be many; files are as long as their tables."""
    functions = _functions(ast.parse((ROOT / path).read_text()))
    long = [f.name for f in functions if f.end_lineno - f.lineno + 1 > MAX_FUNCTION]
    assert long == [], f"functions over {MAX_FUNCTION} lines"
    given = [f for f in functions if not f.name.startswith("test_") and not f.decorator_list]
    assert [f.name for f in given if len(_positional(f)) > MAX_POSITIONAL] == []


@pytest.mark.parametrize("path", TREES)
def test_dataclasses_are_frozen_and_slotted(path):
    for node in ast.walk(TREES[path]):
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if "dataclass" in ast.unparse(decorator):
                words = {
                    k.arg: k.value.value
                    for k in getattr(decorator, "keywords", [])
                    if isinstance(k.value, ast.Constant)
                }
                assert (words.get("frozen"), words.get("slots")) == (True, True), node.name


@pytest.mark.parametrize(
    ("value", "home"), [("VerifiedEvidence", "client_sdk/verifier.py"), ("Accepted", "client_sdk/accept.py")]
)
def test_trusted_values_are_made_in_one_place(value, home):
    makers = [
        path
        for path, tree in TREES.items()
        if any(isinstance(n, ast.Call) and ast.unparse(n.func).split(".")[-1] == value for n in ast.walk(tree))
    ]
    assert makers == [home]


@pytest.mark.parametrize(
    "path",
    [path for path in TREES if path.startswith(JUDGING)],
)
def test_verification_raises_and_never_returns_a_boolean(path):
    booleans = [
        f.name
        for f in _functions(TREES[path])
        if f.returns is not None and re.search(r"\bbool\b", ast.unparse(f.returns))
    ]
    assert booleans == []


@pytest.mark.parametrize("path", [*TREES, *TESTS])
def test_no_drawer_for_everything(path):
    assert not re.search(r"(^|/)(utils?|common|helpers?|misc)\.py$", path)


@pytest.mark.parametrize("path", TREES)
def test_broad_excepts_are_at_process_edges_only(path):
    broad = [
        node.lineno
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or {"Exception", "BaseException"} & {ast.unparse(n) for n in ast.walk(node.type)})
        and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)  # cleaning up, then on its way
    ]
    edges = (
        "client_sdk/cli",
        "serving/attest/__main__.py",
        "serving/gateway/__main__.py",
        "serving/engines/__main__.py",
    )
    assert not broad or path.startswith(edges), f"lines {broad}"


@pytest.mark.parametrize("path", [path for path in TREES if path.endswith("__init__.py")])
def test_packages_re_export_and_define_nothing(path):
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    found = [node for node in TREES[path].body if not isinstance(node, allowed)]
    if path == "client_sdk/__init__.py":  # PEP 562: openai is loaded when a client is asked for, not before
        found = [
            n for n in found if not isinstance(n, ast.If) and getattr(n, "name", "") not in {"__getattr__", "__dir__"}
        ]
    assert found == []


def test_the_public_names_are_exactly_these_and_all_are_there():
    tree = ast.parse((ROOT / "docs/api.md").read_text().split("```python")[1].split("```")[0])
    documented = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(client_sdk.__all__) == documented
    assert all(getattr(client_sdk, name) is not None for name in client_sdk.__all__)


def test_importing_the_client_loads_neither_openai_nor_a_server():
    script = "import client_sdk, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"openai", "httpx2", "rich", "ansible", "fastapi", "tpm2_pytss"} & set(loaded.stdout.split())


def test_the_size_limits_would_be_noticed():
    source = "def f():\n" + "    x = 1\n" * 60
    (function,) = _functions(ast.parse(source))
    assert function.end_lineno - function.lineno + 1 > MAX_FUNCTION
