"""What is in each distribution: the client's has no part of the server's or the operator's, and nothing compiled."""

from __future__ import annotations

import io
import re
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from subprocess import run

import pytest

from client_sdk import script
from tests.distributions.building import CHECKOUT, NAMES, PROJECTS

PACKAGES = {"client": "client_sdk", "provisioner": "provisioner", "server": "serving"}


def project_of(name):
    return tomllib.loads((CHECKOUT / PROJECTS[name] / "pyproject.toml").read_text())


def wheel(files) -> dict[str, bytes]:
    (data,) = (data for name, data in files.items() if name.endswith(".whl"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def information(contents, name) -> Message:
    (data,) = (data for path, data in contents.items() if path.endswith(f".dist-info/{name}"))
    return message_from_bytes(data)


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_has_its_package_and_no_other(name, built_files):
    assert {path.split("/")[0].partition("-")[0] for path in wheel(built_files[name])} == {PACKAGES[name], NAMES[name]}


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_has_every_file_of_its_package(name, built_files):
    listed = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", PACKAGES[name]]
    files = run(listed, cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout.split()
    files = {path for path in files if (CHECKOUT / path).is_file()}
    assert {path for path in wheel(built_files[name]) if ".dist-info/" not in path} == files
    assert f"{PACKAGES[name]}/py.typed" in files


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_is_pure_python(name, built_files):
    contents = wheel(built_files[name])
    told = information(contents, "WHEEL")
    assert (told["Root-Is-Purelib"], told.get_all("Tag")) == ("true", ["py3-none-any"])
    assert not [path for path in contents if re.search(r"\.(so|pyd|dylib|pyc|pyo|a|o)$", path)]
    assert not [path for path, data in contents.items() if data.startswith((b"\x7fELF", b"MZ"))]


def test_the_client_needs_cryptography_and_nothing_else(built_files):
    told = information(wheel(built_files["client"]), "METADATA")
    needed = [line for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    assert [re.match(r"[\w-]+", line)[0] for line in needed] == ["cryptography"]
    assert {"client", "proxy", "server", "provisioner"} <= set(told.get_all("Provides-Extra"))
    assert told["License-Expression"] == "Apache-2.0"


@pytest.mark.parametrize("name", PROJECTS)
def test_entry_points_lead_into_the_same_wheel(name, built_files):
    """A command of a package that is not installed would be told as broken at each start."""
    contents = wheel(built_files[name])
    (data,) = [data for path, data in contents.items() if path.endswith("/entry_points.txt")] or [b""]
    found = re.findall(r"^[\w-]+ = ([\w.]+):", data.decode(), re.MULTILINE)
    assert bool(found) is (name != "server")
    for module in found:
        path = module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & contents.keys(), module


@pytest.mark.parametrize("name", PROJECTS)
def test_a_source_distribution_has_what_builds_it_and_no_tests(name, built_files):
    (data,) = (data for path, data in built_files[name].items() if path.endswith(".tar.gz"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert not [member.name for member in archive.getmembers() if member.issym() or member.islnk()]
        paths = {path.partition("/")[2] for path in archive.getnames()}
    backend = "distributions/backend" if name == "client" else "backend"
    assert {f"{backend}/reproducible.py", "pyproject.toml", "LICENSE", "SOURCE_DATE_EPOCH"} <= paths
    others = {"tests", *PACKAGES.values()} - {PACKAGES[name]}
    assert not [path for path in paths if path.split("/")[0] in others]


def test_the_distributions_belong_together():
    projects = {name: project_of(name) for name in PROJECTS}
    (version,) = {told["project"]["version"] for told in projects.values()}
    assert len({told["project"]["requires-python"] for told in projects.values()}) == 1
    extras = projects["client"]["project"]["optional-dependencies"]
    assert extras["provisioner"] == [f"vitrine-provisioner=={version}"]
    assert extras["server"] == [f"vitrine-server=={version}"]
    assert projects["provisioner"]["project"]["dependencies"] == [f"vitrine[client]=={version}"]
    assert projects["server"]["project"]["dependencies"][0] == f"vitrine=={version}"
    licences = {(CHECKOUT / folder / "LICENSE").read_bytes() for folder in PROJECTS.values()}
    assert len(licences) == 1


def test_what_builds_them_is_one_version_that_the_lock_has():
    (tool,) = {tuple(project_of(name)["build-system"]["requires"]) for name in PROJECTS}
    assert re.fullmatch(r"setuptools==[\d.]+", tool[0])
    assert f"\n{tool[0]} " in (CHECKOUT / "requirements/dev.lock").read_text()
    assert tool[0] in project_of("client")["project"]["optional-dependencies"]["dev"]


def test_the_program_says_what_is_missing():
    program = "import sys; sys.modules['rich'] = None; from client_sdk.script import main; sys.exit(main())"
    done = run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        "vitrine: usage: rich.console is not installed: pip install 'vitrine[client]'\n",
    )


def test_what_is_broken_is_not_told_as_missing(monkeypatch):
    def broken(_):
        raise ModuleNotFoundError("No module named 'client_sdk.fields'", name="client_sdk.fields")

    monkeypatch.setattr(script, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match=r"client_sdk\.fields"):
        script.main()
