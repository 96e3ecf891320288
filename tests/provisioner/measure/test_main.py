import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.measure import predict
from provisioner.measure.__main__ import main
from tests.provisioner.measure.fake_artefacts import write_artefacts

SOURCE = Path(__file__).parents[3]


@pytest.fixture
def artefacts(tmp_path):
    return write_artefacts(tmp_path / "artefacts")


def test_json_is_the_prediction(artefacts, capsys):
    assert main([str(artefacts), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == predict(artefacts).to_json()


def test_text_and_explanation_name_every_pcr(artefacts, capsys):
    assert main([str(artefacts)]) == 0
    assert f"pcr  4       {predict(artefacts).pcrs[4].hex()}" in capsys.readouterr().out
    assert main([str(artefacts), "--explain", "--phases", "sysinit"]) == 0
    assert "phase sysinit" in capsys.readouterr().out


def test_a_fault_is_one_line_and_status_1(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("measure: cannot read ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--json", "--explain"], ["a", "--what"]])
def test_wrong_usage_is_status_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def isolated(folder: Path) -> list[str]:
    """Run as a process that has the two artefacts and the package's source, and nothing else of ours."""
    shutil.copytree(SOURCE / "provisioner" / "measure", folder / "provisioner" / "measure")
    for name in ("__init__.py", "errors.py"):
        shutil.copy(SOURCE / "provisioner" / name, folder / "provisioner" / name)
    # -I: no environment, no user site; the folder is the only addition to the standard library.
    code = "import sys; sys.path.insert(0, '.'); from provisioner.measure.__main__ import main; sys.exit(main())"
    without_network = ["unshare", "--net"] if os.geteuid() == 0 else []
    return [*without_network, sys.executable, "-I", "-S", "-c", code, ".", "--json"]


def test_prediction_needs_the_artefacts_alone(artefacts):
    expected = predict(artefacts).to_json()
    done = subprocess.run(isolated(artefacts), cwd=artefacts, env={"PATH": os.environ["PATH"]},
                          capture_output=True, timeout=60, check=True)  # fmt: skip
    assert json.loads(done.stdout) == expected


def test_prediction_loads_nothing_that_could_ask_a_machine():
    code = "import sys, provisioner.measure; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, timeout=60,
                          check=True)  # fmt: skip
    loaded = set(done.stdout.split())
    assert "provisioner.measure.prediction" in loaded
    forbidden = {"socket", "ssl", "subprocess", "urllib.request", "cryptography", "provisioner.clouds", "client_sdk"}
    assert not loaded & forbidden
