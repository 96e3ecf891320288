"""What every action of the playbooks is: arguments read by a specification, refusals told as sentences, progress shown.

Beside ``status/inventory.py`` this is the one file of the provisioner that imports Ansible; a test says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from provisioner.errors import ProvisionError, sentences


class Action(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Runs in the controller, so that long steps are seen. A plugin says ``what``, ``arguments`` and ``act``."""

    _requires_connection = False
    _supports_check_mode = True
    what: ClassVar[str] = ""
    arguments: ClassVar[Mapping[str, Any]] = {}

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Do what the task says; whatever is refused on purpose, or by the disk, ends in sentences."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(dict(self.arguments))
        self.variables: Mapping[str, Any] = task_vars or {}
        try:
            return result | self.act(wanted)
        except ProvisionError as error:
            raise AnsibleActionFail(f"{self.what}:{sentences(error)}") from None
        except OSError as error:
            raise AnsibleActionFail(f"{self.what}: {error}; check the file's owner, and the disk") from None

    def act(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return what the task's result says besides Ansible's own; ``variables`` are all that the play knows.

        Raises:
            ProvisionError: it is refused.
        """
        raise NotImplementedError

    @property
    def pretend(self) -> bool:
        """Whether this is a check run."""
        return bool(self._task.check_mode)

    def say(self, text: str) -> None:
        """Show a line of progress."""
        Display().display(f"  {text}")
