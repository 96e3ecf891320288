"""The kernel command line: one plain ASCII line, each option once, each with its reason."""

from __future__ import annotations

import json

import pytest

from provisioner.errors import BakeError
from provisioner.image.cmdline import join_options, make_cmdline
from provisioner.image.filesystem import Verity
from provisioner.image.packages import data_file

ROOT = Verity("aa" * 32, "bb" * 32, 41488, "x")
MODEL = Verity("cc" * 32, "dd" * 32, 24015, "x")


def test_root_and_model_stand_on_it_as_the_initrd_reads_them():
    words = make_cmdline(ROOT, MODEL).split(" ")
    assert words[-2:] == [
        f"vitrine.root={'aa' * 32}:{'bb' * 32}:41488",
        f"vitrine.model={'cc' * 32}:{'dd' * 32}:24015",
    ]


def test_a_debug_image_says_what_it_is_and_is_locked_all_the_same():
    plain, debug = (make_cmdline(ROOT, MODEL, debug=flag).split(" ") for flag in (False, True))
    assert set(debug) - set(plain) == {"vitrine.mode=DEBUG"}
    assert set(plain) <= set(debug)


def test_an_image_for_gpus_names_how_many_and_leaves_two_words_to_the_initrd():
    plain, gpus = (make_cmdline(ROOT, MODEL, gpus=count).split(" ") for count in (0, 2))
    assert not [word for word in plain if word.startswith("vitrine.gpus")]
    assert set(gpus) - set(plain) == {"vitrine.gpus=2"}
    assert set(plain) - set(gpus) == {"lockdown=confidentiality", "module.sig_enforce=1"}


@pytest.mark.parametrize(
    "option",
    [
        "systemd.import_credentials=no",
        "lockdown=confidentiality",
        "panic=-1",
        "random.trust_cpu=on",
        "random.trust_bootloader=off",
        "systemd.volatile=state",
        "sysctl.kernel.sysrq=0",
    ],
)
def test_what_the_design_rests_on_is_there(option):
    assert option in make_cmdline(ROOT, MODEL).split(" ")


def test_every_option_has_its_reason():
    rows = json.loads(data_file("cmdline.json"))
    assert all(set(row) == {"option", "why"} and row["why"] for row in rows)


@pytest.mark.parametrize("word", ["roothash", "usrhash", "root", "init", "rd.break", "systemd.unit", "debug"])
def test_options_that_would_wake_generators_or_open_a_shell_are_absent(word):
    assert word not in [option.partition("=")[0] for option in make_cmdline(ROOT, MODEL).split(" ")]


@pytest.mark.parametrize("option", ["", "a b", "a\tb", "a\nb", 'a="b"', "ü=1", "a\0"])
def test_what_is_not_one_plain_word_is_refused(option):
    with pytest.raises(BakeError, match="not one plain ASCII word"):
        join_options(["quiet", option])


def test_an_option_given_twice_is_refused():
    with pytest.raises(BakeError, match=r"given twice: \['systemd.import_credentials'\]"):
        join_options(["systemd.import_credentials=no", "systemd.import_credentials=yes"])


def test_a_line_that_the_kernel_would_cut_is_refused():
    with pytest.raises(BakeError, match="the kernel reads 2047"):
        join_options([f"option{index}={'x' * 100}" for index in range(20)])
