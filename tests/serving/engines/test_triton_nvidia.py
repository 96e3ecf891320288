"""Triton's driver without a C compiler: it asks of the GPU's library what Triton's own was seen to ask."""

from __future__ import annotations

import json
import os
import struct
import threading
from pathlib import Path

import pytest

from serving.engines.triton_nvidia.cuda import CudaLibrary, TensorMap
from serving.engines.triton_nvidia.launch import Launch
from serving.engines.triton_nvidia.signature import bfloat16, expand, layout
from tests.fakes.fake_cuda import FakeCuda
from tests.fakes.launches import CASES, RECORDED, REFUSED, Asking, Case, Hooks, Memory, given

EXPECTED = json.loads(RECORDED.read_text())


@pytest.fixture(scope="module")
def path():
    return Path(os.environ["VITRINE_CUDA"])


@pytest.fixture(scope="module")
def library(path):
    return CudaLibrary(str(path))


@pytest.fixture
def fake(path):
    fake = FakeCuda(path)
    fake.fail("")
    fake.log()
    return fake


@pytest.fixture
def asking(fake, library):
    asking = Asking(fake, library, lambda case: Launch(library, case.signature))
    asking.contexts()  # this process has one from here on
    return asking


def plain(value):
    """Return a value as it is after JSON."""
    return json.loads(json.dumps(value))


def test_the_record_has_every_case():
    assert set(EXPECTED["launches"]) == {case.name for case in CASES}
    assert set(EXPECTED["refused arguments"]) == {case.name for case in REFUSED}
    assert all(answer[0] == "refused" for answer in EXPECTED["refused arguments"].values())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_launch_is_tritons(asking, case):
    assert plain(asking.launched(case)) == EXPECTED["launches"][case.name]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_triton_refuses_never_reaches_the_gpu(asking, case):
    assert asking.wrong(case) == EXPECTED["refused arguments"][case.name] == ["refused"]


@pytest.mark.parametrize(
    ("kind", "value", "error", "words"),
    [
        ("*fp32", Memory(0x1000), ValueError, "cannot be accessed from Triton"),
        ("*fp32", "0x1000", TypeError, "must be either uint64 or have data_ptr"),
        ("nvTmaDesc", b"map", TypeError, "must be of type TensorMap, got bytes"),
        ("i32", 2**40, TypeError, "not of its type"),
    ],
)
def test_a_refusal_says_why(asking, library, kind, value, error, words):
    case = Case("refused", (kind,), (value,), ())
    with pytest.raises(error, match=words):
        Launch(library, case.signature)(*given(case, Hooks()))


def test_a_thread_without_a_context_is_given_one(asking):
    assert asking.contexts() == EXPECTED["without a context"]


def test_loading_and_asking_are_tritons(asking):
    assert plain(asking.asked()) == EXPECTED["asked"]


def test_what_the_driver_refuses_is_said_in_tritons_words(asking):
    assert plain(asking.refused()) == EXPECTED["refused by the driver"]
    assert all(words.startswith("Triton Error [CUDA]: ") for _, words in asking.refused())


def test_a_refused_launch_has_no_hook_after_it(asking, fake, library):
    hooks = Hooks()
    fake.parameters(8, 8)
    fake.fail("cuLaunchKernelEx")
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        Launch(library, ())(*given(CASES[0], hooks))
    assert [when for when, _ in hooks.seen] == ["before"]


@pytest.mark.parametrize(
    "how",
    [
        (0, 4, 7, [8, 8], [100], [1], 0),
        (0, 4, 7, [8], [100, 2], [1], 0),
        (0, 4, 7, [8, 8], [100, 2], [1], 0),
    ],
)
def test_a_tensor_whose_ranks_differ_is_not_described(fake, library, how):
    with pytest.raises(RuntimeError, match="Rank mismatch"):
        library.fill_tma_descriptor(0x7F0000001000, *how)
    assert fake.log() == []


def test_what_the_driver_does_not_describe(fake, library):
    fake.fail("cuTensorMapEncodeTiled")
    with pytest.raises(RuntimeError, match="Triton Error"):
        library.fill_tma_descriptor(0x7F0000001000, 0, 4, 7, [8], [100], [1], 0)


@pytest.mark.parametrize("kind", ["", "i128", "nvTmaDesc2", "tensordesc<fp16>"])
def test_an_unknown_type_is_refused_before_any_launch(library, kind):
    with pytest.raises(KeyError):
        Launch(library, (kind,))


def test_a_description_is_handed_over_by_its_parts():
    by_gpu = expand(("i32", "tensordesc<fp16[64, 32]>"), ({"swizzle": 3},))
    assert by_gpu == ("i32", "nvTmaDesc", "i32", "i32", "i64", "i64")
    by_parts = expand(("tensordesc<fp16[64, 32]>", "*u8"), ())
    assert by_parts == ("*", "i64", "i64", "i64", "i64", "i1", "i32", "i32", "i64", "i64", "*")
    assert expand(("tensordesc<fp8e4nv[8]>", "tensordesc<fp16[8]>"), (None, {}))[-3:] == ("nvTmaDesc", "i32", "i64")


def test_a_brain_float_is_cut_not_rounded():
    assert bfloat16(1.0) == 0x3F80
    assert bfloat16(struct.unpack("<f", b"\xff\xff\x80\x3f")[0]) == 0x3F80


def test_every_parameter_has_a_slot_of_its_own():
    assert layout(("i1", "fp64", "u16")).size == 24


def test_tensor_maps_lie_where_the_gpu_can_read_them():
    assert {TensorMap().address % 128 for _ in range(64)} == {0}


def test_launches_of_many_threads_do_not_share_memory(asking, fake, library):
    launch = Launch(library, ("i64", "*fp32"))
    seen, meet = [], threading.Barrier(8)

    def work(number):
        meet.wait()
        seen.extend(
            launch._arguments.lay_down((number, Memory(0x7F0000000000 + number), None, None)) for _ in range(50)
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({parameters.pointers[0] for parameters in seen}) == 400
    pairs = {struct.unpack_from("<qQ", parameters.memory) for parameters in seen}
    assert pairs == {(number, 0x7F0000000000 + number) for number in range(8)}


def test_a_machine_without_the_drivers_library():
    with pytest.raises(OSError, match="cannot open shared object"):
        CudaLibrary("libcuda-of-nobody.so.1")


def test_a_case_is_one_that_can_fail(asking):
    """The record is compared with what was really laid down."""
    wrong = Case("pointers", ("i32",), (2,), (4,))
    assert plain(asking.launched(wrong)) != EXPECTED["launches"]["one i32"]
