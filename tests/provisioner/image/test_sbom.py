"""The bill of materials: judged against the format's own schema, the same each time, and telling what is there."""

from __future__ import annotations

import dataclasses
import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from provisioner.image.packages import Package
from provisioner.image.records import Source
from provisioner.image.sbom import Deb, Materials, Pypi, document, serialise
from provisioner.image.weights import Weights

LIBC = Package("libc6", "2.41-12+deb13u5", "amd64", "pool/main/g/glibc/libc6.deb", 1, "ab" * 32)
UDEV = Package("libstdc++6", "1:14~2-1", "amd64", "pool/main/g/gcc/libstdc.deb", 1, "cd" * 32)
MATERIALS = Materials(
    key="ef" * 32,
    serial="01234567-89ab-8def-8123-456789abcdef",
    epoch=1795683994,
    suite="trixie",
    distribution="debian-13",
    root_hash="12" * 32,
    debs=(
        Deb(LIBC, Source("glibc", "2.41-12+deb13u5"), ("LGPL-2.1+",), ("root", "initrd"), 7),
        Deb(UDEV, Source("gcc-14", "14~2-1"), (), ("root",), 0),
    ),
    wheels=(Pypi("xllamacpp", "2026.10", "34" * 32, ("MIT",)),),
    weights=(Weights("m", "llamacpp", "owner/name", "1" * 40, (("model.gguf", "56" * 32),), "hub"),),
    files={"serving/gateway/app.py": "78" * 32, "roles/base": "9a" * 32},
    source_commit="0" * 40,
)


def judged(data):
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode())


def test_it_is_what_the_schema_wants():
    assert judged(serialise(MATERIALS)) is None
    assert judged(serialise(dataclasses.replace(MATERIALS, source_commit="", wheels=(), weights=(), files={}))) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told.pop("bomFormat"),
        lambda told: told.update(serialNumber="urn:uuid:x"),
        lambda told: told["components"][0].update(kind="library"),
        lambda told: told["components"][0]["hashes"][0].update(content="short"),
        lambda told: told["components"].append(told["components"][0]),
    ],
    ids=["no format", "no serial number", "an unknown key", "a short hash", "a component twice"],
)
def test_the_judge_would_notice(spoil):
    told = document(MATERIALS)
    spoil(told)
    assert judged(json.dumps(told).encode()) is not None


def test_it_is_the_same_each_time():
    assert serialise(MATERIALS) == serialise(
        dataclasses.replace(MATERIALS, files=dict(reversed(MATERIALS.files.items())))
    )


def test_a_package_is_named_as_scanners_know_it():
    libc, gcc = document(MATERIALS)["components"][:2]
    assert libc["purl"] == "pkg:deb/debian/libc6@2.41-12%2Bdeb13u5?arch=amd64&distro=debian-13&upstream=glibc"
    assert gcc["purl"] == (
        "pkg:deb/debian/libstdc%2B%2B6@1%3A14~2-1?arch=amd64&distro=debian-13&upstream=gcc-14%4014~2-1"
    )
    told = {entry["name"]: entry["value"] for entry in libc["properties"]}
    assert told == {
        "vitrine:source": "glibc",
        "vitrine:source-version": "2.41-12+deb13u5",
        "vitrine:where": "root initrd",
        "vitrine:files-in-root": "7",
    }


def test_every_part_is_a_component_that_the_image_depends_on():
    told = document(MATERIALS)
    names = [item["name"] for item in told["components"]]
    assert names == ["libc6", "libstdc++6", "xllamacpp", "m", "vitrine"]
    assert len(told["dependencies"][0]["dependsOn"]) == len(names)
    model, own = told["components"][3:]
    assert model["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "56" * 32}]
    assert [file["name"] for file in own["components"]] == ["roles/base", "serving/gateway/app.py"]
