"""`make wheels-lock`: uv comes and goes, and the lock is replaced whole or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/wheels-lock.sh"
# A Python that makes a "virtual environment" out of two scripts: pip says what it was asked for, uv does its work.
PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "pip $*" >> "%s/asked"\\n' "$PWD" > "$3/bin/python"
printf '#!/bin/sh\\nfor last; do :; done\\n{uv}\\n' > "$3/bin/uv"
echo "$3" > "$PWD/folder"
chmod +x "$3/bin/python" "$3/bin/uv"
"""


@pytest.fixture
def refresh(tmp_path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/dev.lock").write_text("old\n")

    def run(uv):
        (tmp_path / "python").write_text(PYTHON.format(uv=uv))
        (tmp_path / "python").chmod(0o755)
        return subprocess.run(
            [SCRIPT, "./python"], cwd=tmp_path, capture_output=True, text=True, check=False
        ).returncode

    return run


def test_the_lock_is_replaced_by_what_a_pinned_uv_made_of_it(refresh, tmp_path):
    assert refresh('echo new >> "$last"') == 0
    assert (tmp_path / "requirements/dev.lock").read_text() == "old\nnew\n"
    assert "uv==" in (tmp_path / "asked").read_text()
    assert not Path((tmp_path / "folder").read_text().strip()).exists()


def test_a_uv_that_fails_half_way_leaves_the_lock_as_it_was(refresh, tmp_path):
    assert refresh('echo half > "$last"; exit 2') == 2
    assert [path.read_text() for path in (tmp_path / "requirements").iterdir()] == ["old\n"]
    assert not Path((tmp_path / "folder").read_text().strip()).exists()
