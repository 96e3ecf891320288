"""Driver and wheels: the same major number of CUDA, or no bake."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import BakeError
from provisioner.image.closure import LOCK_FILE, parse_closure
from provisioner.image.cuda import driver_cuda, require_fitting, wheels_cuda
from provisioner.image.driver import driver_version
from provisioner.image.packages import shipped_lock

REPOSITORY = Path(__file__).resolve().parents[3]
TWELVE = [("torch", "2.10.0"), ("nvidia-cuda-runtime-cu12", "12.8.90"), ("nvidia-cublas-cu12", "12.8.4.1")]
THIRTEEN = [("torch", "2.11.0"), ("nvidia-cuda-runtime", "13.0.96"), ("nvidia-cudnn-cu13", "9.15.0")]


def test_what_is_locked_fits():
    pins = parse_closure((REPOSITORY / LOCK_FILE).read_text())
    require_fitting(driver_version(shipped_lock()), [(pin.name, pin.version) for pin in pins])


@pytest.mark.parametrize(
    ("driver", "wheels"), [("550.163.01", TWELVE), ("525.60.13", TWELVE), ("580.159.04", THIRTEEN)]
)
def test_one_major_number_fits_whatever_the_minor(driver, wheels):
    require_fitting(driver, wheels)


@pytest.mark.parametrize(
    ("driver", "wheels", "words"),
    [
        ("550.163.01", THIRTEEN, "CUDA 12.4, the engine's wheels for CUDA 13"),
        ("580.159.04", TWELVE, "CUDA 13.0, the engine's wheels for CUDA 12"),
    ],
)
def test_another_major_number_is_refused_with_both_numbers(driver, wheels, words):
    with pytest.raises(BakeError, match=words):
        require_fitting(driver, wheels)


@pytest.mark.parametrize("driver", ["", "550", "550.x", "550.163.01-2", "9999.1.1", "700.10.01", "abc"])
def test_a_driver_that_is_not_known_is_not_guessed_at(driver):
    with pytest.raises(BakeError, match="not known"):
        driver_cuda(driver)


def test_wheels_without_cuda_are_not_for_gpus():
    with pytest.raises(BakeError, match="bring no CUDA"):
        wheels_cuda([("torch", "2.10.0+cpu"), ("nvidia-ml-py", "13.595.45")])


@pytest.mark.parametrize(
    "other", [("nvidia-nccl-cu13", "2.28"), ("nvidia-cuda-runtime", "13.1.80"), ("vllm", "0.20+cu130")]
)
def test_wheels_of_two_cudas_are_refused(other):
    with pytest.raises(BakeError, match=r"different CUDAs .CUDA 12: .*CUDA 13"):
        wheels_cuda([*TWELVE, other])


@pytest.mark.parametrize(
    ("wheel", "major"),
    [
        (("torch", "2.10.0+cu128"), 12),
        (("torch", "2.11.0+cu130"), 13),
        (("nvidia-cusparselt-cu12", "0.7.1"), 12),
        (("nvidia-cuda-runtime", "13.0.96"), 13),
    ],
)
def test_each_way_in_which_a_wheel_names_its_cuda(wheel, major):
    assert wheels_cuda([wheel]) == major
