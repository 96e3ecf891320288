"""A rollout on a fake of a cloud, whoever the vendor is: what is watched at every call, and what each test holds.

The fakes' machines are listeners and prove nothing, so a stand-in judges them: it asks the fake which machine a
connection would have led to. That real machines are judged rightly is held elsewhere.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioner.clouds.remote import RemoteCloud
from provisioner.errors import BusyError, CloudError, MeasureError, PlanError
from provisioner.launch import launch
from provisioner.meeting import RefusedNodeError
from provisioner.publish import prepare, promote
from provisioner.rollout import Rollout, roll_out
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.clouds.interruptions import Interrupted, at_call
from tests.provisioner.measure.fake_artefacts import write_artefacts
from tests.provisioner.test_publish import write_manifest

WHOLE = bool(os.environ.get("VITRINE_EVERY_CALL"))
STEP = 1 if WHOLE else 191
SOME = 7 if WHOLE else 191  # where the first test of every call says most of it already
SERVICE, STAGING = "service", "staging"


@dataclass
class Releases:
    """The operator's folder: images with manifests, candidates, what is published."""

    folder: Path

    @property
    def root(self):
        return self.folder / "prod"

    def candidate(self, key):
        path = self.folder / "images" / key
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_artefacts(path, seed=key[0].encode()[0])
            write_manifest(path, kernel=key)
        return prepare(path, self.root, service="test", now=datetime.now(UTC))

    def publish(self, key):
        self.candidate(key)
        promote(self.root)

    @property
    def published(self):
        """The key of the image that clients were told of: the release is renamed last, so its manifest counts."""
        told = {path.read_bytes(): path.parent.name for path in (self.folder / "images").glob("*/manifest.json")}
        link = (self.root / "image").resolve().name
        return told[(self.root / "manifest.json").read_bytes()] if not list(self.root.glob("rel*candidate*")) else link

    @property
    def numbers(self):
        return sorted(int(path.stem) for path in (self.root / "releases").glob("*.json"))


@dataclass
class Judge:
    """Meets in turn the machines that the fake leads an endpoint to; ``bad`` says which are refused, by number."""

    scene: object
    bad: frozenset = frozenset()
    met: list = field(default_factory=list)
    count: object = field(default_factory=itertools.count)

    def __call__(self, endpoint, *, progress):
        assert endpoint == self.scene.endpoint(STAGING)
        there = sorted(self.scene.led(STAGING))
        name, image = there[next(self.count) % len(there)]
        assert image == self.scene.short(self.scene.new)
        assert {one for _, one in self.scene.led(SERVICE)} == {self.scene.short(self.scene.old)}
        self.met.append(name)
        if there.index((name, image)) in self.bad:
            raise RefusedNodeError(name, f"PCR 11 differs on {name}")
        return name


class Scene:
    """One vendor's fake with two images. What a subclass says of its fake, this asks at every call."""

    old: str
    new: str
    replicas = 2

    def __init__(self, releases):
        self.releases, self.seen, self.said, self.changes, self.saved = releases, [], [], {}, None

    # Of the vendor: api, variables, image, cloud, led, endpoint, has, leftovers, destroy, start, save, restore,
    # nothing_starts, no_quota, too_much, enough, break_new.

    def again(self):
        """Have the old image deployed and published in an empty cloud, and nothing else."""
        kept = self.releases.folder / "kept"
        if self.saved is None:
            self.start()
            self.deploy(self.old)
            self.saved = self.save()
            shutil.copytree(self.releases.root, kept, symlinks=True)
        else:
            self.restore(self.saved)
            shutil.rmtree(self.releases.root)
            shutil.copytree(kept, self.releases.root, symlinks=True)
        self.watch()

    def short(self, key):
        """How a machine of this image is labelled."""
        return key

    def deploy(self, key):
        cloud, image = self.cloud(), self.image(key)
        spec = cloud.spec(self.variables(), image)
        cloud.launch(spec, progress=quiet)
        self.releases.publish(key)
        (self.releases.root / "policy.toml").write_text(cloud.guest(spec).policy)

    def rollout(self, key=None, judge=None, **changes):
        key = key or self.new
        self.releases.candidate(key)
        wanted = Rollout(
            variables=self.variables(),
            image=self.image(key),
            root=self.releases.root,
            **{"announce": 0.0, "overlap": 0.0, "drain": 0.0, "seconds": 30.0, **changes},
        )
        return roll_out(wanted, self.cloud(), judge or Judge(self), progress=self.said.append)

    def watch(self):
        """After every call from now on: somebody serves, and nobody whose release is not published."""
        self.real = self.api.handler

        def handle(call):
            answer = self.real(call)
            self.look()
            return answer

        self.api.handler = handle
        self.seen.clear()

    def unwatch(self):
        """Go on without: tests that change who is old."""
        self.api.handler = self.real

    def look(self):
        serving = frozenset(image for _, image in self.led(SERVICE))
        assert serving, "nobody serves"
        told = {self.short(self.old)}
        if 2 in self.releases.numbers:
            told.add(self.short(self.new))
        assert serving <= told, "a machine serves whose release nobody was told of"
        now = serving, frozenset(image for _, image in self.led(STAGING))
        if not self.seen or self.seen[-1] != now:
            self.seen.append(now)


class RollingTests:
    """What every vendor's rollouts hold to; the fixture ``scene`` has the old image deployed and is watched."""

    def test_a_rollout_from_one_release_to_the_next(self, scene):
        old, new = scene.short(scene.old), scene.short(scene.new)
        judge = Judge(scene)
        before = scene.endpoint(SERVICE)
        assert scene.rollout(judge=judge)
        assert len(set(judge.met)) == scene.replicas
        assert scene.has(scene.new)
        assert scene.endpoint(SERVICE) == before
        assert scene.endpoint(STAGING) == ""
        assert (scene.releases.published, scene.releases.numbers) == (scene.new, [1, 2])
        alone, both = frozenset({old}), frozenset({old, new})
        steps = [serving for serving, _ in scene.seen]
        assert list(dict.fromkeys(steps)) == [alone, both, frozenset({new})]
        assert steps == sorted(steps, key=[alone, both, frozenset({new})].index)
        assert {staged for _, staged in scene.seen} == {frozenset(), frozenset({new})}
        assert scene.seen[-1] == (frozenset({new}), frozenset())
        assert not any(scene.old[:16] in one for one in scene.leftovers())

    def test_a_second_run_changes_nothing(self, scene):
        scene.rollout()
        before = scene.leftovers()
        assert not scene.rollout(judge=None)
        assert scene.leftovers() == before
        assert scene.releases.numbers == [1, 2]

    @pytest.mark.parametrize("bad", [{0}, {1}, {0, 1}], ids=str)
    def test_a_machine_that_is_refused_is_named_and_everything_is_as_before(self, scene, bad):
        before = scene.leftovers()
        judge = Judge(scene, bad=frozenset(bad))
        with pytest.raises(MeasureError, match="rolled back, nothing is published") as caught:
            scene.rollout(judge=judge)
        assert len(re.findall(r"the machine with TLS key \S+: PCR 11 differs", str(caught.value))) == len(bad)
        self.is_as_before(scene, before)

    def is_as_before(self, scene, before):
        assert scene.leftovers() == before
        assert scene.has(scene.old)
        assert (scene.releases.published, scene.releases.numbers) == (scene.old, [1])
        assert {serving for serving, _ in scene.seen} == {frozenset({scene.short(scene.old)})}

    def test_a_file_that_clients_need_is_missing(self, scene):
        before = scene.leftovers()

        def judge(endpoint, *, progress):
            raise CloudError("collateral is not complete")

        with pytest.raises(CloudError, match=r"rolled back, nothing is published, .* collateral is not complete"):
            scene.rollout(judge=judge)
        self.is_as_before(scene, before)

    def test_machines_that_never_come_up(self, scene):
        before = scene.leftovers()
        scene.nothing_starts()
        with pytest.raises(CloudError, match=r"rolled back.*not ready within 0 s"):
            scene.rollout(seconds=0.2)
        self.is_as_before(scene, before)

    def test_no_quota_for_a_second_group(self, scene):
        before = scene.leftovers()
        scene.no_quota()
        with pytest.raises(CloudError, match=r"rolled back.*quota"):
            scene.rollout(seconds=60.0)  # it does not wait for what will never be
        self.is_as_before(scene, before)

    def test_deploying_another_image_over_a_published_group_is_refused(self, scene, monkeypatch):
        monkeypatch.setattr("provisioner.launch.cloud_of", lambda *_, **__: scene.cloud())
        before = scene.leftovers()
        with pytest.raises(CloudError, match=r"their release is published: bring them .* playbooks/rollout.yml"):
            launch(scene.variables(), scene.image(scene.new), scene.releases.root, seconds=1, progress=quiet)
        assert scene.leftovers() == before
        (scene.releases.root / "release.json").unlink()
        scene.unwatch()  # nobody was told of anything
        launch(scene.variables(), scene.image(scene.new), scene.releases.root, seconds=5, progress=quiet)
        assert scene.has(scene.new)

    def test_an_inventory_that_changes_more_than_the_image_changes_nothing(self, scene):
        before = scene.leftovers()
        for change in scene.too_much():
            scene.changes = change
            with pytest.raises(PlanError, match="destroy and deploy again"):
                scene.rollout()
            assert scene.leftovers() == before, change

    def test_other_clients_and_another_kind_of_machine_come_with_the_new_image(self, scene):
        scene.changes = scene.enough()
        scene.rollout()
        assert scene.has(scene.new)

    @pytest.mark.parametrize("wait", ["announce", "overlap", "drain"])
    def test_interrupted_while_it_waits(self, scene, wait):
        with pytest.raises(Interrupted):
            scene.rollout(**{wait: InterruptedAt()})
        assert len({image for _, image in scene.led(SERVICE)}) == (2 if wait == "overlap" else 1)
        scene.rollout()
        assert scene.has(scene.new)
        assert scene.releases.numbers == [1, 2]

    def test_an_old_group_whose_end_was_asked_for_goes_before_it_is_drained_again(self, scene, monkeypatch):
        with pytest.raises(Interrupted):
            scene.rollout(drain=InterruptedAt())
        real = RemoteCloud.open_doors

        def gone(cloud, name):
            found, other = real(cloud, name), scene.cloud()
            other.launch(other.spec(scene.variables(), scene.image(scene.new)), progress=quiet)
            return found

        monkeypatch.setattr(RemoteCloud, "open_doors", gone)
        assert scene.rollout()
        assert scene.has(scene.new)

    def test_a_run_that_goes_on_after_publication_verifies_the_new_machines_once_more(self, scene):
        with pytest.raises(Interrupted):
            scene.rollout(announce=InterruptedAt())
        judge = Judge(scene)
        scene.rollout(judge=judge)
        assert len(set(judge.met)) == scene.replicas
        assert scene.releases.numbers == [1, 2]

    @pytest.mark.parametrize("wait", ["announce", "overlap"])
    def test_machines_made_anew_after_publication_serve_nobody_before_they_are_verified(self, scene, wait):
        with pytest.raises(Interrupted):
            scene.rollout(**{wait: InterruptedAt()})
        scene.break_new()
        judge = Judge(scene)
        scene.rollout(judge=judge)
        assert len(set(judge.met)) == scene.replicas
        assert scene.has(scene.new)
        assert scene.releases.numbers == [1, 2]

    def test_machines_that_are_refused_after_publication_go_and_their_release_stays(self, scene):
        with pytest.raises(Interrupted):
            scene.rollout(announce=InterruptedAt())
        with pytest.raises(MeasureError, match="rolled back, its release stays published"):
            scene.rollout(judge=Judge(scene, bad=frozenset({0})))
        assert {image for _, image in scene.led(SERVICE)} == {scene.short(scene.old)}
        assert scene.led(STAGING) == []
        scene.rollout()
        assert scene.has(scene.new)

    def test_another_run_prepares_a_release_between_acceptance_and_publication(self, scene):
        real = Judge(scene)

        def judge(endpoint, *, progress):
            with pytest.raises(BusyError, match="another run prepares or publishes a release"):
                scene.releases.candidate(scene.third)
            return real(endpoint, progress=progress)

        scene.rollout(judge=judge)
        assert (scene.releases.published, scene.releases.numbers) == (scene.new, [1, 2])

    @pytest.mark.parametrize("wait", ["announce", "overlap"])
    def test_a_door_that_is_opened_while_it_waits_stops_it(self, scene, wait, monkeypatch):
        with pytest.raises(Interrupted):
            scene.rollout(**{wait: InterruptedAt()})
        shut = RemoteCloud.open_doors
        looks, met = itertools.count(), int(wait == "announce")  # meeting them ends with a look of its own

        def opened(cloud, name):  # after the new machines were verified once more
            return ("prod: serial port",) if next(looks) == met else shut(cloud, name)

        monkeypatch.setattr(RemoteCloud, "open_doors", opened)
        before = scene.led(SERVICE)
        with pytest.raises(CloudError, match="open doors, the rollout goes no further: prod: serial port"):
            scene.rollout()
        assert scene.led(SERVICE) == before
        scene.rollout()
        assert scene.has(scene.new)

    def test_machines_that_the_policy_of_today_s_clients_does_not_take(self, scene):
        (scene.releases.root / "policy.toml").write_text("version = 1\n")
        before = scene.leftovers()
        with pytest.raises(PlanError, match=r"policy which clients were given .* may not take"):
            scene.rollout()
        assert scene.leftovers() == before
        assert (scene.releases.root / "policy.toml").read_text() == "version = 1\n"

    @pytest.mark.parametrize("target", ["the third image", "back to the first"])
    def test_another_image_while_two_serve(self, scene, target):
        """The rollout that was interrupted is brought to its end first; what serves already is verified once more."""
        with pytest.raises(Interrupted):
            scene.rollout(overlap=InterruptedAt())
        scene.unwatch()
        scene.old, scene.new = scene.new, scene.third if target == "the third image" else scene.old
        judge = Judge(scene)
        scene.rollout(judge=judge)
        assert len(set(judge.met)) == scene.replicas
        assert scene.has(scene.new)
        assert scene.releases.numbers == [1, 2, 3]

    def test_another_image_while_one_is_staged(self, scene):
        with pytest.raises(Interrupted):
            scene.rollout(judge=Judge(scene, bad=Interrupting()))
        scene.unwatch()
        abandoned, scene.new = scene.new, scene.third
        scene.rollout()
        assert scene.has(scene.new)
        assert not any(abandoned[:16] in one for one in scene.leftovers())

    def test_interrupted_while_it_publishes(self, scene, monkeypatch):
        """The link is renamed first, the release last: in between clients were told of nothing new."""
        real = Path.rename

        def rename(path, target):
            if path.name == "release.candidate.json":
                raise Interrupted
            return real(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            with pytest.raises(Interrupted):
                scene.rollout()
        assert scene.releases.numbers == [1]
        judge = Judge(scene)
        scene.rollout(judge=judge)
        assert len(set(judge.met)) == scene.replicas, "published without being verified"
        assert scene.has(scene.new)

    @pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
    def test_interrupted_at_a_call_the_next_run_goes_on(self, scene, monkeypatch, after):
        for number in self.numbers(scene, monkeypatch, after=after):
            self.interrupt(scene, monkeypatch, number, after=after)
            scene.rollout()
            assert scene.has(scene.new), f"interrupted at call {number}"
            assert scene.releases.numbers == [1, 2], f"interrupted at call {number}"
            scene.again()

    @pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
    def test_interrupted_at_a_call_and_refused_by_the_next_run_it_is_done_or_as_before(self, scene, monkeypatch, after):
        before = scene.leftovers()
        for number in self.numbers(scene, monkeypatch, after=after, step=SOME):
            self.interrupt(scene, monkeypatch, number, after=after)
            if 2 in scene.releases.numbers:
                scene.rollout()
                assert scene.has(scene.new)
            else:
                with pytest.raises(MeasureError, match="rolled back"):
                    scene.rollout(judge=Judge(scene, bad=frozenset({1})))
                self.is_as_before(scene, before)
            scene.again()

    @pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
    def test_destroyed_in_the_middle_it_leaves_nothing(self, scene, monkeypatch, after):
        for number in self.numbers(scene, monkeypatch, after=after, step=SOME):
            self.interrupt(scene, monkeypatch, number, after=after)
            scene.unwatch()
            scene.destroy()
            assert scene.leftovers() == [], f"interrupted at call {number}"
            scene.again()

    def numbers(self, scene, monkeypatch, *, after, step=STEP):
        with at_call(monkeypatch, -1, after=after) as calls:
            scene.rollout()
        scene.again()
        return range(len(calls) % step // (1 + after), len(calls), step)

    def interrupt(self, scene, monkeypatch, number, *, after):
        # Where the connection of an SDK's thread ended and nothing more was to be asked, an error is all that is left.
        with at_call(monkeypatch, number, after=after), pytest.raises((Interrupted, CloudError)):
            scene.rollout()


class Interrupting(frozenset):
    """Which machines are refused, in whose place the operator's machine goes away."""

    def __contains__(self, _):
        raise Interrupted


class InterruptedAt(float):
    """A time to wait in whose place the operator's machine goes away."""

    def __radd__(self, _):
        raise Interrupted
