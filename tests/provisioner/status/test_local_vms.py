"""The status of VMs on this machine, from the store alone: nothing is booted. Each test breaks one thing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from client_sdk.binding import DEBUG_LOCKDOWN
from client_sdk.release import TemplateEvent
from provisioner.clouds import processes
from provisioner.clouds.state import Record, Store
from provisioner.publish import PUBLISHER, RELEASE
from provisioner.status.deployment import exit_code, wrong
from provisioner.status.local import read_local
from provisioner.status.look import Wanted, look
from provisioner.status.telling import age, as_dict, lines
from provisioner.verdict import FILE
from tests.fakes.simulated_vm import measurement
from tests.provisioner.status.conftest import DAY, KEY, NOW, bake, keep, publish

TOLD = {"name": "toy", "cloud": "qemu", "port": 8443, "memory_mib": 1024}


def record(image, port=8443):
    inputs = [[str(image / name), 1, 2, 3] for name in ("code.fd", "boot.raw", "model.raw")]
    return Record(
        plan_digest="d" * 64,
        inputs=json.dumps(inputs),
        port=port,
        accelerator="tcg",
        qemu=("qemu", "toy"),
        swtpm=("swtpm", "toy"),
    )


@pytest.fixture
def alive(monkeypatch):
    """Which commands run."""
    running = {"qemu", "swtpm"}
    monkeypatch.setattr(processes, "find", lambda command: 42 if command.argv[0] in running else None)
    return running


@pytest.fixture
def toy(build, tmp_path, alive):
    """A deployment that is as it should be."""
    root = build / "toy"
    publish(root)
    image = bake(root, tmp_path / "images")
    Store(root / "vms").create("toy", record(image))
    keep(root)
    return root


def looked(build, **changes):
    return look(Wanted(told=TOLD | changes, build=build))


def faults(build, **changes):
    (one,) = looked(build, **changes)
    return wrong(one, NOW)


def test_nothing_is_wrong_with_what_runs_and_was_accepted(toy, build):
    (one,) = looked(build)
    assert (one.state, one.doors, wrong(one, NOW), exit_code((one,), NOW)) == ("running", (), (), 0)
    assert [(node.address, node.running, node.image) for node in one.vm.nodes] == [("127.0.0.1", True, KEY)]
    text = "\n".join(lines((one,), NOW))
    for part in ("toy (qemu): running", "127.0.0.1  running  image 1a2b1a2b1a2b", "43 checks passed", "none open"):
        assert part in text
    assert "wrong" not in text


def test_json_has_all_of_it(toy, build):
    told = json.loads(json.dumps(as_dict(looked(build), NOW)))["deployments"][0]
    assert (told["state"], told["release"]["number"], told["release"]["window"]) == ("running", 1, "valid")
    assert (told["verdict"]["verdict"], told["verdict"]["age_seconds"]) == ("accepted", 0)
    assert told["marked"] == {"count": 1, "unfinished": [], "leftover": [], "missing": [], "not_compared": ""}
    assert told["facts"] == {"accelerator": "tcg", "pid": "42"}
    assert (told["release"]["debug"], "DEBUG" in json.dumps(told)) == (False, False)


def test_no_deployment(build):
    (one,) = looked(build)
    assert (one.state, exit_code((one,), NOW)) == ("not deployed", 1)
    assert wrong(one, NOW) == ("it is not deployed: run playbooks/deploy.yml",)


def test_a_destroyed_deployment_is_not_deployed_though_its_release_stays(toy, build):
    Store(toy / "vms").remove("toy")
    assert faults(build) == ("it is not deployed: run playbooks/deploy.yml",)


@pytest.mark.parametrize("dead", [{"qemu"}, {"swtpm"}, {"qemu", "swtpm"}])
def test_a_vm_of_which_a_process_is_gone_does_not_run(toy, build, alive, dead):
    alive -= dead
    assert faults(build) == ("not running: toy; run playbooks/deploy.yml",)


def test_a_half_made_vm_is_said_to_be_one(toy, build):
    (toy / "vms/toy/state.json").unlink()
    (one,) = looked(build)
    assert one.state == "half-made"
    assert wrong(one, NOW)[0].startswith("it is half-made")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 7}'])
def test_a_damaged_record_is_said_and_the_rest_is_shown(toy, build, content):
    (toy / "vms/toy/state.json").write_text(content)
    (one,) = looked(build)
    assert (one.state, exit_code((one,), NOW)) == ("not asked", 3)
    assert "is damaged" in one.refusal
    assert (one.local.release.number, one.local.verdict.checks) == (1, 43)


def test_a_record_whose_files_cannot_be_named_is_damaged(toy, build):
    path = toy / "vms/toy/state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"inputs": "nonsense"}))
    assert "is damaged" in looked(build)[0].refusal


def test_a_debug_image_is_said_to_be_one(toy, build):
    measured = measurement()
    said = (TemplateEvent("lockdown", DEBUG_LOCKDOWN), *measured.pcr15_template[1:])
    publish(toy, measured=replace(measured, pcr15_template=said))
    (one,) = looked(build)
    assert "DEBUG: its image has a console; 1 of " in "\n".join(lines((one,), NOW))
    assert as_dict((one,), NOW)["deployments"][0]["release"]["debug"] is True


def test_a_release_that_expires_soon_is_said_and_is_not_wrong(toy, build):
    publish(toy, since=NOW - 20 * DAY)
    (one,) = looked(build)
    assert wrong(one, NOW) == ()
    assert "expires soon, 9 days left: deploy again to renew it" in "\n".join(lines((one,), NOW))


@pytest.mark.parametrize(
    ("since", "said"), [(NOW - 40 * DAY, "release 1 is expired"), (NOW + 5 * DAY, "release 1 is not yet valid")]
)
def test_a_release_outside_its_dates_is_wrong(toy, build, since, said):
    publish(toy, since=since)
    (told,) = faults(build)
    assert told.startswith(said)


def test_a_running_vm_without_a_release_is_wrong(toy, build):
    (toy / RELEASE).unlink()
    assert any("has published no release of it" in text for text in faults(build))


@pytest.mark.parametrize("name", [RELEASE, PUBLISHER])
@pytest.mark.parametrize("content", [b"", b"{}", b"nonsense"])
def test_a_damaged_release_or_key_is_a_fault_with_what_to_do(toy, build, name, content):
    (toy / name).write_bytes(content)
    (told,) = faults(build)
    assert "release.json: expected a release signed by the key in" in told
    assert "deploy once more" in told


def test_a_refused_verdict_is_wrong_with_its_rule(toy, build):
    keep(toy, verdict="refused", rule="Q3", why="the PCRs are others")
    assert faults(build) == ("the last verdict is a refusal by Q3: the PCRs are others",)


def test_a_vm_that_nobody_judged_is_wrong(toy, build):
    (toy / FILE).unlink()
    assert faults(build) == ("nobody here has judged it yet: vitrine status --verify",)


def test_a_damaged_verdict_is_no_acceptance(toy, build):
    (toy / FILE).write_bytes(b'{"verdict":"accepted"}')
    (told,) = faults(build)
    assert "verdict.json: expected a verdict" in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"release": 7}, "the last verdict is about release 7, not 1"),
        ({"origin": "https://192.0.2.1"}, "the last verdict is about https://192.0.2.1, not https://127.0.0.1:8443"),
    ],
)
def test_an_acceptance_of_something_else_does_not_count(toy, build, changes, said):
    keep(toy, **changes)
    (told,) = faults(build)
    assert told.startswith(said)


def test_a_vm_of_another_image_than_the_published_one_is_wrong(toy, build, tmp_path):
    bake(toy, tmp_path / "images", "5e6f" * 16)
    (told,) = faults(build)
    assert told.startswith("toy is of image 1a2b1a2b1a2b, and the published release of 5e6f5e6f5e6f")


def test_without_an_image_nothing_is_compared_and_that_is_said(toy, build):
    (toy / "image").unlink()
    (one,) = looked(build)
    assert one.things.leftover is None
    assert "not compared with a plan: no image of it is on this machine" in "\n".join(lines((one,), NOW))


@pytest.mark.parametrize(("changes", "said"), [({"colour": "red"}, "an unknown key"), ({"port": 1}, "whole number")])
def test_an_inventory_that_has_no_plan_any_more_is_said(toy, build, changes, said):
    (one,) = looked(build, **changes)
    assert said in one.things.why


def test_others_are_shown_beside_it_unless_a_name_is_given(toy, build):
    other = build / "other"
    Store(other / "vms").create("other", record(toy))
    assert [one.name for one in looked(build)] == ["toy", "other"]
    assert [one.name for one in look(Wanted(told=TOLD, build=build, alone=True))] == ["toy"]
    assert exit_code(looked(build), NOW) == 1


def test_a_name_that_nothing_has_is_left_out_where_there_are_others(toy, build):
    assert [one.name for one in looked(build, name="local")] == ["toy"]


def test_what_a_file_says_is_made_printable(toy, build):
    (one,) = looked(build)
    object.__setattr__(one.vm, "facts", (("zone", "\x1b[2J"),))
    assert not any("\x1b" in line for line in lines((one,), NOW))


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=5), "5 seconds ago"),
        (timedelta(minutes=119), "119 minutes ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=60), "60 days ago"),
        (timedelta(seconds=-1), "in the future: this machine's clock is wrong, or was"),
    ],
)
def test_ages(span, said):
    assert age(span) == said


def test_a_folder_that_is_not_there_has_nothing_and_no_fault(tmp_path):
    found = read_local(tmp_path / "nowhere")
    assert (found.image, found.release, found.verdict, found.faults) == ("", None, None, ())
