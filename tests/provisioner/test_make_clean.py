"""`make clean`: what was built goes, what no build brings back stays, and no VM loses its folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/clean.sh"
STAYS = (
    *("publisher.key", "publisher.pub", "issuer.key", "issuer.pub", "release.json", "release.number", "manifest.json"),
    *("place.json", "releases/1.json", "manifests/1.json", "secure-boot/keys/db.key", "secure-boot/keys/db.crt"),
)
GOES = (
    *("build/cache/debs/x.deb", "build/images/k/manifest.json", "build/images/k/publisher.key", "build/.hidden"),
    *(
        "build/local/release.candidate.json",
        "build/local/tpm-ca/key.pem",
        "build/local/vms/.lock",
        "build/publisher.key",
        "build/place.json",
        "build/local/secure-boot/4f2a/boot.raw",
        "build/secure-boot/keys/db.key",
    ),
)


@pytest.fixture
def checkout(tmp_path):
    for name in (*GOES, *(f"build/local/{name}" for name in STAYS)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "build/local/image").symlink_to("../images/k")
    (tmp_path / "README.md").write_text("not built")
    return tmp_path


def clean(checkout):
    return subprocess.run([SCRIPT], cwd=checkout, capture_output=True, text=True, check=False, timeout=60)


def files(checkout):
    return sorted(str(path.relative_to(checkout)) for path in checkout.rglob("*") if not path.is_dir())


def test_keys_and_what_clients_were_given_stay_and_are_named(checkout):
    done = clean(checkout)
    assert done.returncode == 0, done.stderr
    assert files(checkout) == sorted(["README.md", *(f"build/local/{name}" for name in STAYS)])
    assert (checkout / "build/local/publisher.key").read_text() == "build/local/publisher.key"
    assert "build/local/publisher.key" in done.stdout


@pytest.mark.parametrize("vm", ["build/local/vms/local", "build/other/vms/half made"])
def test_nothing_is_deleted_while_there_is_a_vm(checkout, vm):
    (checkout / vm).mkdir(parents=True)
    before = files(checkout)
    done = clean(checkout)
    assert done.returncode == 1
    assert f"{vm}: make destroy NAME={vm.split('/')[1]}" in done.stderr
    assert files(checkout) == before


def test_where_nothing_stays_the_folder_goes(checkout):
    for name in STAYS:
        (checkout / "build/local" / name).unlink()
    assert clean(checkout).returncode == 0
    assert not (checkout / "build").exists()
    assert clean(checkout).returncode == 0


def test_a_link_out_of_the_folder_is_deleted_not_followed(checkout, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious").write_text("mine")
    (checkout / "build/cache/elsewhere").symlink_to(outside)
    assert clean(checkout).returncode == 0
    assert (outside / "precious").read_text() == "mine"


def test_make_clean_is_this_script():
    makefile = (SCRIPT.parents[1] / "Makefile").read_text()
    assert "clean: ## " in makefile
    assert "rm -rf" not in makefile.split("\nclean:")[1]
    assert "$(SUDO) scripts/clean.sh" in makefile.split("\nclean:")[1]
