"""The list of models: what an engine takes from it, and what it does not take for a list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving.engines.__main__ import read_config
from serving.engines.interface import Settings, Tuning
from serving.engines.models import Places, read_model
from serving.errors import EngineError

PLACES = Places(Path("/m"), Path("/s"))
PLAIN = {"name": "a", "engine": "llamacpp", "context": 512, "slots": 2}
TUNED = PLAIN | {"name": "b", "engine": "vllm", "dtype": "bfloat16", "adapters": ["x"], "graphs": False}


def read(entries, name="a"):
    return read_model(json.dumps(entries).encode(), name, PLACES)


def test_a_model_gets_its_own_folder_socket_and_options():
    assert read([PLAIN, TUNED]) == ("llamacpp", Settings(Path("/m/a"), "a", Path("/s/a.sock"), 512, 2))
    engine, settings = read([PLAIN, TUNED], "b")
    assert (engine, settings.model, settings.socket) == ("vllm", Path("/m/b"), Path("/s/b.sock"))
    assert settings.tuning == Tuning(dtype="bfloat16", adapters=("x",), graphs=False)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "names a 0 times"),
        ([TUNED], "names a 0 times"),
        ([PLAIN, PLAIN], "names a 2 times"),
        ({"a": PLAIN}, "malformed"),
        ([1], "malformed"),
        ([{"engine": "llamacpp"}], "malformed"),
        ([PLAIN | {"engine": "sh"}], "no engine sh"),
        ([PLAIN | {"engine": None}], "malformed engine"),
        ([PLAIN | {"context": "512"}], "malformed context"),
        ([PLAIN | {"slots": True}], "malformed slots"),
        ([{k: v for k, v in PLAIN.items() if k != "slots"}], "malformed slots"),
        ([PLAIN | {"trust_remote_code": True}], "malformed trust_remote_code"),
        ([PLAIN | {"adapters": "x"}], "malformed adapters"),
        ([PLAIN | {"gpu_percent": 90.0}], "malformed gpu_percent"),
    ],
)
def test_a_list_that_is_none_is_refused(entries, said):
    with pytest.raises(EngineError, match=said):
        read(entries)


@pytest.mark.parametrize("data", [b"", b"{", b"[[]]", b"null"])
def test_bytes_that_are_no_json_of_ours_are_refused(data):
    with pytest.raises(EngineError, match="malformed"):
        read_model(data, "a", PLACES)


def test_a_list_that_is_missing_is_refused(tmp_path):
    with pytest.raises(EngineError, match="no list of models"):
        read_config(["a", "--list", str(tmp_path / "none"), "--models", "m", "--sockets", "s"], {})


@pytest.mark.parametrize("change", [["--log", "x"], ["--model", "/elsewhere"]])
def test_an_option_that_is_not_known_is_refused(change):
    with pytest.raises(SystemExit) as caught:
        read_config(["a", "--list", "l", "--models", "m", "--sockets", "s", *change], {})
    assert caught.value.code == 2
