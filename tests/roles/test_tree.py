"""What the roles leave: looked at in the tree itself, with the tree's own tools."""

from __future__ import annotations

import configparser
import itertools
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from provisioner.errors import BakeError
from provisioner.gate import refuse
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
    assert {"vitrine-ready.service", "vitrine-firewall.service", "vitrine-modules-locked.service"} <= set(ours)
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


@pytest.mark.parametrize(("user", "number"), [("attester", 880), ("gateway", 881), ("engine", 882)])
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
        "bash",
        "perl",
        "dpkg",
        "ip",
        "ss",
        "nsenter",
        "unshare",
        "setpriv",
        "systemd-run",
        "journalctl",
    ],
)
def test_a_tool_that_no_service_needs_is_gone(configured, tool):
    assert [folder for folder in ("bin", "sbin") if (configured / "usr" / folder / tool).exists()] == []


@pytest.mark.parametrize("tool", ["bin/python3", "sbin/nft", "bin/systemd-tmpfiles", "bin/echo", "sbin/modprobe"])
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
        with pytest.raises(BakeError, match="sshd: usr/sbin/sshd"):
            refuse(cleaned)
    finally:
        door.unlink()


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


# What systemd counts as open for an engine, and is so on purpose.
BOTH = {"RootDirectory=/RootImage=", "ProcSubset=", "PrivateUsers=", "IPAddressDeny=", "DeviceAllow="}
BOTH |= {"SystemCallFilter=~@resources", "RestrictAddressFamilies=~AF_UNIX"}
LOOPBACK = {"RestrictAddressFamilies=~AF_(INET|INET6)", "RestrictAddressFamilies=~AF_NETLINK"}
OPEN = {"llamacpp": BOTH, "vllm": BOTH | LOOPBACK | {"PrivateDevices=", "MemoryDenyWriteExecute="}}


def test_the_engines_code_is_whole(configured):
    """What an engine imports by name, as Triton does its backend, is missed by no import of ours."""
    code, installed = REPOSITORY / "serving", configured / "usr/lib/vitrine/serving"
    files = [path.relative_to(code) for path in (code / "engines").rglob("*.py")]
    assert [path for path in files if (installed / path).read_bytes() != (code / path).read_bytes()] == []


@pytest.mark.parametrize("engine", OPEN)
def test_an_engine_is_confined_but_for_what_is_written_down(inside, engine):
    """The drop-in of a prefix is read for the instances of both engines: without it most of this were open."""
    unit = f"vitrine-engine-{engine}@m.service"
    done = inside("/usr/bin/systemd-analyze", "security", "--offline=yes", "--json=short", unit)
    weak = {entry["name"] for entry in json.loads(done.stdout) if not entry["set"]}
    assert weak == OPEN[engine], done.stderr
