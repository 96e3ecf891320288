"""The distributions, built by `python -m build` and installed into clean environments of every supported Python.

It takes libraries from the index, which pip is set up with: `make test-packaging` runs it, `make test` does not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from tests.distributions.building import PROJECTS, Surroundings, copied, environment
from tests.vectors.request import named

pytestmark = pytest.mark.packaging
SUPPORTED = ("3.11", "3.12", "3.13")
CLEAN = {"PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
RIGHT = """from client_sdk import Publisher, verify_release
from datetime import UTC, datetime
number: int = verify_release(b"", Publisher(keys=(b"",)), now=datetime.now(UTC)).number
"""
WRONG = RIGHT.replace("number: int", "number: str")


@cache
def interpreter(version):
    """Return a Python of this version, or nothing: on the path, or where pyenv and uv keep theirs."""
    homes = (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python")
    kept = [str(path) for home in homes for path in sorted(home.glob(f"*{version}.*/bin/python3"))]
    for program in (shutil.which(f"python{version}"), sys.executable, *kept):
        script = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        if program is None:
            continue
        done = subprocess.run([program, "-c", script], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return program
    return None


@pytest.fixture(scope="session", params=SUPPORTED)
def python(request):
    found = interpreter(request.param)
    if found is None:
        pytest.skip(f"there is no Python {request.param} with venv on this machine: nothing is known about it")
    return found


@pytest.fixture(scope="session")
def dist(tmp_path_factory, built_files):
    """What `python -m build` makes of each project, with tools of its own from the index."""
    pytest.importorskip("build", reason="python-build is not installed: make setup")
    tree, out = copied(tmp_path_factory.mktemp("tree") / "v", Surroundings()), tmp_path_factory.mktemp("dist")
    for folder in PROJECTS.values():
        say(sys.executable, "-m", "build", "--outdir", out, tree / folder, cwd=tree, env=environment(Surroundings()))
    return out


def say(*words, cwd=None, env=None, status=0):
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | CLEAN | (env or {})
    given.pop("PYTHONPATH", None)
    done = subprocess.run(
        list(map(str, words)), cwd=cwd or "/", env=given, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope="session")
def installed(tmp_path_factory, dist):
    """Return a function that installs what is asked for into a clean environment, once."""

    @cache
    def install(python, what):
        home = tmp_path_factory.mktemp("env") / "env"
        say(python, "-m", "venv", home)
        say(home / "bin/python", "-m", "pip", "install", "--quiet", "--find-links", dist, what)
        return home / "bin"

    return install


def test_python_build_makes_what_the_hooks_make(dist, built_files):
    """With setuptools from the index, in the environment that python-build makes."""
    expected = {name: sha256(data).hexdigest() for files in built_files.values() for name, data in files.items()}
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in dist.iterdir()} == expected


def test_the_client_alone(installed, python):
    programs = installed(python, "vitrine")
    listed = json.loads(say(programs / "python", "-m", "pip", "list", "--format", "json").stdout)
    names = {entry["name"].lower() for entry in listed}
    assert names - {"pip", "setuptools", "pycparser", "cffi"} == {"vitrine", "cryptography"}
    script = "import client_sdk, importlib.util as u; print([n for n in ('provisioner', 'serving') if u.find_spec(n)])"
    assert say(programs / "python", "-W", "error", "-c", script).stdout == "[]\n"
    said = say(programs / "vitrine", "rules", status=2).stderr
    assert said.strip().endswith("is not installed: pip install 'vitrine[client]'")


def test_the_client_alone_verifies(installed, python):
    """One control of the vectors is accepted and one attack on it refused, by what was installed."""
    programs = installed(python, "vitrine")
    for name, status, verdict in (("snp", 0, "accepted"), ("snp/no-signature-algorithm", 10, "refused")):
        found = named(name)
        done = subprocess.run(
            [programs / "python", "-m", "client_sdk.conformance", found.stage],
            input=found.data,
            capture_output=True,
            check=False,
            cwd="/",
            env=CLEAN,
        )
        assert (done.returncode, json.loads(done.stdout)["verdict"]) == (status, verdict), done.stderr


def test_the_command(installed, python):
    programs = installed(python, "vitrine[client]")
    assert say(programs / "vitrine", "--version").stdout.startswith("vitrine 0.")
    said = say(programs / "vitrine", "rules", "R1")
    assert "client_sdk" in said.stdout
    assert said.stderr == ""


def test_the_provisioner_adds_its_commands(installed, python, tmp_path):
    programs = installed(python, "vitrine[provisioner]")
    assert "release" in say(programs / "vitrine", "--help").stdout
    said = say(programs / "vitrine", "release", "keygen", tmp_path / "a.key")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert "signs releases" in said.stderr


def test_the_server_can_be_read(installed, python):
    programs = installed(python, "vitrine[server]")
    script = "import serving.gateway.app, serving.attest; print('ok')"
    assert say(programs / "python", "-c", script).stdout == "ok\n"


@pytest.mark.parametrize(("program", "status", "told"), [(RIGHT, 0, "Success"), (WRONG, 1, "incompatible type")])
def test_types_are_seen_from_outside(installed, python, tmp_path, program, status, told):
    (tmp_path / "program.py").write_text(program)
    words = (
        "--strict",
        "--cache-dir",
        tmp_path / "cache",
        "--python-executable",
        installed(python, "vitrine") / "python",
    )
    done = say(sys.executable, "-m", "mypy", *words, "program.py", cwd=tmp_path, status=status)
    assert told in done.stdout
