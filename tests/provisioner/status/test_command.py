"""The command from its words to its exit code; judging now is over TLS with a simulated VM."""

from __future__ import annotations

import json

import pytest

from client_sdk.cli import main
from provisioner import acceptance
from provisioner.clouds import Node, Vm, choice
from provisioner.clouds.resources import Found, Key, Mark
from provisioner.errors import CloudError
from provisioner.status import judge, run
from provisioner.verdict import FILE, last_verdict
from tests.fakes.simulated_server import serving
from tests.fakes.simulated_vm import SimulatedVm, TestCa
from tests.provisioner.status.conftest import keep, publish

INVENTORY = "deploy_name: toy\ndeploy_vm: {name: '{{ deploy_name }}', cloud: gcp}\n"


class Sky:
    """A cloud that says what a test has it say."""

    def __init__(self):
        self.vm, self.doors, self.things, self.refuses, self.asked = None, (), [], {}, []

    def _say(self, method, value):
        self.asked.append(method)
        if method in self.refuses:
            raise CloudError(self.refuses[method])
        return value

    def found(self):
        return self._say("found", tuple(Found(key, Mark(name, "d"), "ready") for name, key in self.things))

    def find(self, name):
        return self._say("find", self.vm if self.vm is not None and self.vm.name == name else None)

    def open_doors(self, name):
        return self._say("open_doors", self.doors)

    def deploy(self, origin="https://127.0.0.1:9"):
        node = Node(name="toy-1", address="10.0.0.2", running=True, image="")
        self.vm = Vm(name="toy", endpoint=origin, running=True, nodes=(node,))
        self.things = [("toy", Key("instance", "toy-1"))]


@pytest.fixture
def sky(build, tmp_path, monkeypatch):
    sky = Sky()
    monkeypatch.setattr(choice, "CLOUDS", {"gcp": lambda *_: sky})
    monkeypatch.setattr(run, "BUILD", build)
    monkeypatch.setattr(acceptance, "PAUSE", 0.01)
    monkeypatch.setattr(judge, "SECONDS", 0.5)
    monkeypatch.setattr(judge, "_trust", lambda _one, root, _by: acceptance.Trust("simulated", root / "tpm-ca.pem"))
    (tmp_path / "hosts.yml").write_text("all: {hosts: {localhost: }}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text(INVENTORY)
    return sky


@pytest.fixture
def status(sky, tmp_path, capfd):
    def call(*words):
        code = main(["status", "-i", str(tmp_path / "hosts.yml"), *map(str, words)])
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def test_all_is_well(sky, status, build):
    sky.deploy()
    publish(build / "toy")
    keep(build / "toy", origin=sky.vm.endpoint)
    code, out, _ = status()
    assert (code, "toy (gcp): running" in out, "none open" in out) == (0, True, True)
    assert sky.asked == ["found", "find", "open_doors"]


def test_an_open_door_is_wrong(sky, status, build):
    sky.deploy()
    sky.doors = ("toy-1: ssh is open: shut it",)
    publish(build / "toy")
    keep(build / "toy", origin=sky.vm.endpoint)
    code, out, _ = status()
    assert (code, "wrong     toy-1: ssh is open: shut it" in out) == (1, True)
    assert status("--no-doors")[0] == 0
    assert sky.asked.count("open_doors") == 1


def test_no_credentials_are_one_line_and_what_is_known_here_is_shown(sky, status, build):
    sky.refuses["found"] = "no credentials: log in"
    publish(build / "toy")
    keep(build / "toy")
    code, out, err = status()
    assert (code, err, out.count("no credentials: log in")) == (3, "", 1)
    assert "1 of vitrine, valid" in out
    assert "accepted" in out


def test_a_refused_verdict_is_worse_than_a_cloud_that_cannot_be_asked(sky, status, build):
    sky.refuses["found"] = "no credentials: log in"
    publish(build / "toy")
    keep(build / "toy", verdict="refused", rule="K1", why="x")
    assert status()[0] == 1


@pytest.mark.parametrize(("method", "exit_code"), [("find", 3), ("open_doors", 1)])
def test_a_cloud_that_refuses_later_is_said(sky, status, build, method, exit_code):
    sky.deploy()
    publish(build / "toy")
    keep(build / "toy", origin=sky.vm.endpoint)
    sky.refuses[method] = "the permission is missing"
    code, out, _ = status()
    assert (code, "not asked the permission is missing" in out) == (exit_code, True)


def test_things_without_a_machine_are_half_a_deployment(sky, status):
    sky.things = [("toy", Key("disk", "toy"))]
    code, out, _ = status()
    assert (code, "toy (gcp): half-made" in out) == (1, True)


def test_other_deployments_have_no_doors_read_with_this_inventory(sky, status):
    sky.deploy()
    sky.things.append(("other", Key("disk", "other")))
    told = json.loads(status("--json")[1])["deployments"]
    assert [(one["name"], one["open_doors"]) for one in told] == [("toy", []), ("other", None)]
    assert "another inventory" in told[1]["marked"]["not_compared"]
    assert [one["name"] for one in json.loads(status("--json", "--name", "toy")[1])["deployments"]] == ["toy"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--policy", "p.toml"), "they need --verify"),
        (("--collateral", "c"), "they need --verify"),
        (("--name", "../x"), "name: expected a lower-case letter"),
        (("-i", "nowhere"), "-i: expected an inventory"),
    ],
)
def test_usage(status, words, said):
    code, out, err = status(*words)
    assert (code, out, said in err, "Traceback" in err) == (2, "", True, False)


def test_an_unknown_option_is_usage(status):
    with pytest.raises(SystemExit) as caught:
        status("--forget")
    assert caught.value.code == 2


def test_an_inventory_of_no_cloud_is_usage(sky, status, tmp_path):
    (tmp_path / "group_vars/all.yml").write_text("deploy_vm: {name: toy, cloud: nimbus}\n")
    code, _, err = status()
    assert (code, "cloud: expected one of" in err) == (2, True)


def test_judging_now_accepts_and_keeps_it(sky, status, build):
    publish(build / "toy")
    with serving(SimulatedVm()) as server:
        sky.deploy(server.origin)
        assert status()[0] == 1  # nobody has judged it
        assert status("--verify")[0] == 0
        assert status()[0] == 0
    assert last_verdict(build / "toy").verdict == "accepted"


def test_judging_now_refuses_another_vm_whatever_was_accepted_before(sky, status, build):
    publish(build / "toy")
    with serving(SimulatedVm(ca=TestCa("another CA"))) as server:
        sky.deploy(server.origin)
        keep(build / "toy", origin=server.origin)
        assert status()[0] == 0
        code, out, _ = status("--verify")
        assert (code, "a refusal by K1" in out) == (1, True)
        assert status()[0] == 1


def test_a_refusal_that_cannot_be_kept_is_no_acceptance(sky, status, build, monkeypatch):
    publish(build / "toy")
    monkeypatch.setattr(judge, "keeper", lambda *_: lambda _verdict: None)
    with serving(SimulatedVm(ca=TestCa("another CA"))) as server:
        sky.deploy(server.origin)
        keep(build / "toy", origin=server.origin)
        code, out, _ = status("--verify")
    assert (code, "refused now, which could not be kept" in out) == (1, True)


def test_nobody_who_answers_is_wrong_and_no_verdict(sky, status, build):
    sky.deploy()
    publish(build / "toy")
    keep(build / "toy", origin=sky.vm.endpoint)
    before = (build / "toy" / FILE).read_bytes()
    code, out, _ = status("--verify")
    assert (code, "no verdict now: https://127.0.0.1:9 did not answer" in out) == (1, True)
    assert (build / "toy" / FILE).read_bytes() == before


def test_without_a_release_nothing_is_judged(sky, status):
    sky.deploy()
    code, out, _ = status("--verify")
    assert (code, "no verdict now" in out, "release.json" in out) == (1, True, True)


def test_what_is_not_there_is_not_judged(sky, status):
    assert status("--verify")[0] == 1
