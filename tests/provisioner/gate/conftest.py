"""A small tree that the gate accepts: the control from which every negative departs by one thing."""

from __future__ import annotations

import os

import pytest

from provisioner.gate.executables import shipped_executables

PASSWD = "root:x:0:0:root:/root:/usr/sbin/nologin\nvitrine-engine:x:992:992::/:/usr/sbin/nologin\n"
SHADOW = "root:!*::0:99999:7:::\nvitrine-engine:!*:::::::\n"


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    files = {
        "etc/passwd": PASSWD,
        "etc/shadow": SHADOW,
        "etc/machine-id": "",
        "etc/systemd/system/service.d/50-no-host-input.conf": "[Service]\nImportCredential=\nLoadCredential=\n",
        "usr/lib/vitrine/firewall.nft": "flush ruleset\n",
        "etc/sysctl.d/60-kernel-hardening.conf": "kernel.modules_disabled = 1\n",
        "usr/lib/systemd/system/vitrine-.service.d/10-sandbox.conf": "[Service]\nNoNewPrivileges=yes\n",
        "usr/lib/systemd/system/getty@.service": "[Service]\nExecStart=/sbin/agetty\n",
        "usr/lib/systemd/system/vitrine-engine.service": "[Service]\nExecStart=/usr/bin/python3\n",
    }
    programs = [executable.path for executable in shipped_executables() if not executable.where]
    files |= dict.fromkeys(programs, "\x7fELF")
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "etc/systemd/system/getty@.service").symlink_to("/dev/null")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - os.walk gives strings
            if not os.path.islink(path):  # noqa: PTH114
                os.chmod(path, 0o644)  # noqa: PTH101
    for name in programs:
        (root / name).chmod(0o755)
    return root
