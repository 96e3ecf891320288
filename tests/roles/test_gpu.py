"""The role for GPUs over a configured tree, with a driver of empty files: what it makes of the units.

The driver itself, and gigabytes of wheels, are a bake's: `attester_gpus=1`.
"""

from __future__ import annotations

import configparser
import subprocess

import pytest
import yaml

from provisioner.errors import BakeError
from provisioner.gate import refuse_on_trial
from provisioner.gate.executables import shipped_executables

pytestmark = pytest.mark.root
PARTS = (
    *("usr/lib/vitrine/driver/order", "usr/lib/vitrine/driver/nvidia.ko", "usr/lib/vitrine/driver/nvidia-uvm.ko"),
    *("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", "usr/lib/x86_64-linux-gnu/libcuda.so.1"),
)
UNITS, CHANGED = "usr/lib/systemd/system", "etc/systemd/system"


def apply(play, folder, tree, gpus):
    host = {"name": "image", "ansible_connection": "rootdir", "ansible_rootdir": str(tree)}
    host |= {"ansible_python_interpreter": "/usr/bin/python3", "ansible_remote_tmp": "/var/tmp/.ansible"}
    add = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.add_host": host}]}
    roles = {"hosts": "image", "gather_facts": False, "roles": ["attester", "gpu"]}
    (folder / "gpu.yml").write_text(yaml.safe_dump([add, roles]))
    return play(folder / "gpu.yml", "-e", f"attester_gpus={gpus}")


@pytest.fixture(scope="module")
def bare(configured, tmp_path_factory):
    """A copy of the tree; the driver's parts are there, as a bake would have left them."""
    tree = tmp_path_factory.mktemp("gpu") / "tree"
    subprocess.run(["cp", "-a", "--reflink=auto", configured, tree], check=True)
    for part in PARTS:
        (tree / part).parent.mkdir(parents=True, exist_ok=True)
        (tree / part).write_bytes(b"")
    return tree


@pytest.fixture(scope="module")
def tree(bare, play, tmp_path_factory):
    done = apply(play, tmp_path_factory.mktemp("play"), bare, 2)
    assert done.returncode == 0, done.stdout[-3000:]
    return bare


def unit(tree, path):
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    text = (tree / path).read_text()
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}, text.splitlines()


@pytest.mark.parametrize("missing", PARTS)
def test_a_tree_without_a_part_of_the_driver_is_refused(bare, play, tmp_path, missing):
    (bare / missing).rename(tmp_path / "part")
    try:
        done = apply(play, tmp_path, bare, 2)
    finally:
        (tmp_path / "part").rename(bare / missing)
    assert done.returncode != 0
    assert f"the tree has no /{missing}: " in " ".join(done.stdout.split())


@pytest.mark.parametrize("gpus", ["33", "-1"])
def test_a_number_of_gpus_that_is_none_is_refused_before_the_tree_is_looked_at(bare, play, tmp_path, gpus):
    done = apply(play, tmp_path, bare, gpus)
    assert done.returncode != 0
    assert f"attester_gpus is {gpus}: say how many GPUs the machine has" in done.stdout


def test_an_image_without_gpus_has_nothing_of_it(configured):
    assert not [path for folder in (UNITS, CHANGED) for path in (configured / folder).rglob("*gpu*")]
    assert not (configured / "usr/lib/vitrine/driver").exists()
    assert "vitrine-gpu" not in (configured / "etc/group").read_text()
    assert "--gpus 0\n" in (configured / UNITS / "vitrine-attester.service").read_text()


def test_the_attester_is_told_how_many_and_may_reach_them_alone(tree):
    assert "--gpus 2\n" in (tree / UNITS / "vitrine-attester.service").read_text()
    _, lines = unit(tree, f"{CHANGED}/vitrine-attester.service.d/60-gpu.conf")
    allowed = [line for line in lines if line.startswith("DeviceAllow=")]
    assert allowed == ["DeviceAllow=/dev/nvidiactl rw", "DeviceAllow=/dev/nvidia0 rw", "DeviceAllow=/dev/nvidia1 rw"]


def test_the_engine_waits_until_they_may_work_and_has_no_other_device(tree):
    sections, lines = unit(tree, f"{CHANGED}/vitrine-engine-vllm@.service.d/60-gpu.conf")
    assert sections["Unit"] == {"Requires": "vitrine-gpu-ready.service", "After": "vitrine-gpu-ready.service"}
    allowed = [line.partition("=")[2] for line in lines if line.startswith("DeviceAllow=")]
    devices = ("nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1")
    assert allowed == ["", *(f"/dev/{name} rw" for name in devices)]


@pytest.mark.parametrize("name", ["vitrine-gpu.service", "vitrine-gpu-ready.service"])
def test_a_step_that_fails_powers_the_machine_off(tree, name):
    sections, _ = unit(tree, f"{UNITS}/{name}")
    assert sections["Unit"]["FailureAction"] == "poweroff-force"
    assert (tree / CHANGED / "multi-user.target.wants" / name).is_symlink()


def test_the_order_is_nodes_then_self_check_then_evidence_then_work(tree):
    first, _ = unit(tree, f"{UNITS}/vitrine-gpu.service")
    assert {"vitrine-selfcheck.service", "vitrine-attester.service"} <= set(first["Unit"]["Before"].split())
    check, _ = unit(tree, f"{CHANGED}/vitrine-selfcheck.service.d/60-gpu.conf")
    assert check["Unit"] == {"Requires": "vitrine-gpu.service", "After": "vitrine-gpu.service"}
    last, _ = unit(tree, f"{UNITS}/vitrine-gpu-ready.service")
    assert (last["Unit"]["Requires"], last["Unit"]["After"]) == ("vitrine-attester.service",) * 2


def test_the_bus_is_closed_before_the_self_check_looks(tree):
    _, lines = unit(tree, f"{UNITS}/vitrine-gpu.service")
    steps = [line for line in lines if line.startswith("ExecStart=")]
    assert [step.split("=")[1].split()[0] for step in steps] == ["/usr/bin/python3", "+/usr/bin/mount"]
    assert "remount,bind,ro" in steps[1]
    # The tree of this test was stripped before it had a driver; one that has it keeps the program.
    (mount,) = [executable for executable in shipped_executables() if executable.path == "usr/bin/mount"]
    assert (tree / mount.where / "order").is_file()


def test_its_units_are_as_confined_as_is_written_down(tree):
    """The gate's own trial, and one right more than that, which it refuses."""
    refuse_on_trial(tree, "test", progress=lambda _: None)
    more = tree / UNITS / "vitrine-gpu-ready.service.d/30-more.conf"
    more.write_text("[Service]\nPrivateNetwork=no\n")
    try:
        with pytest.raises(BakeError, match=r"service_sandbox \(exposure\): vitrine-gpu-ready.service: 2"):
            refuse_on_trial(tree, "test", progress=lambda _: None)
    finally:
        more.unlink()


def test_the_group_has_its_number(tree):
    assert "vitrine-gpu:x:883:" in (tree / "etc/group").read_text()


def test_the_step_of_root_runs_on_the_images_own_python(tree, enter):
    argv = ["unshare", "--mount", "--pid", "--fork", "--net", "sh", "-c", enter, "sh", str(tree)]
    program = ["/usr/bin/python3", "-S", "-P", "-m", "serving.attest.gpu_ready"]
    environment = {"PYTHONPATH": "/usr/lib/vitrine", "PYTHONDONTWRITEBYTECODE": "1"}
    for arguments, code, words in (([], 2, "keep or work"), (["work", "1"], 1, "libnvidia-ml.so.1 cannot be opened")):
        done = subprocess.run(
            [*argv, *program, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert words in done.stderr
