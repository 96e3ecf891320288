"""What changed between two releases: nothing that differs goes unsaid, whatever the names and versions are."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from client_sdk.binding import DEBUG_LOCKDOWN
from client_sdk.changes import alarms, as_dicts, contents, lines, statements, words
from client_sdk.manifest import Boot, Manifest, Model, Package, Verity
from client_sdk.release import Measurement, Release
from tests.client_sdk.test_manifest import MANIFEST
from tests.fakes.simulated_vm import release

ONE, TWO = b"\x01" * 32, b"\x02" * 32


def only(sections):
    (section,) = sections
    return section


def change_of(sections):
    (change,) = only(sections).changes
    return change


def files(*names, digest=ONE):
    return tuple((name, digest) for name in names)


def packages(*pairs):
    return tuple(Package(name, version, ONE) for name, version in pairs)


def test_the_same_twice_has_no_changes():
    assert statements(release(), release()) == ()
    assert contents(MANIFEST, MANIFEST) == ()
    assert list(lines(())) == ["Nothing changed."]


def test_packages_that_are_newer_new_and_gone():
    before = replace(MANIFEST, packages=packages(("a", "1"), ("b", "1"), ("c", "1")))
    after = replace(MANIFEST, packages=packages(("a", "1"), ("b", "2"), ("d", "1")))
    section = only(contents(before, after))
    assert (section.key, section.summary) == ("packages", "1 changed, 1 new, 1 gone, 1 as before")
    assert [words(change) for change in section.changes] == ["b: 1 → 2", "d: new, 1", "c: gone, was 1"]


def test_a_package_of_the_same_version_with_other_bytes_is_said():
    after = replace(MANIFEST, packages=tuple(replace(item, sha256=TWO) for item in MANIFEST.packages))
    change = change_of(contents(MANIFEST, after))
    assert (change.what, change.kind) == ("libc6", "changed")
    assert change.note == "both say 2.41-12, and they are not the same"
    assert TWO.hex() in change.after


def test_files_of_roles_are_said_by_role():
    before = replace(MANIFEST, files=files("roles/base/a", "roles/gone/a", "serving/x.py"))
    after = replace(MANIFEST, files=files("roles/base/a", digest=TWO) + files("roles/fresh/a", "serving/y.py"))
    by_key = {section.key: section for section in contents(before, after)}
    assert by_key.keys() == {"role/base", "role/fresh", "role/gone", "sources"}
    assert by_key["role/base"].summary == "1 changed"
    assert by_key["role/fresh"].about.startswith("The role is new.")
    assert by_key["role/gone"].about.startswith("The role is gone.")
    assert [change.kind for change in by_key["sources"].changes] == ["new", "gone"]


def another(value):
    """Return a value of the same type that is another one."""
    if isinstance(value, bytes):
        return bytes(byte ^ 1 for byte in value)
    if isinstance(value, str):
        return value + "x"
    return value + 1


@pytest.mark.parametrize("name", [field.name for field in fields(Boot)])
def test_no_field_of_the_boot_goes_unsaid(name):
    changed = replace(MANIFEST.boot, **{name: another(getattr(MANIFEST.boot, name))})
    assert contents(MANIFEST, replace(MANIFEST, boot=changed)) != ()


@pytest.mark.parametrize("disk", ["root", "model_disk"])
@pytest.mark.parametrize("name", [field.name for field in fields(Verity)])
def test_no_field_of_a_disk_goes_unsaid(disk, name):
    found = getattr(MANIFEST, disk)
    changed = replace(found, **{name: another(getattr(found, name))})
    assert contents(MANIFEST, replace(MANIFEST, **{disk: changed})) != ()


@pytest.mark.parametrize("name", sorted({field.name for field in fields(Manifest)} - {"boot", "root", "model_disk"}))
def test_no_field_of_a_manifest_goes_unsaid(name):
    value = getattr(MANIFEST, name)
    changed = another(value) if isinstance(value, str) else value * 2 or packages(("w", "1"))
    assert contents(MANIFEST, replace(MANIFEST, **{name: changed})) != ()
    assert contents(replace(MANIFEST, **{name: changed}), MANIFEST) != ()


@pytest.mark.parametrize("name", [field.name for field in fields(Model)])
def test_no_field_of_a_model_goes_unsaid(name):
    model = MANIFEST.models[0]
    value = getattr(model, name)
    changed = replace(model, **{name: (("model.gguf", TWO),) if name == "files" else another(value)})
    assert contents(MANIFEST, replace(MANIFEST, models=(changed, *MANIFEST.models[1:]))) != ()


OTHERS = {
    "pcrs": lambda value: tuple((index, another(found)) for index, found in value),
    "pcr0_allowed": lambda value: (*value, ONE),
    "acpi_allowed": lambda value: (*value, ONE),
    "launch_measurements": lambda value: (*value, b"\x07" * 48),
    "rtmrs": lambda value: (*value, (1, b"\x07" * 48)),
    "phases": lambda value: (*value, "another"),
    "pcr15_template": lambda value: (replace(value[0], data=DEBUG_LOCKDOWN), *value[1:]),
}


@pytest.mark.parametrize("name", [field.name for field in fields(Measurement)])
def test_no_field_of_a_measurement_goes_unsaid(name):
    (found,) = release().measurements
    value = getattr(found, name)
    changed = replace(found, **{name: OTHERS.get(name, another)(value)})
    assert statements(release(), replace(release(), measurements=(changed,))) != ()


def test_another_order_of_the_phases_is_a_change():
    (found,) = release().measurements
    changed = replace(found, phases=found.phases[::-1])
    assert only(statements(release(), replace(release(), measurements=(changed,)))).changes[0].what == "boot phases"


@pytest.mark.parametrize("name", [field.name for field in fields(Release)])
def test_no_field_of_a_release_goes_unsaid(name):
    value = getattr(release(), name)
    others = {
        "measurements": (),
        "revokes": (9,),
        "supersedes": 9,
        "not_before": release().not_after,
        "not_after": release().not_before,
    }
    changed = others[name] if name in others else another(value)
    assert statements(release(), replace(release(), **{name: changed})) != ()


def test_a_debug_image_says_so():
    (found,) = release().measurements
    debug = replace(found, pcr15_template=OTHERS["pcr15_template"](found.pcr15_template))
    said = "\n".join(lines(statements(release(), replace(release(), measurements=(debug,)))))
    assert "kind of image: locked down → DEBUG: it does not promise the whole lock-down" in said


def measured_with(**changed):
    (found,) = release().measurements
    return replace(release(), measurements=(replace(found, **changed),))


def lockdown(data):
    (found,) = release().measurements
    return measured_with(pcr15_template=(replace(found.pcr15_template[0], data=data), *found.pcr15_template[1:]))


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (release(), lockdown(DEBUG_LOCKDOWN), "or has a console (DEBUG)."),
        (release(), lockdown(b"another"), "goes without a part of the lock-down"),
        (measured_with(pcr0_allowed=(ONE,)), release(), "PCR 0 (firmware) may be anything now."),
        (measured_with(acpi_allowed=(ONE,)), release(), "boot entries and ACPI tables may be anything now."),
        (replace(release(), revokes=(7,)), release(), "It no longer revokes release 7: what was revoked once must"),
        (release(), replace(release(), service="other"), "It is another service."),
    ],
)
def test_what_a_reader_of_a_release_must_not_miss(before, after, says):
    (alarm,) = alarms(statements(before, after))
    assert says in alarm
    assert next(lines(statements(before, after))) == alarm
    if after.service == before.service:
        assert list(alarms(statements(after, before))) == [], "the other way round it is none"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"packages": (Package("libc6", "2.41-12", TWO),)}, "libc6 has other bytes under the same version: ask why."),
        ({"tools": (Package("erofs-utils", "1.8", TWO),)}, "erofs-utils has other bytes under the same version"),
        ({"token_issuer_key": "a key"}, "API tokens are taken from another issuer"),
        ({"source_commit": ""}, "It names no commit any more"),
        ({"boot": replace(MANIFEST.boot, cmdline="quiet vitrine.mode=DEBUG")}, "its mode is DEBUG; it was none."),
    ],
)
def test_what_a_reader_of_a_manifest_must_not_miss(changed, says):
    (alarm,) = alarms(contents(MANIFEST, replace(MANIFEST, **changed)))
    assert says in alarm


def test_an_update_that_is_one_is_no_alarm():
    newer = replace(MANIFEST, packages=packages(("libc6", "2.42")), kernel="6.13", source_commit="1" * 40)
    assert list(alarms(contents(MANIFEST, newer))) == []
    assert list(alarms(statements(release(), replace(release(), number=2, revokes=(1,))))) == []


@pytest.mark.parametrize("name", ["kind of image", "API tokens are signed by", "vitrine.mode", "revokes release 1"])
def test_a_package_cannot_cry_wolf_by_its_name(name):
    assert list(alarms(contents(MANIFEST, replace(MANIFEST, packages=packages((name, "1")))))) == []


def test_a_revocation_says_which_release():
    said = "\n".join(lines(statements(release(), replace(release(), number=2, revokes=(1,)))))
    assert "number: 1 → 2" in said
    assert "revokes release 1: new, not to be used any more" in said


def test_a_platform_that_is_new_is_named():
    (found,) = release().measurements
    more = replace(release(), measurements=(found, replace(found, boot_mode="secure")))
    section = only(statements(release(), more))
    assert section.about.startswith("The release names this platform and boot mode for the first time.")
    assert {change.kind for change in section.changes} == {"new"}
    back = only(statements(more, release()))
    assert back.about.startswith("The release no longer names")


def test_a_measurement_that_is_there_twice_hides_none():
    (found,) = release().measurements
    changed = replace(found, image_authenticode=another(found.image_authenticode))
    once = replace(release(), measurements=(found, found))
    twice = replace(release(), measurements=(found, changed))
    assert only(statements(once, twice)).title.endswith("(number 2)")


def test_firmware_that_is_allowed_besides_is_one_change():
    (found,) = release().measurements
    before, after = (
        replace(release(), measurements=(replace(found, pcr0_allowed=allowed),)) for allowed in ((TWO,), (ONE, TWO))
    )
    assert [words(change) for change in only(statements(before, after)).changes] == [
        f"PCR 0 (firmware): new, {ONE.hex()[:16]}…"
    ]


def test_firmware_that_is_not_pinned_any_more_is_said():
    (found,) = release().measurements
    pinned = replace(found, pcr0_allowed=(ONE, TWO))
    before = replace(release(), measurements=(pinned,))
    after = replace(release(), measurements=(replace(found, pcr0_allowed=()),))
    said = "\n".join(lines(statements(before, after)))
    assert "PCR 0 (firmware): new, anything: the release pins none" in said
    assert f"PCR 0 (firmware): gone, was {TWO.hex()[:16]}" in said


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((("x", "1"), ("x", "2")), (("x", "1"), ("x", "3")), id="the second of a name"),
        pytest.param((("x", "1"),), (("x", "1"), ("x", "1")), id="once more"),
        pytest.param((("x", "1"), ("x (2)", "1")), (("x", "1"), ("x", "1")), id="a name that looks like a number"),
        pytest.param((("x", "1 sha256:00"),), (("x", "1"),), id="a version that looks like a digest"),
    ],
)
def test_names_that_deceive_hide_no_package(before, after):
    old, new = (replace(MANIFEST, packages=packages(*pairs)) for pairs in (before, after))
    assert contents(old, new) != ()


def test_models_whose_names_run_together_are_told_apart():
    model = MANIFEST.models[0]
    before = replace(MANIFEST, models=(replace(model, name="a: b", revision="c"),))
    after = replace(MANIFEST, models=(replace(model, name="a", revision="b: c"),))
    assert len(only(contents(before, after)).changes) > 1


def test_a_token_key_that_reads_like_none_is_a_change():
    deceiving = replace(MANIFEST, token_issuer_key="nobody: there are none")
    assert change_of(contents(MANIFEST, deceiving)).note.startswith("both say nobody")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("quiet lockdown=integrity", "quiet lockdown=confidentiality", "lockdown: integrity → confidentiality"),
        ("quiet", "quiet init=/bin/sh", "init: new, /bin/sh"),
        ("quiet lockdown=x", "quiet", "lockdown: gone, was x"),
        ("console=a console=b", "console=a console=c", "console (number 2 of this name): b → c"),
        ("a b", "b a", "the words in order: a b → b a"),
        ("a=set", "a", "a: ('=', 'set') → ('', '') (both say set, and they are not the same)"),
    ],
)
def test_the_command_line_is_compared_by_words(before, after, said):
    old, new = (replace(MANIFEST, boot=replace(MANIFEST.boot, cmdline=line)) for line in (before, after))
    assert words(change_of(contents(old, new))) == said


def test_a_terminal_gets_no_character_that_it_would_obey():
    evil = replace(MANIFEST, packages=packages(("\x1b[2Ja", "\u202e1")))
    said = "".join(lines(contents(MANIFEST, evil)))
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_programs_get_whole_digests():
    after = replace(MANIFEST, files=files("roles/base/tasks/main.yml", digest=TWO))
    (section,) = as_dicts(contents(MANIFEST, after))
    assert section["key"] == "role/base"
    assert section["changes"][0]["after"] == TWO.hex()
    assert section["changes"][0]["kind"] == "changed"
