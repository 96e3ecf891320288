import json
import multiprocessing

import pytest

from provisioner.clouds import state
from provisioner.clouds.state import Record, Store, record_of
from provisioner.errors import CloudError

RECORD = Record(plan_digest="aa", inputs="[]", port=1, accelerator="tcg", qemu=("qemu",), swtpm=("swtpm",))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "vms")


def test_a_record_survives_the_disk(store):
    store.create("toy", RECORD)
    assert store.read("toy") == RECORD
    assert store.names() == ("toy",)
    assert store.folder("toy").stat().st_mode & 0o777 == 0o700  # the TPM's secrets lie there


def test_nothing_there_is_no_record(store):
    assert store.names() == ()
    assert store.read("toy") is None
    store.remove("toy")


def test_create_replaces_what_an_earlier_attempt_left(store):
    (store.create("toy", RECORD) / "left-over").write_text("x")
    assert [path.name for path in store.create("toy", RECORD).iterdir()] == ["state.json"]


DAMAGE = {
    "is empty": "",
    "is cut": '{"version": 1, "plan',
    "is not an object": "[]",
    "nests deeply": "[" * 100_000,
    "has no version": "{}",
    "is of another version": '{"version": 2}',
    "lacks keys": '{"version": 1, "qemu": ["q"], "swtpm": ["s"]}',
    "has a key too many": json.dumps(
        {"version": 1, "plan_digest": "", "inputs": "", "port": 1, "accelerator": "tcg", "qemu": ["q"],
         "swtpm": ["s"], "extra": 1}
    ),
    "names no command": '{"version": 1, "qemu": [], "swtpm": ["s"]}',
    "names a command of numbers": '{"version": 1, "qemu": [1], "swtpm": ["s"]}',
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_says_what_to_do(store, damage):
    store.create("toy", RECORD)
    (store.folder("toy") / "state.json").write_text(DAMAGE[damage])
    with pytest.raises(CloudError, match=r"state\.json is damaged .*stop that VM by hand"):
        store.read("toy")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "vms").write_text("a file is in the way")
    store = Store(tmp_path / "vms")
    with pytest.raises(CloudError, match="cannot write"):
        store.create("toy", RECORD)
    with pytest.raises(CloudError, match="cannot write"), store.lock():
        pass


def _hold(directory, ready, done):
    with Store(directory).lock():
        ready.set()
        done.wait(20)


def test_a_second_deploy_waits_and_then_says_so(store, monkeypatch):
    monkeypatch.setattr(state, "_LOCK_SECONDS", 0.3)
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(store.directory, ready, done))
    other.start()
    assert ready.wait(20)
    with pytest.raises(CloudError, match="another deploy or destroy holds"), store.lock():
        pass
    done.set()
    other.join(20)
    with store.lock():
        pass


def test_inputs_that_are_missing_or_unreadable(make_plan, monkeypatch):
    plan = make_plan()
    assert record_of(plan) == record_of(plan)
    with monkeypatch.context() as patch:
        patch.setattr(state.os, "access", lambda *_: False)
        with pytest.raises(CloudError, match="is not readable by this user"):
            record_of(plan)
    plan.reads[1].unlink()
    with pytest.raises(CloudError, match=r"disk\.raw cannot be used: No such file.*run that first"):
        record_of(plan)
