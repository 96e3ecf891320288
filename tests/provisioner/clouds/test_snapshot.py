import pytest

from provisioner.clouds import processes
from provisioner.clouds.processes import Command
from provisioner.clouds.qemu import status
from provisioner.errors import CloudError
from tests.provisioner.clouds.conftest import files, quiet
from tests.snapshot import restore, save


@pytest.fixture
def saved(cloud, make_plan, tmp_path):
    cloud.apply(make_plan(), progress=quiet)
    save(cloud, "toy", tmp_path / "saved")
    return tmp_path / "saved"


def test_a_clone_runs_and_the_original_is_gone(cloud, make_plan, saved):
    assert cloud.list() == ()
    assert files(saved) == ["memory", "vars.fd"]
    clone = restore(cloud, make_plan(name="clone"), saved, progress=quiet)
    assert clone.running
    assert status(clone.directory) == "running"
    cloud.destroy("clone", progress=quiet)
    assert cloud.list() == ()


def test_restoring_twice_replaces_the_first_clone(cloud, make_plan, saved):
    first = restore(cloud, make_plan(), saved, progress=quiet)
    second = restore(cloud, make_plan(), saved, progress=quiet)
    assert first.pid != second.pid
    assert len(cloud.list()) == 1


def test_what_does_not_run_is_not_saved(cloud, tmp_path):
    with pytest.raises(CloudError, match="toy does not run"):
        save(cloud, "toy", tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_full_disk_while_saving_leaves_no_half_state(cloud, make_plan, tmp_path, monkeypatch):
    plan = make_plan()
    cloud.apply(plan, progress=quiet)
    monkeypatch.setattr("tests.snapshot._MEMORY", "no/such/folder")
    with pytest.raises(CloudError, match="cannot save toy"):
        save(cloud, "toy", tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    assert not list(tmp_path.glob(".saved*"))
    assert cloud.list() == ()


@pytest.mark.parametrize("fault", ["cut", "empty", "missing", "other memory size", "no variables"])
def test_a_state_that_does_not_fit_is_refused_and_nothing_stays(cloud, make_plan, saved, fault):
    memory = saved / "memory"
    plan = make_plan(memory_mib=640 if fault == "other memory size" else 512)
    if fault == "cut":
        memory.write_bytes(memory.read_bytes()[:70_000])
    elif fault == "empty":
        memory.write_bytes(b"")
    elif fault == "missing":
        memory.unlink()
    elif fault == "no variables":
        (saved / "vars.fd").unlink()
    with pytest.raises(CloudError):
        restore(cloud, plan, saved, progress=quiet)
    assert cloud.list() == ()
    assert processes.find(Command(cloud.store.folder("toy"), plan.swtpm)) is None
