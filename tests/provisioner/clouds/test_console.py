import pytest

from provisioner.clouds import console


@pytest.fixture
def log(tmp_path):
    def write(content: bytes):
        path = tmp_path / "console.log"
        path.write_bytes(content)
        return console.read_tail(path)

    return write


def test_no_console_is_an_empty_one(tmp_path):
    assert console.read_tail(tmp_path / "absent") == ""
    assert console.last_lines("") == "nothing"


def test_terminal_control_sequences_of_a_hostile_guest_do_not_reach_the_operator(log):
    text = log(
        b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b]0;owned\x07\nBdsDxe: starting Boot0001\r\n\x9b31m\xff\x00VITRINE initrd\n"
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert all(char == "\n" or char.isprintable() for char in text)
    assert console.stages_reached(text) >= 1


def test_only_the_end_of_a_huge_console_is_read(log):
    text = log(b"x" * (1 << 20) + b"\nVITRINE ready\n")
    assert len(text) <= 1 << 16
    assert console.stages_reached(text) == len(console.STAGES)


@pytest.mark.parametrize("text", ["", "not VITRINE ready\n", "VITRINE read\n", "vitrine ready\n"])
def test_what_looks_like_a_stage_is_none(text):
    assert console.stages_reached(text) == 0


def test_a_refusal_is_found_whatever_follows(log):
    text = log(b"VITRINE initrd\nVITRINE-REFUSED cmdline differs\nVITRINE ready\n")
    assert console.refusal(text) == "VITRINE-REFUSED cmdline differs"
    assert console.refusal("VITRINE initrd\n") is None
