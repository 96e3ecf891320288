"""What changed between two releases is all told: each part of a manifest, and each field of a release."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from client_sdk.binding import DEBUG_LOCKDOWN, LOCKDOWN
from client_sdk.changes import PARTS, as_dict, manifest_changes, release_changes, summary
from client_sdk.encoding import canonical_json
from client_sdk.manifest import Boot, Manifest, Model, Package, Verity
from client_sdk.release import EXACT_PCRS, Measurement, Release, TemplateEvent
from tests.client_sdk.test_release import MEASUREMENT, NOW, RELEASE

DISK = Verity(bytes(32), bytes(32), 1, "11111111-2222-3333-4444-555555555555")
BOOT = Boot(bytes(32), bytes(32), bytes(32), bytes(32), bytes(32), "quiet vitrine.root=a:b:1")
MODEL = Model("m", "llamacpp", "r", "1", (("model.gguf", bytes(32)),))
OPENSSL = Package("openssl", "3.5.1-1", bytes(32))
MANIFEST = Manifest(
    packages=(OPENSSL, Package("zlib1g", "1.3", bytes(32))),
    files=(("roles/base/tasks/main.yml", bytes(32)), ("serving/gateway/app.py", bytes(32)), ("sbom.json", bytes(32))),
    tools=(Package("gcc", "14", bytes(32)),),
    kernel="6.12.1",
    boot=BOOT,
    root=DISK,
    models=(MODEL,),
    model_disk=DISK,
    wheels=(Package("xllamacpp", "1", bytes(32)),),
    token_issuer_key="",
    source_commit="c" * 40,
)
X = b"x" * 32
OTHER = {
    "packages": (Package("openssl", "3.5.4-1", X), *MANIFEST.packages[1:]),
    "files": (("roles/base/tasks/main.yml", X), *MANIFEST.files[1:]),
    "tools": (Package("gcc", "15", X),),
    "kernel": "6.12.2",
    "boot": replace(BOOT, initrd_sha256=X),
    "root": replace(DISK, root_hash=X),
    "models": (replace(MODEL, revision="2"),),
    "model_disk": replace(DISK, salt=X),
    "wheels": (Package("xllamacpp", "2", X),),
    "token_issuer_key": "a key",
    "source_commit": "d" * 40,
}
BOOT_OTHER = {
    **dict.fromkeys(("uki_sha256", "uki_authenticode", "stub_sha256", "linux_sha256", "initrd_sha256"), X),
    "cmdline": "quiet vitrine.root=c:d:1",
}
MEASURED = {
    "platform": "gcp",
    "boot_mode": "secure-boot",
    "image_pcr": 2,
    "image_authenticode": X,
    "pcrs": tuple((index, X if index == 9 else bytes([index]) * 32) for index in EXACT_PCRS),
    "pcr0_allowed": (X,),
    "phases": ("sysinit",),
    "pcr15_template": tuple(replace(e, data=b"y" if e.data else None) for e in MEASUREMENT.pcr15_template),
    "rtmrs": ((1, b"r" * 48),),
    "launch_measurements": (b"l" * 48,),
    "acpi_allowed": (X,),
}
TERMS = {
    "number": 4,
    "not_before": NOW,
    "not_after": NOW,
    "revokes": (1, 2),
    "service": "vitrine-other",
    "manifest_sha256": X,
    "measurements": (replace(MEASUREMENT, boot_mode="secure-boot"),),
}


def only(**values):
    return manifest_changes(MANIFEST, replace(MANIFEST, **values))


def test_nothing_changed():
    assert manifest_changes(MANIFEST, MANIFEST) == release_changes(RELEASE, RELEASE) == ()
    assert summary(()) == ("Nothing changed.",)


def test_each_field_of_a_manifest_is_compared():
    assert OTHER.keys() == {field.name for field in fields(Manifest)}
    for name, value in OTHER.items():
        assert len(only(**{name: value})) == 1, name
        assert summary(only(**{name: value})) != ("Nothing changed.",), name


@pytest.mark.parametrize("name", BOOT_OTHER)
def test_each_field_of_boot_is_compared(name):
    assert BOOT_OTHER.keys() == {field.name for field in fields(Boot)}
    (change,) = only(boot=replace(BOOT, **{name: BOOT_OTHER[name]}))
    assert change.part == "boot"


@pytest.mark.parametrize(("name", "value"), [("data_blocks", 2), ("uuid", "x"), ("salt", X), ("root_hash", X)])
def test_each_field_of_a_disk_is_compared(name, value):
    (change,) = only(root=replace(DISK, **{name: value}))
    assert (change.part, change.group) == ("disk", "root")


@pytest.mark.parametrize(
    ("name", "value"), [("engine", "vllm"), ("repository", "s"), ("revision", "2"), ("files", (("model.gguf", X),))]
)
def test_each_field_of_a_model_is_compared(name, value):
    (change,) = only(models=(replace(MODEL, **{name: value}),))
    assert (change.part, change.group) == ("model", "m")


@pytest.mark.parametrize("name", MEASURED)
def test_each_field_of_a_measurement_is_compared(name):
    assert MEASURED.keys() == {field.name for field in fields(Measurement)}
    new = replace(RELEASE, measurements=(replace(MEASUREMENT, **{name: MEASURED[name]}),))
    assert release_changes(RELEASE, new), name


@pytest.mark.parametrize("name", TERMS)
def test_each_field_of_a_release_is_compared(name):
    # What a release replaces follows from where it stands.
    assert TERMS.keys() | {"supersedes"} == {field.name for field in fields(Release)}
    assert release_changes(RELEASE, replace(RELEASE, **{name: TERMS[name]})), name


def test_packages_in_words_and_one_by_one():
    changes = only(packages=(Package("openssl", "3.5.4-1", X), Package("curl", "8", X)))
    assert summary(changes) == (
        "3 Debian packages: 1 changed, 1 added, 1 removed (curl added, openssl 3.5.1-1 → 3.5.4-1, zlib1g removed).",
    )
    assert [(c.name, c.before, c.after, c.kind) for c in changes] == [
        ("curl", "", "8", "added"),
        ("openssl", "3.5.1-1", "3.5.4-1", "changed"),
        ("zlib1g", "1.3", "", "removed"),
    ]


def test_other_bytes_under_one_version_are_told_first():
    changes = only(packages=(replace(OPENSSL, sha256=X), *MANIFEST.packages[1:]), kernel="6.12.2")
    assert summary(changes)[0] == "Package openssl has other bytes under the same version: ask why."
    (change,) = [change for change in changes if change.part == "package"]
    assert (change.kind, change.after) == ("rebuilt", f"3.5.1-1 (SHA-256 {X.hex()})")


def test_a_package_that_is_there_twice():
    twice = (*MANIFEST.packages, Package("openssl", "3.0", X))
    (change,) = only(packages=twice)
    assert (change.before, change.after, change.kind) == ("3.5.1-1", "3.0, 3.5.1-1", "changed")
    assert manifest_changes(replace(MANIFEST, packages=twice), replace(MANIFEST, packages=twice[::-1])) == ()


def test_the_order_of_packages_says_nothing():
    assert only(packages=MANIFEST.packages[::-1]) == ()


@pytest.mark.parametrize(
    ("path", "part", "group"),
    [
        ("roles/base/tasks/main.yml", "role", "base"),
        ("serving/gateway/app.py", "service", "gateway"),
        ("serving/task.py", "source", "serving"),
        ("sbom.json", "source", "sbom.json"),
        ("provisioner/image/uki.py", "source", "provisioner/image"),
    ],
)
def test_files_are_told_by_what_they_belong_to(path, part, group):
    old = replace(MANIFEST, files=())
    (change,) = manifest_changes(old, replace(MANIFEST, files=((path, X),)))
    assert (change.part, change.group, change.name, change.kind) == (part, group, path, "added")


def test_roles_in_words():
    files = (("roles/base/a", X), ("roles/base/b", X), ("roles/gpu/c", X))
    assert "Roles with other files: base, gpu (3 files)." in summary(only(files=(*MANIFEST.files, *files)))


def test_the_command_line_word_by_word():
    changes = only(boot=replace(BOOT, cmdline="vitrine.root=a:b:1 vitrine.mode=DEBUG ro ro"))
    assert [(c.name, c.before, c.after) for c in changes] == [
        ("vitrine.mode", "", "DEBUG"),
        ("ro", "", "set, set"),
        ("quiet", "set", ""),
    ]
    assert summary(changes)[0] == "The image is DEBUG, and was locked: one that says DEBUG has a console."


def locked(data):
    template = tuple(
        TemplateEvent(e.kind, data if e.kind == "lockdown" else e.data) for e in MEASUREMENT.pcr15_template
    )
    return replace(RELEASE, measurements=(replace(MEASUREMENT, pcr15_template=template),))


def test_a_lock_down_that_is_given_up_is_told_first():
    said = summary(release_changes(locked(LOCKDOWN), locked(DEBUG_LOCKDOWN)))
    assert said[0] == "The lock-down on local-qemu uefi was whole and is not all of it: DEBUG."


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"token_issuer_key": "k"}, "Access tokens are taken from another issuer"),
        ({"source_commit": ""}, "names no commit any more"),
    ],
)
def test_what_a_reader_must_not_miss_comes_first(values, told):
    assert told in summary(only(**values, packages=()))[0]


def test_a_forgotten_revocation_is_told():
    said = summary(release_changes(RELEASE, replace(RELEASE, revokes=(2,))))
    assert "It revokes release 2." in said
    assert "It no longer revokes release 1: what was revoked once must stay so." in said


def test_platforms_come_and_go_and_may_be_there_twice():
    other = replace(MEASUREMENT, platform="gcp")
    new = replace(RELEASE, measurements=(other, replace(other, image_pcr=2)))
    groups = {change.group: change.kind for change in release_changes(RELEASE, new)}
    assert groups == {"gcp uefi": "added", "gcp uefi (2)": "added", "local-qemu uefi": "removed"}


def test_changes_are_in_the_order_of_their_parts_and_fit_into_json():
    changes = manifest_changes(MANIFEST, replace(MANIFEST, **OTHER))
    order = [PARTS.index(change.part) for change in changes]
    assert order == sorted(order)
    assert canonical_json(as_dict(changes))
