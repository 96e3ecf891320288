"""The same commit gives the same bytes, whoever builds it, where and when."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests.distributions.building import CHECKOUT, EPOCH, Surroundings, built, copied, environment

ELSEWHERE = Surroundings(
    umask="077",
    time=1_000_000_000,
    variables=(("TZ", "Pacific/Kiritimati"), ("LC_ALL", "C.UTF-8"), ("PYTHONHASHSEED", "2"), ("USER", "somebody")),
)
BACKEND = CHECKOUT / "distributions/backend"


def littered(tree):
    """Leave behind what an earlier build of something else would leave."""
    (tree / "build/lib/provisioner").mkdir(parents=True)
    (tree / "build/lib/provisioner/left.py").write_text("left = True\n")
    (tree / "build/lib/client_sdk").mkdir()
    (tree / "build/lib/client_sdk/left.py").write_text("left = True\n")
    (tree / "vitrine.egg-info").mkdir()
    (tree / "vitrine.egg-info/SOURCES.txt").write_text("provisioner/errors.py\ntests/test_architecture.py\n")
    (tree / "client_sdk/__pycache__").mkdir()
    (tree / "client_sdk/__pycache__/left.cpython-311.pyc").write_bytes(b"left")
    return tree


@pytest.mark.parametrize("project", ["client", "provisioner", "server"])
def test_the_same_bytes_elsewhere(project, built_files, tmp_path):
    """Another folder, time, umask, time zone, order of hashes, and what an earlier build left."""
    tree = littered(copied(tmp_path / "another folder" / "v", ELSEWHERE))
    assert built(tree, project, tmp_path / "out", ELSEWHERE) == built_files[project]


def test_other_sources_give_other_bytes(tree, built_files, tmp_path):
    """What compares them would notice a difference of one byte, and of one second."""
    other = copied(tmp_path / "v", Surroundings())
    (other / "client_sdk/ages.py").write_bytes((other / "client_sdk/ages.py").read_bytes() + b"#")
    found = built(other, "client", tmp_path / "out", Surroundings())
    assert found.keys() == built_files["client"].keys()
    assert all(found[name] != built_files["client"][name] for name in found)
    later = Surroundings(epoch=EPOCH + 2)
    found = built(tree, "client", tmp_path / "later", later)
    assert all(found[name] != built_files["client"][name] for name in found)


def test_archives_say_nothing_about_the_builder(built_files):
    for files in built_files.values():
        for name, data in files.items():
            entries = wheel_entries(data) if name.endswith(".whl") else sdist_entries(data)
            assert entries
            assert {mode for _, mode, _ in entries} <= {0o644, 0o755}, name
            assert {moment for _, _, moment in entries} == {EPOCH}, name
            assert not any("__pycache__" in path or "left" in path for path, _, _ in entries), name


def wheel_entries(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist()[-1].endswith("/RECORD")
        moments = {entry.date_time for entry in archive.infolist()}
        assert moments == {(2026, 9, 21, 14, 13, 20)}
        return [(entry.filename, entry.external_attr >> 16 & 0o777, EPOCH) for entry in archive.infolist()]


def sdist_entries(data):
    assert gzip.GzipFile(fileobj=io.BytesIO(data)).read(1)
    assert data[3] == 0, "the gzip header has a file's name"
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
    assert [m.name for m in members] == sorted(m.name for m in members)
    return [(member.name, member.mode, int(member.mtime)) for member in members]


def epoch_in(folder, **variables):
    script = "import reproducible; print(reproducible.source_epoch())"
    env = environment(Surroundings(epoch=None)) | {"PYTHONPATH": str(BACKEND)} | variables
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_the_time_is_the_commits(tmp_path):
    def git(*words):
        env = environment(Surroundings()) | {
            "GIT_COMMITTER_DATE": f"{EPOCH + 9} +0300",
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, env=env)

    git("init")
    git("commit", "--allow-empty", "-m", "x")
    assert epoch_in(tmp_path).stdout == f"{EPOCH + 9}\n"
    assert epoch_in(tmp_path, SOURCE_DATE_EPOCH="1700000000").stdout == "1700000000\n"
    (tmp_path / "SOURCE_DATE_EPOCH").write_text("1600000000\n")  # a source distribution, inside somebody's repository
    assert epoch_in(tmp_path).stdout == "1600000000\n"


def test_zip_files_begin_in_1980(tmp_path):
    assert epoch_in(tmp_path, SOURCE_DATE_EPOCH="0").stdout == "315532800\n"


@pytest.mark.parametrize("said", ["", "yesterday", "-1", "1.5"])
def test_no_time_is_made_up(tmp_path, said):
    done = epoch_in(tmp_path, SOURCE_DATE_EPOCH=said, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert done.returncode == 1
    assert "set it to a time in seconds since 1970, or build from a git checkout" in done.stderr
