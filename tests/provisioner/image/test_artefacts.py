"""A finished image folder: complete or not there; changed files are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_sdk.manifest import Manifest, Model
from provisioner.errors import BakeError
from provisioner.image import artefacts
from provisioner.image.filesystem import Verity
from provisioner.image.firmware import CODE, SECURE_CODE, VARIABLES, firmware, publish_firmware
from provisioner.image.packages import shipped_lock
from provisioner.image.vllm_wheels import LOCK_FILE, parse_closure
from provisioner.image.weights import Weights
from provisioner.image.wheels import shipped_wheels

SERVICE = artefacts.Service(8001)
VERITY = Verity("aa" * 32, "bb" * 32, 8, "01234567-89ab-8def-8123-456789abcdef")

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def image(tmp_path):
    for name in artefacts.FILES.values():
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / artefacts.MANIFEST).write_bytes(b"{}")
    artefacts.write_artefacts(tmp_path, SERVICE, VERITY, VERITY)
    return tmp_path


def test_a_complete_image_is_found_and_intact(image):
    found = artefacts.find_image(image)
    assert found is not None
    assert found == artefacts.open_image(image)
    assert found.service == SERVICE
    assert found.artefacts["root"] == {"hash": "aa" * 32, "salt": "bb" * 32, "data_blocks": 8, "uuid": VERITY.uuid}
    artefacts.check_image(found)


@pytest.mark.parametrize("name", [*artefacts.FILES.values(), artefacts.ARTEFACTS, artefacts.MANIFEST])
def test_an_image_without_one_of_its_files_is_not_there(image, name):
    (image / name).unlink()
    assert artefacts.find_image(image) is None


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "[]", '{"version": 1}', '{"version": 3}', '{"version": 3, "service": {}}', '{"version": 4}']
)
def test_an_interrupted_or_newer_description_is_not_taken(image, text):
    (image / artefacts.ARTEFACTS).write_text(text)
    assert artefacts.find_image(image) is None
    with pytest.raises(BakeError, match="there is no complete image in"):
        artefacts.open_image(image)


@pytest.mark.parametrize("name", [*artefacts.FILES.values(), artefacts.MANIFEST])
def test_one_changed_byte_is_named(image, name):
    found = artefacts.find_image(image)
    (image / name).write_bytes(b"X" + (image / name).read_bytes()[1:])
    with pytest.raises(BakeError, match=f"changed since it was baked: {name};"):
        artefacts.check_image(found)


def test_the_manifest_names_packages_wheels_model_and_digests(image, monkeypatch):
    monkeypatch.setattr(artefacts, "parse_image", lambda _name, data: data)
    monkeypatch.setattr(artefacts, "authenticode", lambda _image: bytes(32))
    facts = artefacts.Facts(
        lock=shipped_lock(),
        wheels=shipped_wheels(),
        contents={"roles/base": "cd" * 32},
        kernel="6.12",
        root=VERITY,
        model=VERITY,
        weights=(Weights("m", "llamacpp", "r", "1", (("model.gguf", "ef" * 32),), "hub"),),
        stub=b"stub",
        source_commit="",
        token_issuer_key="",
    )
    artefacts.write_manifest(image, facts)
    manifest = Manifest.from_json((image / artefacts.MANIFEST).read_bytes())
    assert {package.name for package in manifest.packages} >= {"systemd", "python3-starlette"}
    assert [wheel.name for wheel in manifest.wheels] == ["xllamacpp"]
    bill = bytes.fromhex(artefacts.sha256_of(image / artefacts.SBOM))
    assert manifest.files == (("roles/base", bytes.fromhex("cd" * 32)), ("sbom.json", bill))
    assert manifest.models == (Model("m", "llamacpp", "r", "1", (("model.gguf", bytes.fromhex("ef" * 32)),)),)
    assert manifest.model_disk.root_hash == bytes.fromhex("aa" * 32)


def test_the_manifest_of_a_gpu_image_names_the_drivers_parts_its_compiler_and_every_wheel(image, monkeypatch):
    monkeypatch.setattr(artefacts, "parse_image", lambda _name, data: data)
    monkeypatch.setattr(artefacts, "authenticode", lambda _image: bytes(32))
    pins = parse_closure((REPOSITORY / LOCK_FILE).read_text())
    facts = artefacts.Facts(
        lock=shipped_lock(),
        wheels=shipped_wheels(),
        contents={},
        kernel="6.12",
        root=VERITY,
        model=VERITY,
        weights=(Weights("m", "llamacpp", "r", "1", (("model.gguf", "ef" * 32),), "wheel"),),
        stub=b"stub",
        source_commit="",
        token_issuer_key="",
        gpu_wheels=pins,
    )
    artefacts.write_manifest(image, facts)
    manifest = Manifest.from_json((image / artefacts.MANIFEST).read_bytes())
    packages, tools = ({found.name for found in part} for part in (manifest.packages, manifest.tools))
    assert {"nvidia-open-kernel-dkms", "firmware-nvidia-gsp", "libnvidia-ml1"} <= packages
    assert "gcc-14" in tools - packages
    assert len(manifest.tools) == len(tools), "each tool is named once"
    assert {wheel.name for wheel in manifest.wheels} == {"xllamacpp", *(pin.name for pin in pins)}


def test_firmware_is_published_once_per_tools_tree_and_found(tmp_path):
    source = tmp_path / "tools/usr/share/OVMF"
    source.mkdir(parents=True)
    for name in (CODE, SECURE_CODE, VARIABLES):
        (source / name).write_bytes(name.encode())
    publish_firmware(tmp_path / "tools", "k" * 64, tmp_path / "cache")
    publish_firmware(tmp_path / "tools", "k" * 64, tmp_path / "cache")
    found = firmware(tmp_path / "cache")
    assert found.code.read_bytes() == CODE.encode()
    assert found.secure_code.read_bytes() == SECURE_CODE.encode()
    assert found.code.parent == found.secure_code.parent == found.variables.parent
    for path in (found.code, found.secure_code, found.variables):
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(BakeError, match=r"is gone; bake once more"):
            firmware(tmp_path / "cache")
        path.write_bytes(content)


def test_two_runs_that_publish_the_firmware_at_once(tmp_path, monkeypatch):
    source, replace, others = tmp_path / "tools/usr/share/OVMF", Path.replace, []
    source.mkdir(parents=True)
    for name in (CODE, SECURE_CODE, VARIABLES):
        (source / name).write_bytes(name.encode())

    def late(self, target):
        """All of the other run happens just before the last step of this one."""
        if target.name == "current" and not others:
            others.append(self)
            publish_firmware(tmp_path / "tools", "k" * 64, tmp_path / "cache")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", late)
    publish_firmware(tmp_path / "tools", "k" * 64, tmp_path / "cache")
    assert len(others) == 1
    assert firmware(tmp_path / "cache").code.read_bytes() == CODE.encode()
    left = {path.name for path in (tmp_path / "cache/firmware").iterdir() if not path.name.endswith(".lock")}
    assert left == {"current", "k" * 64}


def test_a_cache_from_before_secure_boot_is_completed(tmp_path):
    source, old = tmp_path / "tools/usr/share/OVMF", tmp_path / "cache/firmware" / ("k" * 64)
    for folder, names in ((source, (CODE, SECURE_CODE, VARIABLES)), (old, (CODE, VARIABLES))):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_bytes(name.encode())
    publish_firmware(tmp_path / "tools", "k" * 64, tmp_path / "cache")
    assert firmware(tmp_path / "cache").secure_code.read_bytes() == SECURE_CODE.encode()


def test_no_firmware_before_the_first_bake(tmp_path):
    with pytest.raises(BakeError, match=r"holds no firmware yet; bake an image first"):
        firmware(tmp_path)


def test_a_tools_tree_without_firmware_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(BakeError, match="copying the firmware"):
        publish_firmware(tmp_path / "tools", "k" * 64, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache/firmware").iterdir() if path.is_dir()]
