from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from provisioner.errors import BakeError
from provisioner.gate import refuse
from provisioner.gate.rules import parse_rules, shipped_rules

KEY = "-----BEGIN {}PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END {}PRIVATE KEY-----\n"


def file(path, text="x", mode=0o644):
    def plant(root):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    return plant


def link(path, target):
    def plant(root):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)

    return plant


def without(path):
    return lambda root: (root / path).unlink()


def line(path, text):
    def plant(root):
        (root / path).write_text((root / path).read_text() + text + "\n")

    return plant


def mode(path, bits):
    return lambda root: (root / path).chmod(bits)


def folder_anybody_writes(root):
    (root / "usr/share").mkdir()
    (root / "usr/share").chmod(0o777)


def pipe(root):
    os.mkfifo(root / "etc/pipe")


UNIT = "usr/lib/systemd/system/"
ETC = "etc/systemd/system/"
# Every rule at least once: what is planted, and the one rule that it breaks.
PLANTED = [
    ("sshd", file("usr/sbin/sshd")),
    ("sshd", file("etc/ssh/sshd_config")),
    ("sshd", file(UNIT + "ssh.socket")),
    ("dropbear", file("usr/sbin/dropbear")),
    ("remote-login", file("usr/sbin/telnetd")),
    ("remote-login", file("usr/sbin/tailscaled")),
    ("cloud-init", file("usr/bin/cloud-init")),
    ("cloud-init", file("usr/lib/python3/dist-packages/cloudinit/main.py")),
    ("guest-agent", file("usr/bin/google_guest_agent")),
    ("guest-agent", file("usr/sbin/waagent")),
    ("guest-agent", file("usr/sbin/qemu-ga")),
    ("guest-agent", file("usr/sbin/hv_kvp_daemon")),
    ("config-agent", file("usr/bin/ansible-pull")),
    ("getty", without(ETC + "getty@.service")),
    ("getty", link(ETC + "getty.target.wants/getty@tty1.service", "/usr/lib/systemd/system/getty@.service")),
    ("getty", file(UNIT + "serial-getty@.service")),
    ("logind", file(UNIT + "systemd-logind.service")),
    ("rescue-shell", file(UNIT + "debug-shell.service")),
    ("rescue-shell", file(UNIT + "emergency.service")),
    ("power-state", file(UNIT + "kexec.target")),
    ("debug-console", file("usr/lib/vitrine/debug")),
    ("debug-console", link(ETC + "multi-user.target.wants/debug-console.service", "/usr/lib/vitrine/x")),
    ("terminal", file(UNIT + "vitrine-gateway.service", "[Service]\nStandardInput=tty-force\n")),
    ("terminal", file(ETC + "x.service.d/y.conf", "[Service]\nTTYPath=/dev/ttyS0\n")),
    ("journal", file(UNIT + "systemd-journald.service")),
    ("journal", link(UNIT + "sockets.target.wants/systemd-journald.socket", "../systemd-journald.socket")),
    ("pcr-15", file(UNIT + "systemd-pcrmachine.service")),
    ("host-units", file(UNIT + "systemd-sysext.service")),
    ("time-and-names", file("etc/resolv.conf", "nameserver 1.2.3.4\n")),
    ("time-and-names", file("usr/lib/systemd/systemd-timesyncd")),
    ("generator", file("usr/lib/systemd/system-generators/systemd-ssh-generator")),
    ("scheduled", link(ETC + "timers.target.wants/fstrim.timer", "/usr/lib/systemd/system/fstrim.timer")),
    ("scheduled", file("etc/cron.daily/job")),
    ("credentials", file("usr/lib/tmpfiles.d/provision.conf", "")),
    ("credentials", file("etc/credstore/secret")),
    ("credentials-unit", file(UNIT + "vitrine-gateway.service", "[Service]\nImportCredential=tls.*\n")),
    ("credentials-unit", file(ETC + "x.service.d/y.conf", "[Service]\nLoadCredentialEncrypted=a:/b\n")),
    ("credentials-tmpfiles", file("usr/lib/tmpfiles.d/own.conf", "f+^ /etc/motd 0644 root root - motd\n")),
    ("credentials-off", without(ETC + "service.d/50-no-host-input.conf")),
    ("authorized-keys", file("root/.ssh/authorized_keys", "ssh-ed25519 AAAA")),
    ("authorized-keys", file("etc/keys/authorized_keys2", "")),
    ("unlocked-password", line("etc/shadow", "guest:$y$j9T$abc:19000:0:99999:7:::")),
    ("unlocked-password", line("etc/shadow", "nobody2::19000:0:99999:7:::")),
    ("unlocked-password", without("etc/shadow")),
    ("second-root", line("etc/passwd", "toor:x:0:0::/root:/usr/sbin/nologin")),
    ("second-root", line("etc/passwd", "toor:x:00:0::/root:/usr/sbin/nologin")),
    ("login-shell", line("etc/passwd", "guest:x:1000:1000::/home/guest:/bin/sh")),
    ("login-shell", line("etc/passwd", "guest:x:1000:1000::/home/guest:")),
    ("privilege-tool", file("usr/bin/sudo")),
    ("privilege-tool", file("etc/sudoers.d/90-cloud")),
    ("setuid", mode("usr/bin/echo", 0o4755)),
    ("setgid", mode("usr/bin/false", 0o2755)),
    ("world-writable", file("usr/lib/vitrine/x.py", mode=0o666)),
    ("world-writable", folder_anybody_writes),
    ("device-node", pipe),
    ("private-key", file("etc/ssl/server.pem", KEY.format("", ""))),
    ("private-key", file("usr/share/doc/example/server.key", KEY.format("RSA ", "RSA "))),
    ("private-key", file("etc/host_key", KEY.format("OPENSSH ", "OPENSSH "))),
    ("token", file("root/.netrc")),
    ("token", file("etc/pip.conf")),
    ("swap", file("etc/fstab", "# comment\n/dev/vdb none swap sw 0 0\n")),
    ("persistent-state", file("var/lib/systemd/random-seed")),
    ("machine-id", file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")),
    ("history", file("root/.bash_history")),
    ("history", file("root/.ansible/tmp/x")),
    ("package-manager", file("usr/bin/apt-get")),
    ("package-manager", file("usr/bin/pip3")),
    ("compiler", file("usr/bin/perl5.40")),
    ("compiler", file("usr/bin/gdbserver")),
    ("firewall", without("usr/lib/vitrine/firewall.nft")),
    ("sandbox", without(UNIT + "vitrine-.service.d/10-sandbox.conf")),
    ("outside-sandbox", file(UNIT + "vitrine-gateway.service", "[Service]\nExecStartPre=-+/bin/sh -c 'x'\n")),
    ("outside-sandbox", file(UNIT + "vitrine-x.service.d/9.conf", "[Service]\nExecStart=!!/usr/bin/python3\n")),
    ("outside-sandbox", file(ETC + "x.service", "[Service]\nExecStart=+/usr/bin/mount -o remount,rw /\n")),
    ("kernel-settings", without("etc/sysctl.d/60-kernel-hardening.conf")),
    ("unlisted-executable", file("usr/bin/curl", mode=0o755)),
    ("unlisted-executable", file("usr/lib/anywhere/else/tool", "#!/bin/sh\n", mode=0o755)),
    ("unlisted-executable", file("etc/update-motd.d/10-uname", mode=0o744)),
    ("unlisted-executable", file("usr/share/data/for-its-group", mode=0o610)),
    ("unlisted-executable", link("usr/bin/sh", "python3.13")),
    ("unlisted-executable", link("usr/local/sbin/x", "/nowhere")),
    # Where there is no GPU's driver, nothing needs it.
    ("unlisted-executable", file("usr/bin/mount", mode=0o755)),
    ("listed-for-nothing", without("usr/sbin/nft")),
    ("listed-for-nothing", mode("usr/bin/echo", 0o644)),
    ("listed-for-nothing", file("usr/lib/vitrine/driver/order")),
]


def broken(root):
    with pytest.raises(BakeError) as caught:
        refuse(root)
    return re.findall(r"^  [a-z_]+ \(([a-z0-9-]+)\): ", str(caught.value), re.MULTILINE)


def test_the_control_is_accepted(tree):
    refuse(tree)


@pytest.mark.parametrize(("rule", "plant"), PLANTED, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(PLANTED)])
def test_one_thing_breaks_exactly_its_rule(tree, rule, plant):
    plant(tree)
    assert broken(tree) == [rule]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="file capabilities and devices need root")
def test_a_file_capability_and_a_device_break_their_rules(tree):
    # cap_net_raw, in the kernel's format (version 2)
    os.setxattr(
        tree / "usr/bin/python3", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000")
    )
    assert broken(tree) == ["file-capability"]
    os.mknod(tree / "etc/sda", 0o600 | 0o060000, os.makedev(8, 0))
    assert broken(tree) == ["file-capability", "device-node"]


def test_every_rule_has_a_negative():
    planted = {rule for rule, _ in PLANTED} | {"file-capability"}
    assert planted == {rule.id for rule in shipped_rules()}


def test_a_debug_image_may_have_its_console_and_no_other_way_in(tree):
    file(UNIT + "debug-console.service", "[Service]\nStandardInput=tty\n")(tree)
    refuse(tree, "debug")
    for mode in ("test", "release"):
        with pytest.raises(BakeError, match=r"\(debug-console\): .*\n.*\(terminal\): "):
            refuse(tree, mode)
    file("usr/sbin/sshd")(tree)
    with pytest.raises(BakeError, match="breaks 1 rule"):
        refuse(tree, "debug")


def test_no_rule_can_be_left_out_of_a_release():
    entry = {"id": "x", "property": "y", "check": "path", "patterns": ["x"], "why": "y", "not_in": "release"}
    with pytest.raises(BakeError, match="only a debug image may go without a rule"):
        parse_rules(json.dumps({"version": 1, "rules": [entry]}))


def test_all_violations_are_told_at_once_with_place_and_reason(tree):
    file("usr/sbin/sshd")(tree)
    file("etc/cloud/cloud.cfg")(tree)
    file("root/.netrc")(tree)
    with pytest.raises(BakeError) as caught:
        refuse(tree)
    said = str(caught.value)
    assert "breaks 3 rule(s)" in said
    assert "no_interactive_access (sshd): usr/sbin/sshd: an SSH server is a way in" in said
    assert "no_host_input (cloud-init): etc/cloud/cloud.cfg: it runs what the host's metadata say" in said


def test_a_whole_package_does_not_fill_the_screen(tree):
    for number in range(100):
        file(f"usr/lib/python3/dist-packages/cloudinit/{number}.py")(tree)
    with pytest.raises(BakeError, match=r"and 92 more"):
        refuse(tree)


def test_a_mask_is_no_violation_but_a_link_elsewhere_is(tree):
    link(ETC + "debug-shell.service", "/dev/null")(tree)
    file(UNIT + "debug-shell.service")(tree)
    refuse(tree)
    (tree / ETC / "debug-shell.service").unlink()
    link(ETC + "debug-shell.service", "/usr/lib/systemd/system/debug-shell.service")(tree)
    assert broken(tree) == ["rescue-shell"]


def test_a_link_out_of_the_tree_is_not_followed(tree, tmp_path):
    (tmp_path / "host").mkdir()
    (tmp_path / "host/sshd").write_text("x")
    link("usr/share/x", str(tmp_path / "host"))(tree)
    link("usr/share/loop", "..")(tree)
    refuse(tree)


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(BakeError, match="is not a folder"):
        refuse(tmp_path / "missing")


# The data file

GOOD = {"id": "a", "property": "no_persistence", "check": "path", "patterns": ["x"], "why": "y"}


def rules(*entries, version=1):
    return json.dumps({"version": version, "rules": list(entries)})


def test_the_control_is_read():
    assert parse_rules(rules(GOOD))[0].id == "a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        (rules(), "the list is empty"),
        (rules(GOOD, version=2), "exactly version 1"),
        (rules(GOOD, GOOD), "an id appears twice"),
        (rules({**GOOD, "pattern": "typo"}), "gate rule a: expected the keys"),
        (rules({"id": "a", "property": "p", "check": "path", "patterns": ["x"]}), "gate rule a: expected the keys"),
        (rules({**GOOD, "check": "paths"}), "gate rule a: unknown check 'paths'"),
        (rules({**GOOD, "patterns": []}), "gate rule a: needs patterns"),
        (rules({**GOOD, "check": "content"}), "gate rule a: needs patterns, and an expression"),
        (rules({**GOOD, "expression": "x"}), "an expression exactly when the check is content"),
        (json.dumps([GOOD]), "exactly version 1"),
    ],
)
def test_a_data_file_that_would_refuse_less_than_it_seems_to(text, said):
    with pytest.raises(BakeError, match=said):
        parse_rules(text)


def test_every_rule_names_the_role_whose_property_it_keeps():
    roles = {path.name for path in (Path(__file__).resolve().parents[3] / "roles").iterdir()}
    assert {rule.property for rule in shipped_rules()} <= roles


def test_every_rule_says_why():
    assert [rule.id for rule in shipped_rules() if len(rule.why) < 20 or rule.why.endswith(".")] == []


def test_the_data_file_is_in_the_package():
    assert (Path(__file__).resolve().parents[3] / "provisioner/gate/data/rules.json").is_file()
