"""Two engines in one image: what one that an attacker has taken over can do to the other, as its unit's user."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess

import pytest
import yaml

pytestmark = pytest.mark.root
UNITS = "usr/lib/systemd/system"
# The longest name that there may be: a UNIX socket's path must still hold it.
TAKEN, OTHER = "taken", "other-" + 58 * "x"
MODELS = [{"name": name, "engine": "llamacpp", "context": 2048, "slots": 1} for name in (TAKEN, OTHER)]
LARGE = [{"name": name, "engine": "vllm", "context": 2048, "slots": 1, "gpu_percent": 30} for name in ("x", "y", "z")]

# Serves on the other's socket, then tries one thing as somebody else; what it says is whether that went well.
ATTACK = """
import ctypes, json, os, pwd, signal, socket, sys
user, attack, mine, theirs, owner = json.loads(sys.argv[1])

def become(name):
    account = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.umask(0o077)

def listen(path):
    channel = socket.socket(socket.AF_UNIX)
    channel.bind(path)
    os.chmod(path, 0o660)
    channel.listen()
    return channel

def rebind():
    listen(theirs + ".own")
    os.rename(theirs + ".own", theirs)

heard, said = os.pipe()
victim = os.fork()
if not victim:
    become(owner)
    # PR_SET_DUMPABLE: so is a program that a unit starts, and one that changed its user is not.
    ctypes.CDLL(None).prctl(4, 1)
    listening = listen(theirs)
    os.write(said, b"x")
    signal.pause()
os.close(said)
assert os.read(heard, 1) == b"x", "the other engine cannot listen"
become(user)
try:
    {
        "connect": lambda: socket.socket(socket.AF_UNIX).connect(theirs),
        "unlink": lambda: os.unlink(theirs),
        "rebind": rebind,
        "list": lambda: os.listdir(os.path.dirname(theirs)),
        "chmod": lambda: os.chmod(os.path.dirname(theirs), 0o777),
        "kill": lambda: os.kill(victim, signal.SIGKILL),
        "through its root": lambda: os.listdir(f"/proc/{victim}/root/run"),
        "listen": lambda: listen(mine),
    }[attack]()
    print("done")
except PermissionError:
    print("refused")
"""


@pytest.fixture(scope="module")
def tree(configured, play, tmp_path_factory):
    """A copy of the tree with the roles applied for some models: two on llama.cpp, three on vLLM."""
    folder = tmp_path_factory.mktemp("engines")
    tree = folder / "tree"
    subprocess.run(["cp", "-a", "--reflink=auto", configured, tree], check=True)
    host = {"name": "image", "ansible_connection": "rootdir", "ansible_rootdir": str(tree)}
    host |= {"ansible_python_interpreter": "/usr/bin/python3", "ansible_remote_tmp": "/var/tmp/.ansible"}
    add = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.add_host": host}]}
    roles = {"hosts": "image", "gather_facts": False, "roles": ["egress_firewall", "engine", "gateway"]}
    (folder / "some.yml").write_text(yaml.safe_dump([add, roles]))
    done = play(folder / "some.yml", "-e", json.dumps({"engine_models": [*MODELS, *LARGE]}))
    assert done.returncode == 0, done.stdout[-3000:]
    return tree


def lines(tree, unit):
    """Every line of a unit, in the order in which systemd reads its files: its own, then drop-ins by their names."""
    prefix, at, instance = unit.partition("@")
    template = f"{prefix}@.service" if at else unit
    words = prefix.split("-")
    prefixes = {f"{'-'.join(words[:count])}-.service" for count in range(1, len(words))}
    folders = {f"{name}.d" for name in {template, unit} | prefixes}
    found = [path for folder in folders for path in (tree / UNITS / folder).glob("*.conf")]
    files = [tree / UNITS / template, *sorted(found, key=lambda path: path.name)]
    return [line for path in files for line in path.read_text().replace("%i", instance[:-8]).splitlines()]


def setting(tree, unit, key):
    """What a list setting is in the end: an empty one takes back what was said before."""
    said = [line.partition("=")[2] for line in lines(tree, unit) if line.startswith(f"{key}=")]
    last = max((index for index, value in enumerate(said) if not value), default=-1)
    return said[last + 1 :]


def user_of(tree, model):
    return setting(tree, f"vitrine-engine-llamacpp@{model}.service", "User")[-1]


def socket_of(tree, model):
    (line,) = setting(tree, "vitrine-gateway.service", "ExecStart")
    told = [word for before, word in itertools.pairwise(line.split()) if before == "--model"]
    return dict(word.split("=llamacpp:2048:") for word in told if "=llamacpp:" in word)[model]


def test_engines_that_share_gpus_start_one_after_the_other(tree):
    """Each measures what is free; llama.cpp waits for nobody."""
    units = [f"vitrine-engine-vllm@{model['name']}.service" for model in LARGE]
    told = [" ".join(setting(tree, unit, "After")).split() for unit in units]
    assert [[unit for unit in units if unit in after] for after in told] == [[], units[:1], units[:2]]
    for model in MODELS:
        assert "vitrine-engine-" not in " ".join(
            setting(tree, f"vitrine-engine-llamacpp@{model['name']}.service", "After")
        )


@pytest.fixture(scope="module")
def attack(tree, enter):
    """Make /run as the boot does, and try one thing as one user; return how it went."""
    makes = [shlex.split(line) for line in setting(tree, "systemd-tmpfiles-setup.service", "ExecStart")]
    assert makes

    def run(user, what):
        told = [user, what, *(socket_of(tree, name) for name in (TAKEN, OTHER)), user_of(tree, OTHER)]
        argv = [*map(shlex.join, makes), shlex.join(["exec", "python3", "-c", ATTACK, json.dumps(told)])]
        unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "sh", "-c", enter, "sh"]
        command = [*unshared, str(tree), "/bin/sh", "-c", "; ".join(argv)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_an_engine_listens_on_its_own_socket(tree, attack):
    assert attack(user_of(tree, TAKEN), "listen") == "done"


def test_the_gateway_connects_to_an_engine_and_can_do_nothing_else_to_it(attack):
    assert attack("vitrine-gateway", "connect") == "done"
    for what in ("unlink", "rebind", "chmod", "kill", "through its root"):
        assert attack("vitrine-gateway", what) == "refused"


@pytest.mark.parametrize(
    "what", ["connect", "unlink", "rebind", "list", "chmod", "kill", "through its root"], ids=lambda what: what
)
def test_an_engine_that_was_taken_over_does_nothing_to_another(tree, attack, what):
    assert attack(user_of(tree, TAKEN), what) == "refused"


@pytest.mark.parametrize("user", ["vitrine-attester", "vitrine-engine"])
@pytest.mark.parametrize("what", ["connect", "unlink", "rebind", "listen"])
def test_whoever_is_not_the_gateway_comes_to_no_engine(attack, user, what):
    assert attack(user, what) == "refused"


def test_an_engine_may_write_to_its_own_folder_alone(tree):
    for model in (TAKEN, OTHER):
        unit = f"vitrine-engine-llamacpp@{model}.service"
        assert setting(tree, unit, "ReadWritePaths") == [socket_of(tree, model).rpartition("/")[0]]
        assert setting(tree, unit, "Group")[-1] == user_of(tree, model)


@pytest.mark.parametrize(("name", "is_confined"), [("30-instance.conf", False), ("09-instance.conf", True)])
def test_systemd_too_takes_an_instances_account_for_the_later_word(inside, name, is_confined):
    """With root as the account, because that is what the tool tells apart."""
    unit = "vitrine-engine-llamacpp@m.service"
    folder = f"/run/systemd/system/{unit}.d"
    write = "import os, sys; os.makedirs(sys.argv[1]); open(sys.argv[2], 'w').write(sys.argv[3])"
    drop_in = [folder, f"{folder}/{name}", "[Service]\nUser=root\nGroup=root\n"]
    ask = 'python3 -c "$@" && exec systemd-analyze security --offline=yes --json=short "$0"'
    done = inside("/bin/sh", "-c", ask, unit, write, *drop_in)
    (found,) = [entry for entry in json.loads(done.stdout) if entry["name"] == "User=/DynamicUser="]
    assert found["set"] is is_confined


def test_no_two_accounts_have_one_number(tree):
    numbers = [line.split(":")[2] for line in (tree / "etc/passwd").read_text().splitlines()]
    assert len(set(numbers)) == len(numbers)
    found = re.findall(r"^vitrine-engine-\d+:x:(\d+):(\d+):", (tree / "etc/passwd").read_text(), re.MULTILINE)
    assert found == [(str(820 + number),) * 2 for number in range(len([*MODELS, *LARGE]))]


def test_the_longest_name_fits_a_sockets_path(tree):
    assert len(OTHER) == 64
    assert len(socket_of(tree, OTHER)) < 108
