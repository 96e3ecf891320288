from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from provisioner import bake as module
from provisioner.bake import (
    CLIENT_FILES,
    Addresses,
    Bake,
    contents,
    finished,
    prepare,
    read_sources,
    require_own_code,
    role_options,
    seal,
)
from provisioner.errors import BakeError, SpecError
from provisioner.image import artefacts
from provisioner.image.artefacts import Service
from provisioner.image.entry import entry
from provisioner.image.filesystem import Verity
from provisioner.image.firmware import CODE, SECURE_CODE, VARIABLES, publish_firmware
from provisioner.image.model import model_card
from provisioner.image.sources import HUB
from provisioner.image.vllm_wheels import LOCK_FILE

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A copy of every ingredient, so that a test can change one."""
    copy = tmp_path / "checkout"
    for name in module.INGREDIENTS:
        source, target = REPOSITORY / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return copy


def bake(checkout, values=None, mode="test"):
    sources = read_sources(checkout / "cache", mode, Addresses())
    return Bake(checkout, checkout / "images", sources, {"gateway_access": '"open"', **(values or {})})


def test_the_key_depends_on_contents_alone(checkout, tmp_path):
    elsewhere = shutil.copytree(checkout, tmp_path / "elsewhere", symlinks=True)
    assert bake(checkout).key() == bake(elsewhere).key()


@pytest.mark.parametrize("name", module.INGREDIENTS)
def test_a_change_of_any_ingredient_changes_the_key(checkout, name):
    before = bake(checkout).key()
    path = checkout / name
    if path.is_dir():
        path = next(p for p in sorted(path.rglob("*")) if p.is_file() and not p.is_symlink())
    path.write_bytes(path.read_bytes() + b"\n")
    assert bake(checkout).key() != before


# What an ingredient imports and yet does not decide about the image, each with the reason.
DECIDES_NOTHING = {
    "provisioner/errors.py": "what is said when there is no image",
    "provisioner/progress.py": "what is said meanwhile",
    "provisioner/atomic.py": "how it is written which firmware is the latest, which no image holds",
    "provisioner/action.py": "it hands an action's arguments on as they are, and tells refusals",
    "provisioner/room.py": "it refuses models that do not fit a machine, and hands nothing on",
    "provisioner/commit.py": "the manifest names the commit; the key does not cover it, so neither how it is found",
}


def module_file(name):
    """The file of a module of ours; a name inside a module is that module's."""
    path = REPOSITORY / name.replace(".", "/")
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.relative_to(REPOSITORY).as_posix()
    return module_file(name.rpartition(".")[0])


def imports(path):
    """Our modules that a file names. What its package's __init__ re-exports beside them is not followed."""
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def ingredient_files(suffix):
    for name in module.INGREDIENTS:
        path = REPOSITORY / name
        found = [path] if path.is_file() else path.rglob(f"*{suffix}")
        yield from (file.relative_to(REPOSITORY).as_posix() for file in found if file.suffix == suffix)


def covered(path):
    return any(path == name or path.startswith(f"{name}/") for name in module.INGREDIENTS)


def test_whatever_an_ingredient_imports_is_one_too():
    ours = ("provisioner.", "client_sdk.", "serving.")
    lazy = "client_sdk/__init__.py"  # names its public modules for type checkers, and loads none of them
    found = {
        module_file(name)
        for path in ingredient_files(".py")
        if path != lazy
        for name in imports(path)
        if name.startswith(ours)
    }
    assert {"provisioner/image/pack.py", "provisioner/measure/pe.py", "client_sdk/manifest.py"} <= found
    assert {path for path in found if not covered(path)} == set(DECIDES_NOTHING)


def test_every_fault_is_told_at_once_and_each_once(checkout):
    told = {"gateway_port": '"x"', "engine_models": "[5, 6]", "engine_weights": "7", "attester_gpus": "-1"}
    with pytest.raises(SpecError) as caught:
        bake(checkout, told).require()
    fields = [fault.field for fault in caught.value.faults]
    assert fields == ["gateway_port", "engine_models[0]", "engine_models[1]", "attester_gpus"]


def test_a_filter_of_ours_that_a_role_uses_is_an_ingredient():
    tasks = "".join(path.read_text() for path in (REPOSITORY / "roles").rglob("tasks/*.yml"))
    own = set(re.findall(r"^def ([a-z]\w+)", (REPOSITORY / "plugins/filter/models.py").read_text(), re.MULTILINE))
    assert own & set(re.findall(r"\| (\w+)", tasks)) == {"model_faults"}
    assert covered("plugins/filter/models.py")


def test_whatever_action_or_module_of_ours_the_bake_runs_is_an_ingredient():
    own = {path.stem for kind in ("action", "modules") for path in (REPOSITORY / "plugins" / kind).glob("*.py")}
    words = {
        word
        for path in ingredient_files(".yml")
        for word in re.findall(r"^\s+([a-z_]+):", (REPOSITORY / path).read_text(), re.MULTILINE)
    }
    assert words & own == {"bake_prepare", "bake_seal", "install_tree", "inventory_check", "strip_programs"}
    # That one refuses, and hands nothing on.
    paths = {name: [f"plugins/{kind}/{name}.py" for kind in ("action", "modules")] for name in words & own}
    there = {name: [path for path in found if (REPOSITORY / path).is_file()] for name, found in paths.items()}
    assert [name for name, found in there.items() if not all(map(covered, found))] == ["inventory_check"]


def test_a_role_value_changes_the_key(checkout):
    assert bake(checkout, {"base_hostname": '"x"'}).key() != bake(checkout).key()


def test_a_release_is_never_a_test_bake_under_another_name(checkout):
    assert bake(checkout, mode="release").key() != bake(checkout, mode="test").key()


def test_byte_code_of_whoever_ran_the_code_does_not_change_the_key(checkout):
    before = bake(checkout).key()
    (checkout / "serving/__pycache__").mkdir()
    (checkout / "serving/__pycache__/x.pyc").write_bytes(b"x")
    assert bake(checkout).key() == before


def test_a_missing_ingredient(checkout):
    shutil.rmtree(checkout / "serving")
    with pytest.raises(BakeError, match="serving"):
        bake(checkout).key()


def test_every_source_file_is_named_for_the_manifest(checkout):
    named = contents(bake(checkout))
    assert "roles/egress_firewall/files/tree/usr/lib/vitrine/firewall.nft.j2" in named
    assert "playbooks/bake.yml" in named
    assert all(len(digest) == 64 for digest in named.values())


def test_nothing_is_finished_before_the_first_bake(checkout):
    assert finished(bake(checkout)) is None


def test_a_finished_image_is_used_again_as_long_as_it_is_what_was_made(checkout):
    folder = bake(checkout).image()
    folder.mkdir(parents=True)
    for name in (*artefacts.FILES.values(), artefacts.MANIFEST):
        (folder / name).write_text(name)
    verity = Verity("aa" * 32, "bb" * 32, 8, "01234567-89ab-8def-8123-456789abcdef")
    artefacts.write_artefacts(folder, bake(checkout).service(), verity, verity)
    assert finished(bake(checkout)) is None, "its firmware is not in the cache: a bake has to publish it"
    tools = checkout / "tools"
    (tools / "usr/share/OVMF").mkdir(parents=True)
    for name in (CODE, SECURE_CODE, VARIABLES):
        (tools / "usr/share/OVMF" / name).write_bytes(b"firmware")
    publish_firmware(tools, "0" * 64, checkout / "cache")
    assert finished(bake(checkout)).path == folder
    (folder / "boot.raw").write_text("boot.raW")
    with pytest.raises(BakeError, match=r"changed since it was baked: boot\.raw; delete the folder, bake again"):
        finished(bake(checkout))


def test_an_image_folder_that_is_not_complete_is_not_finished(checkout):
    bake(checkout).image().mkdir(parents=True)
    assert finished(bake(checkout)) is None


@pytest.fixture
def prepared(monkeypatch):
    """Make trees without packages: what is tested is who may touch which."""

    def make(workdir, *_, **__):
        (workdir / "tree").mkdir(parents=True, exist_ok=True)
        return SimpleNamespace(tree=workdir / "tree")

    monkeypatch.setattr(module, "prepare_rootfs", make)
    return lambda bake, owner: prepare(bake, owner=owner, progress=lambda _: None)


@pytest.fixture
def other_process():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_what_an_interrupted_bake_left_is_thrown_away(checkout, prepared, other_process):
    stale = prepared(bake(checkout), other_process.pid)
    other_process.kill()
    other_process.wait()
    fresh = prepared(bake(checkout, {"base_hostname": '"x"'}), os.getpid())
    assert fresh.exists()
    assert not stale.exists()


def test_an_interrupted_bake_can_be_run_again(checkout, prepared, other_process):
    prepared(bake(checkout), other_process.pid)
    other_process.kill()
    other_process.wait()
    assert prepared(bake(checkout), os.getpid()).exists()


def test_a_bake_that_runs_beside_ours_keeps_its_tree(checkout, prepared, other_process):
    theirs = prepared(bake(checkout, {"base_hostname": '"x"'}), other_process.pid)
    prepared(bake(checkout), os.getpid())
    assert theirs.exists()


def test_two_bakes_of_one_image_at_once(checkout, prepared, other_process):
    prepared(bake(checkout), other_process.pid)
    with pytest.raises(BakeError, match=f"process {other_process.pid} is baking this image already"):
        prepared(bake(checkout), os.getpid())


def test_a_process_number_that_was_given_again_holds_nothing(checkout, prepared):
    workdir = bake(checkout).workdir()
    workdir.mkdir(parents=True)
    workdir.with_name(f"{workdir.name}.owner").write_text(f"{os.getpid()} 1")
    assert prepared(bake(checkout), os.getpid()).exists()


def test_sealing_what_was_never_prepared(checkout):
    with pytest.raises(BakeError, match="holds no prepared root file system"):
        seal(bake(checkout), progress=lambda _: None)


def test_every_fault_of_the_inventory_is_told_at_once(tmp_path):
    with pytest.raises(SpecError) as caught:
        read_sources(tmp_path, "production", Addresses("ftp://mirror", "ftp://security", "ftp://hub"))
    assert [fault.field for fault in caught.value.faults] == [
        *("bake_mode", "bake_mirror", "bake_security_mirror", "bake_hub"),
    ]


def test_the_inventorys_mirrors_are_the_ones_that_are_asked(tmp_path):
    told = ("https://one.invalid/debian", "https://two.invalid/security", "https://three.invalid")
    sources = read_sources(tmp_path, "test", Addresses(*told))
    assert (sources.mirror, sources.security_mirror, sources.hub) == told
    sources = read_sources(tmp_path, "test", Addresses())
    assert (sources.mirror, sources.security_mirror, sources.hub) == (None, None, HUB)


def test_the_process_that_seals_goes_on_with_the_bake_that_was_prepared(checkout):
    sources = read_sources(
        checkout / "cache", "release", Addresses("https://one.invalid/debian", "", "https://hub.invalid")
    )
    prepared = Bake(checkout, checkout / "images", sources, {"base_hostname": '"x"'}, "c" * 40)
    assert Bake.from_vars(json.loads(json.dumps(prepared.to_vars()))) == prepared


def test_sources_that_change_between_preparing_and_sealing_are_refused(checkout):
    told = bake(checkout).to_vars()
    path = checkout / "roles/base/defaults/main.yml"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(BakeError, match="the sources changed while the roles were applied"):
        Bake.from_vars(told)


def test_a_checkout_is_not_baked_with_the_code_of_another(checkout):
    require_own_code(REPOSITORY)
    with pytest.raises(BakeError, match=f"not of {checkout}: set PYTHONPATH={checkout}"):
        require_own_code(checkout)


def test_the_commit_reaches_the_manifest(checkout, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "load_rootfs", lambda workdir: SimpleNamespace(tree=workdir, workdir=workdir))
    monkeypatch.setattr(module, "clean", lambda _: None)
    monkeypatch.setattr(module, "refuse", lambda *_: None)
    monkeypatch.setattr(module, "refuse_on_trial", lambda *_, **__: None)
    monkeypatch.setattr(module, "pack", lambda _, spec, **__: seen.append(spec))
    one = bake(checkout)
    seal(Bake(one.repository, one.output, one.sources, one.values, "c" * 40), progress=lambda _: None)
    assert [(spec.source_commit, spec.service) for spec in seen] == [("c" * 40, one.service())]
    assert [spec.token_issuer_key for spec in seen] == [""]


def test_the_variables_of_all_roles_are_known():
    assert {"base_hostname", "egress_firewall_port"} <= set(role_options(REPOSITORY))


def test_what_the_image_serves_is_what_the_roles_are_told(checkout):
    assert bake(checkout).service() == Service(8443)
    # Extra variables of the command line are text.
    assert bake(checkout, {"gateway_port": '"9443"'}).service() == Service(9443)
    assert bake(checkout, {"gateway_port": "9443"}).service() == Service(9443)


def own_model(adapters=(), **places):
    model = {"name": "own", "engine": "vllm", "context": 4096, "slots": 8, "adapters": adapters}
    files = {"name": "own", "repository": "a/own", "revision": "a" * 40, "files": {"config.json": "b" * 64}} | places
    return {"engine_models": json.dumps([model]), "engine_weights": json.dumps([files])}


def test_the_models_are_those_of_the_roles_variables(checkout):
    assert [weights.name for weights in bake(checkout).weights()] == [model_card()["name"]]
    own = bake(checkout, own_model())
    assert [weights.name for weights in own.weights()] == ["own"]
    assert [model.context for model in own.models()] == [4096]


def test_where_a_models_files_lie_does_not_decide_about_the_image_but_what_they_are_does(checkout):
    keys = {bake(checkout, own_model(**places)).key() for places in ({}, {"folder": "/one"}, {"folder": "/two"})}
    assert len(keys) == 1
    other = bake(checkout, own_model(files={"config.json": "c" * 64})).key()
    assert other not in keys


GPT = {"name": "gpt-5", "engine": "vllm", "context": 2048, "slots": 1}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("gateway_port", '"https"', "gateway_port: expected a port number"),
        ("gateway_port", "null", "gateway_port: expected a port number"),
        ("gateway_access", '"tokens"', "gateway_token_issuer_key: expected the issuer's public key .*, got nothing"),
        ("engine_models", json.dumps([GPT | {"engine": "llamacpp"}]), "engine_weights: expected an entry for gpt-5"),
        ("engine_models", json.dumps([GPT]), "attester_gpus: expected at least 1: engine_models names vLLM"),
        ("engine_models", json.dumps([GPT | {"dtype": "fp8"}]), "engine_models.gpt-5.dtype: expected auto, bfloat16"),
        (
            "engine_models",
            json.dumps([GPT | {"tensor_parallel": 0}]),
            "tensor_parallel: expected a number from 1 to 32",
        ),
        ("engine_models", '[{"name": "gpt-5"}]', "engine_models.gpt-5.engine: expected llamacpp, vllm, got nothing"),
        ("engine_models", '"gpt-5"', "engine_models: expected a list of at least one model"),
        ("engine_models", "[]", "engine_models: expected a list of at least one model"),
        ("engine_weights", '"gpt-5"', "engine_weights: expected a list of entries with a name"),
        ("engine_weights", '[{"name": "gpt-5"}]', "one that nobody serves"),
        ("attester_gpus", "-1", "attester_gpus: expected a number from 0 to 32, got '-1'"),
        ("attester_gpus", "33", "attester_gpus: expected a number from 0 to 32"),
        ("attester_gpus", '"one"', "attester_gpus: expected a number from 0 to 32"),
        ("attester_gpus", "true", "attester_gpus: expected a number from 0 to 32"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_before_anything_is_made(checkout, prepared, name, value, said):
    with pytest.raises(SpecError, match=said):
        prepared(bake(checkout, {name: value}), os.getpid())
    assert not (checkout / "images").exists()


@pytest.fixture
def adapted(checkout, tmp_path):
    """Values of a model in a folder, with an adapter of a rank that vLLM has no room for; which are served is told."""
    folder = tmp_path / "own"
    (folder / "adapters/legal").mkdir(parents=True)
    told = {"r": 1024, "lora_alpha": 16, "target_modules": ["q_proj"]}
    (folder / "adapters/legal/adapter_config.json").write_text(json.dumps(told))
    for name in ("config.json", "adapters/legal/adapter_model.safetensors"):
        (folder / name).write_text("{}")
    made = entry(folder, name="own", repository="a/own", revision="1", hub=False)
    return lambda *adapters: own_model(**made, adapters=adapters) | {"attester_gpus": "1"}


def test_an_adapter_that_vllm_cannot_serve_is_refused_before_anything_is_made(checkout, prepared, adapted):
    with pytest.raises(SpecError, match=r"own: adapters/legal/adapter_config\.json\.r: expected a rank from 1 to 512"):
        prepared(bake(checkout, adapted("legal")), os.getpid())
    assert not (checkout / "images").exists()


def test_an_adapter_is_judged_though_the_same_model_disk_was_made_before_without_it(checkout, prepared, adapted):
    without, served = (bake(checkout, adapted(*names)) for names in ((), ("legal",)))
    assert prepared(without, os.getpid()).exists()
    assert [one.identity() for one in without.weights()] == [one.identity() for one in served.weights()]
    with pytest.raises(SpecError, match="a rank from 1 to 512"):
        prepared(served, os.getpid())


def test_an_image_is_for_gpus_where_a_number_is_given_and_has_the_locked_wheels_then(checkout):
    assert bake(checkout).gpus() is None
    assert bake(checkout, {"attester_gpus": "0"}).gpus() is None
    gpus = bake(checkout, {"attester_gpus": '"2"'}).gpus()  # extra variables of the command line are text
    assert gpus.count == 2
    assert "vllm" in {pin.name for pin in gpus.wheels}
    assert bake(checkout).key() != bake(checkout, {"attester_gpus": "1"}).key()


def test_wheels_that_do_not_fit_the_driver_are_refused_before_anything_is_made(checkout):
    lock = checkout / LOCK_FILE
    lock.write_text(re.sub(r"-cu12==", "-cu13==", lock.read_text()))
    with pytest.raises(BakeError, match=r"driver 550\.163\.01 is for CUDA 12\.4, the engine's wheels for CUDA 13"):
        prepare(bake(checkout, {"attester_gpus": "1"}), owner=os.getpid(), progress=lambda _: None)
    assert not (checkout / "cache").exists()


def test_a_specification_that_cannot_be_read(tmp_path):
    (tmp_path / "roles/x/meta").mkdir(parents=True)
    (tmp_path / "roles/x/meta/argument_specs.yml").write_text("- not a mapping\n")
    with pytest.raises(BakeError, match="not an argument specification"):
        role_options(tmp_path)


def test_the_attester_role_installs_exactly_the_client_files_that_the_key_covers():
    tasks = yaml.safe_load((REPOSITORY / "roles/attester/tasks/configure.yml").read_text())
    included = [
        t["install_tree"]["include"] for t in tasks if "client_sdk" in str(t.get("install_tree", {}).get("src"))
    ]
    assert [sorted(names) for names in included] == [[f"{name}.py" for name in CLIENT_FILES]]
