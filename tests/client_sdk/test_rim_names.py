"""Which RIM files are tried for a device: a matter of names, about which nothing has to be believed."""

from __future__ import annotations

import pytest

from client_sdk.parse.nvidia import parse_transcript
from client_sdk.platforms.devices import rim_names
from tests.fakes.simulated_nvidia import SimulatedGpu

DRIVER, FIRMWARE = "NV_GPU_DRIVER_GH100_590.12", "NV_GPU_VBIOS_G520_0200_885_9600A50001"


def opaque(gpu: SimulatedGpu):
    return parse_transcript(gpu.evidence(), "gpu").opaque


@pytest.mark.parametrize(
    ("known", "certificates", "found"),
    [
        ((DRIVER, FIRMWARE), b"", (DRIVER, FIRMWARE)),
        ((FIRMWARE, DRIVER), b"", (DRIVER, FIRMWARE)),
        ((), b"", ()),
        (("NV_GPU_DRIVER_GH100_590.1", "NV_GPU_DRIVER_GH100_1590.12"), b"", ()),
        (("NV_GPU_CC_DRIVER_GB100_590.12",), b"", ("NV_GPU_CC_DRIVER_GB100_590.12",)),
        (("NV_GPU_CC_DRIVER_GB100_590.12", DRIVER), b"CN=GH100 A01", (DRIVER,)),
        (("NV_GPU_CC_DRIVER_GB100_590.12", DRIVER), b"GB100", ("NV_GPU_CC_DRIVER_GB100_590.12",)),
        (("NV_GPU_CC_DRIVER_GB100_590.12", DRIVER), b"", ()),
        (("NV_GPU_VBIOS_G520_0201_885_9600A50001",), b"", ()),
        (("NV_GPU_VBIOS_G520_0200_885_9600a50001",), b"", ("NV_GPU_VBIOS_G520_0200_885_9600a50001",)),
        (("NV_SWITCH_BIOS_5612_0002_890_9610550001",), b"", ()),
    ],
)
def test_files_of_a_gpu(known, certificates, found):
    assert rim_names(opaque(SimulatedGpu()), certificates, known) == found


def test_the_file_of_a_switch():
    known = (DRIVER, FIRMWARE, "NV_SWITCH_BIOS_5612_0002_890_9610550001")
    assert rim_names(opaque(SimulatedGpu.switch()), b"", known) == known[2:]


def test_a_device_that_states_no_version():
    gpu = SimulatedGpu()
    del gpu.opaque[3], gpu.opaque[6]
    assert rim_names(opaque(gpu), b"", (DRIVER, FIRMWARE, "NV_GPU_DRIVER_GH100_")) == ()
