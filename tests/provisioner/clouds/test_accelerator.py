import json
import time
from types import SimpleNamespace

import pytest

from provisioner.clouds import accelerator, processes
from provisioner.clouds.accelerator import choose
from provisioner.clouds.processes import Command
from provisioner.errors import CloudError
from provisioner.plan import probe_command


@pytest.fixture
def device(tmp_path, monkeypatch):
    """A stand-in for /dev/kvm; the probe's guest runs in software, and does what its firmware says."""
    commands = []

    def emulated(spec):
        argv = ["tcg" if word == "kvm" else "max,-erms" if word == "host" else word for word in probe_command(spec)]
        commands.append(tuple(argv))
        return tuple(argv)

    monkeypatch.setattr(accelerator, "probe_command", emulated)
    monkeypatch.setattr(accelerator, "_PROBE_SECONDS", 60.0)
    path = tmp_path / "kvm"
    path.write_bytes(b"")
    return path


def test_a_guest_that_speaks_proves_kvm(make_spec, tmp_path, device, said):
    verdict = choose(make_spec("VITRINE-REFUSED no TPM\n"), tmp_path / "local", progress=said.append, device=device)
    assert verdict.accelerator == "kvm"
    assert "a guest boots" in verdict.reason
    assert any("at most 60 s" in line for line in said)


def test_a_guest_that_hangs_ends_in_software_emulation_and_is_killed(make_spec, tmp_path, device, said, monkeypatch):
    spec = make_spec("BdsDxe: starting\n")
    over = _over_once_it_says(b"BdsDxe: starting", tmp_path / "local", monkeypatch)
    verdict = choose(spec, tmp_path / "local", progress=said.append, device=device)
    assert verdict.accelerator == "tcg"
    assert "the guest hangs" in verdict.reason
    assert "BdsDxe: starting" in verdict.reason
    assert time.monotonic() - over[0] < 15
    assert not list((tmp_path / "local").glob("probe-*"))
    qemus = [pid for pid in _qemus() if str(spec.boot_disk) in pid]
    assert qemus == []


def _over_once_it_says(words, root, monkeypatch):
    """Let the probe's time be over as soon as its console has these words; return the moments at which it was."""
    over = []

    def clock():
        now = time.monotonic()
        if any(words in console.read_bytes() for console in root.glob("probe-*/console.log")):
            over.append(now)
        return now + 1000 * len(over)  # further with each look, for the first one may be the one that sets the limit

    monkeypatch.setattr(accelerator, "time", SimpleNamespace(monotonic=clock, sleep=time.sleep))
    return over


def test_a_hung_probe_that_ignores_sigterm_is_killed(make_spec, tmp_path, device, said, monkeypatch):
    stubborn = ("bash", "-c", "trap '' TERM; while true; do sleep 0.1; done")
    monkeypatch.setattr(accelerator, "probe_command", lambda _: stubborn)
    monkeypatch.setattr(accelerator, "_PROBE_SECONDS", 0.3)
    stop = processes.stop
    monkeypatch.setattr(accelerator.processes, "stop", lambda command: stop(command, seconds=3))
    verdict = choose(make_spec(), tmp_path / "local", progress=said.append, device=device)
    assert verdict.accelerator == "tcg"
    assert not any("trap '' TERM" in line for line in _qemus())


def test_a_probe_that_cannot_be_killed_still_ends_in_software_emulation(make_spec, tmp_path, device, said, monkeypatch):
    monkeypatch.setattr(accelerator, "_PROBE_SECONDS", 2.0)
    stop = processes.stop

    def unkillable(command):
        stop(command)  # so that the test itself leaves nothing behind
        raise CloudError("process 1 does not end even when killed")

    monkeypatch.setattr(accelerator.processes, "stop", unkillable)
    verdict = choose(make_spec("silent\n"), tmp_path / "local", progress=said.append, device=device)
    assert verdict.accelerator == "tcg"
    assert "does not end even when killed" in verdict.reason


def test_a_guest_that_dies_ends_in_software_emulation(make_spec, tmp_path, device, said):
    verdict = choose(make_spec("silent\n", reset=True), tmp_path / "local", progress=said.append, device=device)
    assert verdict.accelerator == "tcg"
    assert "ended before its kernel spoke" in verdict.reason


def test_the_verdict_is_kept_with_its_reason(make_spec, tmp_path, device, said, monkeypatch):
    root = tmp_path / "local"
    first = choose(make_spec("silent\n", reset=True), root, progress=said.append, device=device)
    assert json.loads((root / "accelerator.json").read_text())["reason"] == first.reason
    monkeypatch.setattr(accelerator, "_probe", _must_not_run)
    assert choose(make_spec(), root, progress=said.append, device=device) == first


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"accelerator": "warp", "reason": "", "key": ""}'])
def test_a_damaged_cache_only_means_to_try_again(make_spec, tmp_path, device, said, content):
    root = tmp_path / "local"
    root.mkdir()
    (root / "accelerator.json").write_text(content)
    assert choose(make_spec(), root, progress=said.append, device=device).accelerator == "kvm"


def test_another_host_tries_again(make_spec, tmp_path, device, said):
    root = tmp_path / "local"
    root.mkdir()
    (root / "accelerator.json").write_text('{"accelerator": "tcg", "reason": "other boot", "key": "other"}')
    assert choose(make_spec(), root, progress=said.append, device=device).accelerator == "kvm"


def test_no_device_means_software_emulation(make_spec, tmp_path, said):
    verdict = choose(make_spec(), tmp_path / "local", progress=said.append, device=tmp_path / "absent")
    assert (verdict.accelerator, "there is no" in verdict.reason) == ("tcg", True)


def test_a_device_that_this_user_may_not_open(make_spec, tmp_path, device, said, monkeypatch):
    monkeypatch.setattr(accelerator.os, "access", lambda *_: False)
    verdict = choose(make_spec(), tmp_path / "local", progress=said.append, device=device)
    assert (verdict.accelerator, "may not open" in verdict.reason) == ("tcg", True)


def test_insisting_on_kvm_where_it_does_not_work(make_spec, tmp_path, said):
    with pytest.raises(CloudError, match=r"KVM does not work here .*choose accelerator auto or tcg"):
        choose(make_spec(accelerator="kvm"), tmp_path / "local", progress=said.append, device=tmp_path / "absent")


def test_software_emulation_on_request_tries_nothing(make_spec, tmp_path, device, said, monkeypatch):
    monkeypatch.setattr(accelerator, "_probe", _must_not_run)
    assert choose(make_spec(accelerator="tcg"), tmp_path, progress=said.append, device=device).accelerator == "tcg"


def test_missing_firmware_is_no_verdict_about_kvm(make_spec, tmp_path, device, said):
    spec = make_spec()
    (spec.firmware / "OVMF_VARS_4M.fd").unlink()
    with pytest.raises(CloudError, match="bake first"):
        choose(spec, tmp_path / "local", progress=said.append, device=device)
    assert not (tmp_path / "local" / "accelerator.json").exists()


def _must_not_run(*_):
    raise AssertionError("the probe ran")


def _qemus() -> list[str]:
    lines = []
    for entry in processes._PROC.iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue
    return lines


def test_the_probe_boots_the_image_under_kvm_without_network(make_spec):
    command = Command(make_spec().boot_disk.parent, probe_command(make_spec()))
    assert command.argv[command.argv.index("-accel") + 1] == "kvm"
    assert "-netdev" not in command.argv


@pytest.mark.parametrize(
    ("fault", "ends_in"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (PermissionError(13, "Permission denied", "console.log"), CloudError),
        (OSError(28, "No space left on device"), CloudError),
    ],
    ids=["interrupted", "unreadable console", "full disk"],
)
def test_whatever_ends_the_watch_the_probe_does_not_run_on(
    make_spec, tmp_path, device, said, monkeypatch, fault, ends_in
):
    spec = make_spec("silent\n")

    def end(_):
        assert any(str(spec.boot_disk) in line for line in _qemus())
        raise fault

    monkeypatch.setattr(accelerator, "_watch", end)
    with pytest.raises(ends_in) as caught:
        choose(spec, tmp_path / "local", progress=said.append, device=device)
    assert not any(str(spec.boot_disk) in line for line in _qemus())
    assert "bake" not in str(caught.value)
    assert not (tmp_path / "local" / accelerator.VERDICT_FILE).exists()


def test_a_folder_that_cannot_be_made_is_a_clear_error(make_spec, tmp_path, device, said):
    (tmp_path / "local").write_text("a file is in the way")
    with pytest.raises(CloudError, match=r"cannot try KVM in .*local.* check the folder's owner and the disk"):
        choose(make_spec(), tmp_path / "local", progress=said.append, device=device)
