"""The engine's wheels: each by name, version, file and hash, or not at all."""

from __future__ import annotations

import json
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from provisioner.errors import BakeError
from provisioner.image import closure
from provisioner.image.closure import (
    LOCK_FILE,
    Pin,
    from_report,
    main,
    obtain_closure,
    parse_closure,
    serialise_closure,
)

REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED = (REPOSITORY / LOCK_FILE).read_text()
LINE = f"torch==2.10.0 --hash=sha256:{'ab' * 32}  # torch-2.10.0-3-cp313-cp313-manylinux_2_28_x86_64.whl"


def quiet(_):
    pass


def item(url="https://index/a/vllm-0.19.1-cp38-abi3-manylinux_2_31_x86_64.whl", name="vllm", version="0.19.1"):
    info = {"url": url, "archive_info": {"hashes": {"sha256": "cd" * 32}}}
    return {"download_info": info, "metadata": {"name": name, "version": version}}


def test_the_shipped_lock_reads_and_writes_to_itself():
    pins = parse_closure(SHIPPED)
    assert serialise_closure(pins) == SHIPPED
    assert {"vllm", "torch", "triton"} <= {pin.name for pin in pins}


def test_the_shipped_lock_is_for_the_images_python_and_processor():
    tags = [pin.filename.removesuffix(".whl").split("-")[-3:] for pin in parse_closure(SHIPPED)]
    assert {python[:3] for python, _, _ in tags} <= {"cp3", "py3", "py2"}
    assert all("313" in python + abi or "abi3" in abi or abi == "none" for python, abi, _ in tags)
    assert all("x86_64" in platform or platform == "any" for _, _, platform in tags)


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace("--hash=sha256:" + "ab" * 32, ""),
        LINE.replace("ab" * 32, "ab" * 31),
        LINE.replace("==", ">="),
        LINE.replace(".whl", ".tar.gz"),
        LINE.replace("torch-2", "../torch-2"),
        LINE.replace("  #", " ; python_version < '3'  #"),
        "--index-url https://elsewhere",
        "torch @ https://elsewhere/torch.whl",
    ],
)
def test_a_line_that_is_no_wheel_by_hash(line):
    with pytest.raises(BakeError, match="not a wheel by hash"):
        parse_closure(line)


@pytest.mark.parametrize("text", ["", "# nothing\n", f"{LINE}\n{LINE}\n"])
def test_an_empty_lock_or_a_wheel_twice(text):
    with pytest.raises(BakeError, match="empty, or a wheel is named twice"):
        parse_closure(text)


def test_a_report_becomes_pins():
    (pin,) = from_report({"install": [item(url="https://index/x%2By/a_b-1%2Bcu12-py3-none-any.whl", name="A_b.C")]})
    assert pin == Pin("a-b-c", "0.19.1", "a_b-1+cu12-py3-none-any.whl", "cd" * 32)


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"install": [{}]},
        {"install": [item(url="https://index/vllm-0.19.1.tar.gz")]},
        {"install": [{"metadata": 1}]},
    ],
)
def test_a_report_that_is_none_or_names_a_source(report):
    with pytest.raises(BakeError, match=r"not a wheel|not an installation report"):
        from_report(report)


def test_the_command(tmp_path, capsys):
    (tmp_path / "report").write_text(json.dumps({"install": [item()]}))
    assert main(["lock", str(tmp_path / "report")]) == 0
    assert parse_closure(capsys.readouterr().out)[0].name == "vllm"
    assert main(["pip-options"]) == 0
    assert "--python-version=3.13" in capsys.readouterr().out.split()
    assert main([]) == 2


def wheel(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return Pin("one", "1", path.name, sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """What pip would bring; the real one is asked by `make vllm-lock` and by a bake."""
    shelf, asked = tmp_path / "shelf", []
    shelf.mkdir()

    def run(argv, **_):
        asked.append([str(word) for word in argv])
        for path in shelf.iterdir():
            (Path(argv[argv.index("--dest") + 1]) / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(closure.process, "run", run)
    return shelf, asked


def test_wheels_are_downloaded_once_by_hash_and_nothing_else_is_resolved(pip, tmp_path):
    shelf, asked = pip
    pins = (wheel(shelf / "one-1-py3-none-any.whl", {"one.py": "1"}),)
    folder = obtain_closure(pins, tmp_path / "cache", progress=quiet)
    assert obtain_closure(pins, tmp_path / "cache", progress=quiet) == folder
    assert len(asked) == 1
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(asked[0])


def test_a_wheel_that_is_another_file_or_does_not_come(pip, tmp_path):
    shelf, _ = pip
    pin = wheel(shelf / "one-1-py3-none-any.whl", {"one.py": "1"})
    wheel(shelf / "one-1-py3-none-any.whl", {"one.py": "2"})
    with pytest.raises(BakeError, match="the lock says"):
        obtain_closure((pin,), tmp_path / "cache", progress=quiet)
    (shelf / "one-1-py3-none-any.whl").unlink()
    with pytest.raises(BakeError, match="did not bring"):
        obtain_closure((pin,), tmp_path / "cache", progress=quiet)
    assert not list((tmp_path / "cache/closure").glob("[0-9a-f]*"))


def test_programs_may_be_run_and_what_a_site_module_would_run_is_gone(tmp_path):
    members = {
        "a/bin/ptxas": "x",
        "a/b.py": "1",
        "one-1.data/scripts/tool": "x",
        "evil.pth": "import os",
        "a/x.pth": "x",
    }
    pin = wheel(tmp_path / "one-1-py3-none-any.whl", members)
    closure.unpack_closure((pin,), tmp_path, tmp_path / "site")
    left = {str(p.relative_to(tmp_path / "site")): p.stat().st_mode & 0o777 for p in (tmp_path / "site").rglob("*.*")}
    assert (tmp_path / "site/a/bin/ptxas").stat().st_mode & 0o777 == 0o755
    assert left == {"a/b.py": 0o644, "a/x.pth": 0o644}
