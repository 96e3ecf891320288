"""What the roles leave: looked at in the tree itself, with the tree's own tools."""

from __future__ import annotations

import configparser
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from provisioner.errors import BakeError
from provisioner.gate import refuse, refuse_on_trial
from provisioner.image.normalise import clean

pytestmark = pytest.mark.root
REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = REPOSITORY / "roles"
UNITS = ("etc/systemd/system", "usr/lib/systemd/system")
# Whatever else starts is ours by name.
STARTED = set(yaml.safe_load((ROLES / "base/defaults/main.yml").read_text())["base_boot_units"])


def defaults(role):
    return yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())


def wanted(tree):
    return {
        link.name
        for folder in UNITS
        for kind in ("wants", "requires", "upholds")
        for link in (tree / folder).glob(f"*.{kind}/*")
    }


def test_only_units_that_a_role_named_start(configured):
    assert {unit for unit in wanted(configured) if not unit.startswith("vitrine-")} <= STARTED


@pytest.mark.parametrize("unit", sorted(STARTED))
def test_every_named_unit_exists_and_is_not_masked(configured, unit):
    assert (configured / UNITS[1] / unit).is_file()
    assert not (configured / UNITS[0] / unit).is_symlink()


@pytest.mark.parametrize("role", ["no_interactive_access", "no_persistence", "no_host_input"])
def test_every_unit_on_a_mask_list_is_masked(configured, role):
    links = [configured / UNITS[0] / unit for unit in defaults(role)[f"{role}_masked_units"]]
    assert [link.name for link in links if not link.is_symlink() or str(link.readlink()) != "/dev/null"] == []


def test_nothing_but_the_kernels_own_file_systems_is_mounted(configured):
    assert not (configured / "etc/fstab").exists()
    mounts = {path.name for folder in UNITS for path in (configured / folder).glob("*.mount")}
    masked = {name for name in mounts if (configured / UNITS[0] / name).is_symlink()}
    assert mounts - masked == {"run-lock.mount"}
    assert "run-lock.mount" not in wanted(configured)


def test_no_generator_is_left(configured):
    assert list(configured.glob("usr/lib/systemd/*-generators/*")) == []


def test_the_units_are_sound(configured, inside):
    ours = sorted(path.name for path in (configured / UNITS[1]).glob("vitrine-*.service"))
    assert {"vitrine-ready.service", "vitrine-firewall.service", "vitrine-selfcheck.service"} <= set(ours)
    done = inside("/usr/bin/systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", *ours, "default.target")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_image_says_who_may_ask(configured):
    """As inventories/local has it: everybody, and so there is no issuer."""
    assert (configured / "usr/lib/vitrine/token-issuers.pem").read_text().strip() == ""
    unit = (configured / UNITS[1] / "vitrine-gateway.service").read_text()
    assert "--access open --issuers /usr/lib/vitrine/token-issuers.pem --built /usr/lib/clock-epoch" in unit
    assert (configured / "usr/lib/vitrine/client_sdk/access_token.py").is_file()


def test_a_broken_unit_would_be_noticed(inside):
    write = "printf '[Service]\\nExecStart=/nowhere\\nTypo=x\\n' > /run/x.service"
    done = inside("/bin/sh", "-c", f"{write}; exec systemd-analyze verify --man=no /run/x.service")
    assert done.returncode != 0
    assert "Typo" in done.stderr


def test_the_rules_are_accepted_by_the_images_own_nft(inside):
    done = inside("/usr/sbin/nft", "--check", "--file", "/usr/lib/vitrine/firewall.nft")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_rule_would_be_noticed(inside):
    done = inside(
        "/bin/sh", "-c", "echo 'table inet x { chain y { tcp dprt 1 accept; } }' > /tmp/n; nft --check --file /tmp/n"
    )
    assert done.returncode != 0


def keys(text):
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str
    parser.read_string(text)
    return [(section, key) for section in parser.sections() for key in parser[section]]


def test_systemd_knows_every_setting_of_the_network(configured):
    binary = (configured / "usr/lib/systemd/systemd-networkd").read_bytes()
    given = keys((configured / "etc/systemd/network/10-vitrine.network").read_text())
    assert len(given) > 20
    # Misspelt settings are ignored in silence, and a network setting that is ignored is an open door.
    assert [f"{s}.{k}" for s, k in given if f"{s}.{k}\0".encode() not in binary] == []


def test_systemd_knows_every_setting_of_the_manager(configured):
    binary = b"".join(path.read_bytes() for path in configured.glob("usr/lib/**/libsystemd-core-*.so"))
    binary += (configured / "usr/lib/systemd/systemd").read_bytes()
    given = [k for path in (configured / "etc/systemd/system.conf.d").glob("*.conf") for _, k in keys(path.read_text())]
    assert len(given) > 10
    assert [key for key in given if f"{key}\0".encode() not in binary] == []


@pytest.mark.parametrize(
    ("user", "number"), [("attester", 880), ("gateway", 881), ("engine", 882), ("firewall", 884), ("ready", 885)]
)
def test_service_accounts_have_fixed_numbers_and_no_way_in(configured, user, number):
    lines = dict(line.split(":", 1) for line in (configured / "etc/passwd").read_text().splitlines())
    assert lines[f"vitrine-{user}"].startswith(f"x:{number}:{number}:")
    assert lines[f"vitrine-{user}"].endswith(":/:/usr/sbin/nologin")


def test_a_driver_that_is_kept_out_as_a_module_is_none_that_the_kernel_has_built_in(configured):
    """A line of modprobe.d about one of those does nothing, and reads as if it did."""
    (path,) = configured.glob("usr/lib/modules/*/modules.builtin")
    builtin = {Path(line).stem.replace("-", "_") for line in path.read_text().split()}
    lines = [line.split() for file in configured.glob("etc/modprobe.d/*") for line in file.read_text().splitlines()]
    named = {words[1] for words in lines if words[:1] in (["install"], ["blacklist"])}
    assert {"virtio_rng", "qemu_fw_cfg"} <= named
    assert named & builtin == set()
    # What is built in, and told on the command line not to start.
    assert {"i8042", "virtio_console", "virtiofs"} <= builtin


def test_nothing_answers_a_device_that_the_host_plugs_in(configured):
    assert list(configured.glob("usr/**/udev/**/*.rules")) == []
    assert list(configured.glob("usr/**/systemd-udevd")) == []


def test_the_attester_alone_is_in_the_tpms_group(configured):
    groups = dict(line.split(":", 1) for line in (configured / "etc/group").read_text().splitlines())
    assert groups["tss"].rsplit(":", 1)[1] == "vitrine-attester"


@pytest.mark.parametrize(
    "tool",
    [
        "su",
        "passwd",
        "login",
        "perl",
        "dpkg",
        "ip",
        "ss",
        "nsenter",
        "unshare",
        "setpriv",
        "systemd-run",
        "journalctl",
        "systemctl",
        "adduser",
        "bash",
        "cat",
        "find",
        "ldconfig",
        "mount",
        "tar",
        "getent",
    ],
)
def test_a_tool_that_no_service_needs_is_gone(configured, tool):
    assert [folder for folder in ("bin", "sbin") if (configured / "usr" / folder / tool).exists()] == []


@pytest.mark.parametrize("tool", ["bin/python3", "sbin/nft", "bin/systemd-tmpfiles", "bin/echo"])
def test_a_tool_that_the_boot_needs_is_there(configured, tool):
    assert (configured / "usr" / tool).exists()


def test_the_libraries_of_the_services_still_load(inside):
    wanted_modules = "starlette, uvicorn, uvloop, httptools, aiohttp, cryptography.x509, tpm2_pytss, xllamacpp, ssl"
    done = inside("/usr/bin/python3", "-c", f"import {wanted_modules}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def cleaned(configured, tmp_path_factory):
    copy = tmp_path_factory.mktemp("cleaned") / "tree"
    subprocess.run(["cp", "-a", "--reflink=auto", configured, copy], check=True)
    clean(copy)
    return copy


def test_the_gate_accepts_what_the_roles_make(cleaned):
    refuse(cleaned)


def test_the_gate_refuses_the_same_tree_with_one_door(cleaned):
    door = cleaned / "usr/sbin/sshd"
    door.write_text("x")
    try:
        with pytest.raises(BakeError, match=r"no_interactive_access \(sshd\): usr/sbin/sshd"):
            refuse(cleaned)
    finally:
        door.unlink()


@pytest.fixture(scope="module")
def to_change(configured, tmp_path_factory):
    """A copy of the configured tree, with the programs that judge it."""
    copy = tmp_path_factory.mktemp("to-change") / "tree"
    subprocess.run(["cp", "-a", "--reflink=auto", configured, copy], check=True)
    return copy


def tried(tree):
    refuse_on_trial(tree, "test", progress=lambda _: None)


def test_the_gates_trial_accepts_what_the_roles_make(configured):
    tried(configured)


FOREIGN = "[Service]\nExecStart=/usr/bin/python3\n"
# What a package or a role brings, and the property whose loss the bake ends with.
BROUGHT = {
    "rules that do not load": (
        {"usr/lib/vitrine/firewall.nft": "table inet vitrine { chain output { tcp dprt 1 accept; } }\n"},
        r"egress_firewall \(rules-load\): usr/lib/vitrine/firewall.nft: .*dprt",
    ),
    "a package's service": (
        {f"{UNITS[1]}/exporter.service": FOREIGN, f"{UNITS[0]}/multi-user.target.wants/exporter.service": FOREIGN},
        r"service_sandbox \(exposure\): exporter.service: 9\.\d, at most 1.5",
    ),
    "a unit of ours that is opened": (
        {f"{UNITS[1]}/vitrine-gateway.service.d/30-more.conf": "[Service]\nProtectSystem=no\nPrivateDevices=no\n"},
        r"service_sandbox \(exposure\): vitrine-gateway.service: 1\.[6-9], at most 1.5",
    ),
    "a unit of ours that takes the sandbox's place": (
        {f"{UNITS[0]}/vitrine-.service.d/10-sandbox.conf": "[Service]\n"},
        r"service_sandbox \(exposure\): vitrine-attester.service: ",
    ),
    "rights for the network's service": (
        {f"{UNITS[0]}/systemd-networkd.service.d/90.conf": "[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\n"},
        r"service_sandbox \(exposure\): systemd-networkd.service: 2\.\d, at most 1.9",
    ),
}


@pytest.mark.parametrize("brought", BROUGHT)
def test_the_bake_ends_with_the_name_of_the_property_that_would_be_lost(to_change, brought):
    files, said = BROUGHT[brought]
    before = {name: (to_change / name).read_text() if (to_change / name).exists() else None for name in files}
    try:
        for name, text in files.items():
            (to_change / name).parent.mkdir(parents=True, exist_ok=True)
            (to_change / name).write_text(text)
        with pytest.raises(BakeError, match=said):
            tried(to_change)
    finally:
        for name, text in before.items():
            (to_change / name).unlink() if text is None else (to_change / name).write_text(text)


@pytest.mark.parametrize("tool", ["sh", "dash", "systemd-analyze", "systemd-sysusers"])
def test_what_configured_the_tree_is_not_sealed_in(configured, cleaned, tool):
    assert (configured / "usr/bin" / tool).exists()
    assert not os.path.lexists(cleaned / "usr/bin" / tool)


def test_a_program_that_a_role_leaves_is_refused_by_the_name_of_the_property(cleaned):
    program = cleaned / "usr/lib/vitrine/tool"
    program.write_text("#!/usr/bin/python3\n")
    program.chmod(0o755)
    try:
        with pytest.raises(BakeError, match=r"minimal_userland \(unlisted-executable\): usr/lib/vitrine/tool"):
            refuse(cleaned)
    finally:
        program.unlink()


def test_the_sealed_trees_libraries_load_without_a_shell(cleaned, enter):
    wanted_modules = "starlette, uvicorn, uvloop, httptools, aiohttp, cryptography.x509, tpm2_pytss, xllamacpp, ssl"
    unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "sh", "-c", enter, "sh"]
    argv = [*unshared, str(cleaned), "/usr/bin/python3", "-c", f"import {wanted_modules}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_of_the_configuration_itself_is_left(cleaned):
    assert list(cleaned.rglob(".ansible*")) == []
    assert list((cleaned / "run").iterdir()) == []


@pytest.mark.slow
def test_applying_the_roles_again_changes_nothing(configured, play, tmp_path):
    order = yaml.safe_load((REPOSITORY / "playbooks/bake.yml").read_text())[1]["roles"]
    tree = tmp_path / "tree"
    subprocess.run(["cp", "-a", "--reflink=auto", configured, tree], check=True)
    host = {"name": "image", "ansible_connection": "rootdir", "ansible_rootdir": str(tree)}
    host |= {"ansible_python_interpreter": "/usr/bin/python3", "ansible_remote_tmp": "/var/tmp/.ansible"}
    add = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.add_host": host}]}
    (tmp_path / "again.yml").write_text(
        yaml.safe_dump([add, {"hosts": "image", "gather_facts": False, "roles": order}])
    )
    done = play(tmp_path / "again.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "image" in done.stdout
    assert "changed=0" in next(line for line in done.stdout.splitlines() if line.startswith("image "))
    shutil.rmtree(tree)


def test_each_model_is_served_by_an_instance_of_its_engine_and_known_to_the_gateway(configured):
    models = json.loads((configured / "usr/lib/vitrine/models.json").read_text())
    assert models == defaults("engine")["engine_models"]
    started = {name for name in wanted(configured) if name.startswith("vitrine-engine-")}
    assert started == {f"vitrine-engine-{model['engine']}@{model['name']}.service" for model in models}
    gateway = (configured / UNITS[1] / "vitrine-gateway.service").read_text()
    (line,) = [line for line in gateway.splitlines() if line.startswith("ExecStart=")]
    told = [word for before, word in itertools.pairwise(line.split()) if before == "--model"]
    sockets = [f"/run/vitrine/engine/{m['name']}/engine.sock" for m in models]
    assert told == [f"{m['name']}={m['engine']}:{m['context']}:{path}" for m, path in zip(models, sockets, strict=True)]
    assert f" --requests {max(64, 2 * sum(model['slots'] for model in models))} " in line


def test_the_engines_code_is_whole(configured):
    """What an engine imports by name, as Triton does its backend, is missed by no import of ours."""
    code, installed = REPOSITORY / "serving", configured / "usr/lib/vitrine/serving"
    files = [path.relative_to(code) for path in (code / "engines").rglob("*.py")]
    assert [path for path in files if (installed / path).read_bytes() != (code / path).read_bytes()] == []
