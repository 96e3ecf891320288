"""Action ``install_tree``: read a role's folder here, write it in the tree with the module of the same name."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from provisioner.errors import ProvisionError
from provisioner.overlay import Entry, as_arguments, collect, unit_links

ARGUMENTS = {
    "src": {"type": "str"},
    "dest": {"type": "str", "default": "/"},
    "include": {"type": "list", "elements": "str", "default": ["*"]},
    "enable": {"type": "dict", "default": {}},
    "mask": {"type": "list", "elements": "str", "default": []},
    "remove": {"type": "list", "elements": "str", "default": []},
    "keep": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ActionBase):
    """One task, a whole folder."""

    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, wanted = self.validate_argument_spec(ARGUMENTS)
        try:
            entries = self._files(wanted) + unit_links(wanted["enable"], tuple(wanted["mask"]))
        except ProvisionError as error:
            raise AnsibleActionFail(f"install_tree: {error}") from None
        arguments = {"entries": as_arguments(entries), "remove": wanted["remove"], "keep": wanted["keep"]}
        result.update(self._execute_module(module_name="install_tree", module_args=arguments, task_vars=task_vars))
        # The contents are in the checkout; a screen of base64 helps nobody.
        result.pop("invocation", None)
        return result

    def _files(self, wanted: dict) -> tuple[Entry, ...]:
        if wanted["src"] is None:
            return ()
        source = Path(self._find_needle("files", wanted["src"]))
        destination = PurePosixPath(wanted["dest"])
        return collect(source, destination, include=tuple(wanted["include"]), render=self._render)

    def _render(self, text: str) -> str:
        return self._templar.template(trust_as_template(text))
