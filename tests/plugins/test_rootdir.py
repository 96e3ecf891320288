from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="entering a root file system needs root"),
]
REPOSITORY = Path(__file__).resolve().parents[2]


def run(connection, command, **data):
    code, out, errors = connection.exec_command(command, **data)
    return code, out.decode(), errors.decode()


def mounts_below(path):
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(path) in line]


def processes_in(root):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "root").readlink().is_relative_to(root):
                found.append(process.name)
        except OSError:
            continue
    return found


def gone_within(root, seconds):
    deadline = time.monotonic() + seconds
    while processes_in(root) and time.monotonic() < deadline:
        time.sleep(0.05)
    return processes_in(root) == []


# What works


def test_a_command_runs_inside_as_root_and_its_status_comes_back(connect, root):
    (root / "etc/marker").write_text("inside")
    assert run(connect(root), "cat /etc/marker; exit 7") == (7, "inside", "")


def test_standard_input_reaches_the_command(connect, root):
    assert run(connect(root), "cat", in_data=b"piped")[1] == "piped"


@pytest.mark.parametrize("text", ["it's", '"$HOME"', "$(id)", "a b  c", "back\\slash", "new\nline", "`id`", "%s", "-n"])
def test_a_command_is_not_quoted_or_expanded_twice(connect, root, text):
    assert run(connect(root), "cat <<'END'\n" + text + "\nEND")[1] == text + "\n"


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "$HOME", '"quoted"', "semi;colon", "new\nline", "-n"])
def test_a_file_with_any_name_goes_in_and_comes_out(connect, root, tmp_path, name):
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 50)
    connection = connect(root)
    connection.put_file(str(source), f"/root/{name}")
    assert (root / "root" / name).read_bytes() == source.read_bytes()
    connection.fetch_file(f"/root/{name}", str(back))
    assert back.read_bytes() == source.read_bytes()


def test_the_environment_of_the_caller_stays_outside(connect, root, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    out = run(connect(root), "export -p; umask")[1]
    assert "SECRET_TOKEN" not in out
    assert "SOURCE_DATE_EPOCH" not in out
    assert "tr_TR" not in out
    assert "TZ='UTC'" in out
    assert out.endswith("0022\n")


# What must not work


def test_there_is_no_network_inside(connect, root):
    interfaces = run(connect(root), "cat /proc/net/dev")[1].splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert run(connect(root), "cat /proc/net/route")[1].count("\n") <= 1  # at most the heading


def test_a_link_in_the_tree_cannot_make_a_transfer_write_outside(connect, root, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    source = tmp_path / "source"
    source.write_text("evil")
    (root / "etc/x").symlink_to(victim)
    (root / "etc/folder").symlink_to(tmp_path)
    connection = connect(root)
    for inner in ("/etc/x", "/etc/folder/victim"):
        with pytest.raises(AnsibleConnectionFailure, match=f"transfer of {inner} failed"):
            connection.put_file(str(source), inner)
    assert victim.read_text() == "untouched"


def test_a_relative_link_climbing_out_stays_inside(connect, root, tmp_path):
    source = tmp_path / "source"
    source.write_text("data")
    (root / "etc/up").symlink_to("../../../../../../../../root/landed")
    connect(root).put_file(str(source), "/etc/up")
    assert (root / "root/landed").read_text() == "data"


def test_a_link_in_the_tree_cannot_make_a_fetch_read_outside(connect, root, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    (root / "etc/x").symlink_to(secret)
    with pytest.raises(AnsibleConnectionFailure, match="transfer of /etc/x failed"):
        connect(root).fetch_file("/etc/x", str(tmp_path / "got"))


@pytest.mark.parametrize("point", ["proc", "dev", "run", "tmp"])
def test_a_mount_point_that_is_a_link_is_refused(connect, root, tmp_path, point):
    (root / point).rmdir()
    (root / point).symlink_to(tmp_path)
    with pytest.raises(AnsibleConnectionFailure, match=f"/{point} is not a real folder"):
        connect(root)


def test_the_host_kernel_cannot_be_configured_from_inside(connect, root):
    before = Path("/proc/sys/kernel/printk").read_text()
    code, _, errors = run(connect(root), "echo 1 > /proc/sys/kernel/printk")
    assert code != 0
    assert "Read-only" in errors
    assert Path("/proc/sys/kernel/printk").read_text() == before


def test_nothing_can_be_mounted_from_inside(connect, root):
    code, _, errors = run(connect(root), "mount -t tmpfs none /etc")
    assert code != 0
    assert errors


def test_the_host_is_seen_neither_by_name_nor_by_its_processes(connect, root):
    out = run(connect(root), "cat /proc/sys/kernel/hostname; ls -d /proc/[0-9]*")[1].split()
    assert out[0] == "vitrine"
    assert "/proc/1" in out
    assert len(out) <= 4


def test_what_a_command_leaves_in_tmp_or_running_ends_with_it(connect, root):
    code, _, _ = run(connect(root), "echo trace > /tmp/x; sleep 300 >/dev/null 2>&1 </dev/null & true")
    assert code == 0
    assert gone_within(root, 30)
    assert list((root / "tmp").iterdir()) == []
    assert list((root / "dev").iterdir()) == []
    assert mounts_below(root) == []


# A root that is none


@pytest.mark.parametrize(
    ("path", "said"),
    [("/", "refusing to configure the host"), ("relative/tree", "not an absolute path"), ("", "not an absolute path")],
)
def test_a_root_that_would_be_the_host_or_nobody_knows_what(connect, path, said):
    with pytest.raises(AnsibleConnectionFailure, match=said):
        connect(path)


def test_a_link_to_the_host_root_is_refused(connect, tmp_path):
    (tmp_path / "tree").symlink_to("/")
    with pytest.raises(AnsibleConnectionFailure, match="refusing to configure the host"):
        connect(tmp_path / "tree")


def test_a_root_that_does_not_exist(connect, tmp_path):
    with pytest.raises(AnsibleConnectionFailure, match="is not a folder; was the tree prepared"):
        connect(tmp_path / "missing")


def test_a_root_without_a_shell(connect, root):
    (root / "usr/bin/sh").unlink()
    with pytest.raises(AnsibleConnectionFailure, match="has no /bin/sh"):
        connect(root)


def test_a_folder_that_is_no_root_file_system(connect, tmp_path):
    with pytest.raises(AnsibleConnectionFailure, match="no root file system"):
        connect(tmp_path)


def test_an_ordinary_user_is_told_what_to_do(connect, root, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(AnsibleConnectionFailure, match="run as root or with sudo"):
        connect(root)


def test_a_source_that_does_not_exist(connect, root):
    with pytest.raises(AnsibleFileNotFound, match="no such file: /nowhere"):
        connect(root).put_file("/nowhere", "/etc/x")


# Interruptions

# A job in the background inherits SIGINT ignored; whoever sits at a terminal does not.
HOLD = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[1])
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader
init_plugin_loader([])
connection_loader.add_directory(sys.argv[2])
connection = connection_loader.get("rootdir", PlayContext(), os.devnull)
connection.set_options(direct={"root": sys.argv[3]})
connection._connect().exec_command("sleep 300 & sleep 300")
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_worker_leaves_no_process_and_no_mount(root, sent):
    argv = [sys.executable, "-c", HOLD, str(REPOSITORY), str(REPOSITORY / "plugins/connection"), str(root)]
    worker = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(processes_in(root)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(processes_in(root)) >= 3
    worker.send_signal(sent)
    worker.wait(20)
    assert gone_within(root, 30)
    assert mounts_below(root) == []
    assert list((root / "dev").iterdir()) == []
