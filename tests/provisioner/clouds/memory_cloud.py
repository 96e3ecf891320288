"""A cloud that is a dictionary: for what reconciling does, whoever the vendor is.

It can be told to break at any call, before its effect or after it, as a person's Ctrl-C or a network does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from provisioner.clouds.resources import Found, Key, Mark, Resource
from provisioner.errors import CloudError
from tests.provisioner.clouds.interruptions import Interrupted


@dataclass
class MemoryCloud:
    things: dict[Key, tuple[Mark | None, str, tuple[Key, ...]]] = field(default_factory=dict)
    calls: list[tuple[str, Key | None]] = field(default_factory=list)
    break_at: int = -1
    after: bool = False
    in_place: frozenset[str] = frozenset()
    stuck: frozenset[Key] = frozenset()

    def read(self, key):
        self._call("read", key)
        return self._found(key) if key in self.things else None

    def create(self, resource: Resource, mark: Mark, *, progress):
        self._call("create", resource.key, lambda: self._create(resource, mark, "ready"))

    def update(self, resource: Resource, mark: Mark, *, progress):
        if resource.key.kind not in self.in_place:
            return False
        self._call(
            "update", resource.key, lambda: self.things.__setitem__(resource.key, (mark, "ready", resource.needs))
        )
        return True

    def can_change(self, key):
        return key.kind in self.in_place

    def wait(self, key, *, progress):
        def done():
            mark, _, needs = self.things[key]
            self.things[key] = (mark, "ready", needs)

        self._call("wait", key, done)

    def delete(self, key, *, progress):
        if key in self.stuck:
            raise CloudError(f"{key} is in use")
        users = [other for other, (_, _, needs) in self.things.items() if key in needs]
        if users:
            raise CloudError(f"{key} is used by {users[0]}")
        self._call("delete", key, lambda: self.things.pop(key, None))

    def marked(self, deployment, *, progress):
        del progress
        self._call("marked", None)
        ours = [self._found(key) for key, (mark, _, _) in self.things.items() if mark and mark.deployment == deployment]
        return tuple(reversed(ours))

    def _create(self, resource, mark, state):
        assert resource.key not in self.things, f"{resource.key} is made twice"
        assert set(resource.needs) <= self.things.keys(), f"{resource.key} is made before what it needs"
        self.things[resource.key] = (mark, state, resource.needs)

    def _found(self, key):
        mark, state, _ = self.things[key]
        return Found(key, mark, state)

    def _call(self, name, key, effect=lambda: None):
        self.calls.append((name, key))
        broken = len(self.calls) - 1 == self.break_at
        if broken and not self.after:
            raise Interrupted
        effect()
        if broken:
            raise Interrupted
