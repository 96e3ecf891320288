"""PCR 11 by systemd's own tool, which shares no line of code with our prediction."""

import os
from pathlib import Path

import pytest

from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree
from provisioner.measure import predict
from tests.provisioner.measure.fake_artefacts import uki_image, write_artefacts
from tests.provisioner.measure.systemd_measure import systemd_pcr11

CACHE = Path(__file__).parents[3] / "build" / "cache"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="enters the tools tree, which only root can"),
]


@pytest.fixture(scope="module")
def tools():
    return tools_tree(Sources(CACHE), progress=lambda _: None).tree


@pytest.mark.parametrize("phases", [("sysinit",), ("sysinit", "ready"), ("ready", "sysinit")])
def test_two_tools_agree_on_pcr_11(tools, tmp_path, phases):
    folder = write_artefacts(tmp_path / "a")
    assert systemd_pcr11(tools, folder / "uki.efi", phases) == predict(folder, phases=phases).pcrs[11].hex()


def test_both_see_a_changed_initrd(tools, tmp_path):
    folder = write_artefacts(tmp_path / "a")
    other = write_artefacts(tmp_path / "b", uki_image(initrd=b"another initrd"))
    assert systemd_pcr11(tools, other / "uki.efi", ("sysinit", "ready")) != predict(folder).pcrs[11].hex()
