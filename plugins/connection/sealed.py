"""Connection plugin: there is none. Nodes run sealed images that nobody logs in to."""

from __future__ import annotations

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: sealed
short_description: refuses every task, because nodes have no login
description:
  - The inventory plugin C(vitrine) gives it to every node.
  - What runs on the controller alone (C(debug), C(assert), actions of this project) works; anything else is refused.
options: {}
"""
WHY = (
    "this node runs a sealed image: nobody can log in, and nothing on it can be changed. To change it, change the "
    "inventory or a role and run playbooks/deploy.yml; to look at it, run `vitrine status` or `vitrine verify`"
)


class Connection(ConnectionBase):
    """Never opens."""

    transport = "sealed"
    has_pipelining = True

    def _connect(self):
        raise AnsibleConnectionFailure(WHY)

    def exec_command(self, cmd, in_data=None, sudoable=True):  # noqa: FBT002 - Ansible's own signature
        raise AnsibleConnectionFailure(WHY)

    def put_file(self, in_path, out_path):
        raise AnsibleConnectionFailure(WHY)

    def fetch_file(self, in_path, out_path):
        raise AnsibleConnectionFailure(WHY)

    def close(self):
        pass
