"""The production image on TPMs like Google's and Azure's: it finds out itself, and a client believes a test root alone.

There is no CPU's report: nobody can simulate one. Azure's golden values for PCR 0 and 1 are what this very VM measured
(``vitrine observe``), as they are for firmware that gives no log; all other registers are as predicted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from client_sdk.dsse import sign
from client_sdk.publisher import Publisher
from client_sdk.release import Release, open_release
from provisioner.keys import load_or_create
from tests.e2e import machine
from tests.e2e.conftest import wait_for_end
from tests.e2e.machine import BOOT_SECONDS, Machine, PreparingCloud, vitrine
from tests.e2e.verdicts import Verdict, verify
from tests.fakes.cloud_tpm import GOOGLE, CloudCa, make_azure_like, make_ca, make_google_like

SOMEBODYS = ec.generate_private_key(ec.SECP256R1()).public_key()
WAIT = ("--wait", BOOT_SECONDS)
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Pretended:
    """A VM on a pretended cloud, whose CA it is, and the deployment that its image is of."""

    vm: Machine
    ca: Path
    key: Path
    publisher: Path

    def release(self, platform: str, **changes) -> Path:
        """Sign the deployment's release once more, for another platform: the firmware is the same, only unpinned."""
        found = open_release(self.vm.release.read_bytes(), Publisher(keys=(self.publisher,)))
        (measured,) = found.measurements
        return self._signed(replace(found, measurements=(replace(measured, platform=platform, **changes),)))

    def _signed(self, release: Release) -> Path:
        path = self.vm.root / f"release-{next(_numbers)}.json"
        path.write_bytes(sign(release.to_statement(), (load_or_create(self.key),)))
        return path

    def verify(self, release: Path, *arguments) -> Verdict:
        """Verify the VM; what is trusted besides the publisher, the arguments say."""
        pins = ("--release", release, "--publisher", self.publisher)
        return verify(self.vm.origin, *pins, *arguments, *WAIT)

    @property
    def believed(self) -> tuple[object, ...]:
        return ("--simulated-cloud", self.ca)


@pytest.fixture(scope="module")
def boot(deployment, tmp_path_factory):
    """Boot the image on a TPM that somebody prepared; ends the VM with the module."""
    started = []

    def _boot(prepare) -> Pretended:
        root, ca, name = tmp_path_factory.mktemp("pretended"), make_ca(), f"pretended-{next(_numbers)}"
        machine.published_copy(deployment.root, root)
        plan = machine.planned(machine.spec_of(deployment.image, root, name), root)
        vm = PreparingCloud(root, prepare=lambda state: prepare(state, ca)).apply(plan, progress=print)
        (root / "ak-ca.pem").write_bytes(ca.pem)
        started.append(Machine(root, name, vm.endpoint))
        key, public = deployment.root / "publisher.key", deployment.root / "publisher.pub"
        return Pretended(started[-1], root / "ak-ca.pem", key, public)

    yield _boot
    for vm in started:
        vm.destroy()


@pytest.fixture(scope="module")
def google(boot):
    return boot(make_google_like)


@pytest.fixture(scope="module")
def azure(boot):
    return boot(make_azure_like)


def golden(pretended: Pretended) -> dict[str, object]:
    """Return what a release for Azure has besides: values of PCR 0 and 1, for want of a log."""
    outcome = vitrine("observe", pretended.vm.origin, *pretended.believed, *WAIT, "--json", seconds=900)
    assert outcome.status == 0, outcome.out + outcome.err
    pcrs = {int(number): bytes.fromhex(value) for number, value in json.loads(outcome.out)["pcrs"].items()}
    (measured,) = open_release(pretended.vm.release.read_bytes(), Publisher(keys=(pretended.publisher,))).measurements
    return {
        "pcr0_allowed": (pcrs[0],),
        "pcrs": ((1, pcrs[1]), *[(pcr, value) for pcr, value in measured.pcrs if pcr != 6]),
    }


def other_root(tmp_path) -> tuple[object, ...]:
    (tmp_path / "other.pem").write_bytes(make_ca().pem)
    return ("--simulated-cloud", tmp_path / "other.pem")


def test_on_a_tpm_like_googles_the_vm_is_accepted_under_the_test_root_alone(google, tmp_path):
    release = google.release("gcp")
    assert google.verify(release, *google.believed) == Verdict(0, frozenset(), "")
    assert google.verify(release, *other_root(tmp_path)).failed == {"K1.1"}
    assert google.verify(release).failed == {"C6.2"}, "production wants a CPU's report"
    assert google.verify(release, "--simulated", google.vm.tpm_ca).failed == {"C6.2"}, "it is no local platform"


def test_on_a_tpm_like_azures_the_vm_is_accepted_under_the_test_root_alone(azure, tmp_path):
    release = azure.release("azure", **golden(azure))
    assert azure.verify(release, *azure.believed) == Verdict(0, frozenset(), "")
    assert azure.verify(release, *other_root(tmp_path)).failed == {"K1.1"}
    assert azure.verify(release).failed == {"C6.2"}, "production wants a CPU's report"
    assert azure.verify(release, "--simulated", azure.vm.tpm_ca).failed == {"C6.2"}, "it is no local platform"


@pytest.mark.parametrize("cloud", ["google", "azure"])
def test_the_release_of_the_local_platform_is_none_for_a_cloud(cloud, request):
    pretended = request.getfixturevalue(cloud)
    verdict = pretended.verify(pretended.vm.release, *pretended.believed)
    assert (verdict.status, "R4" in verdict.message) == (1, True), verdict


def test_another_image_or_other_firmware_is_refused_on_a_cloud_too(google, azure):
    stated = golden(azure)
    wrong = tuple((pcr, bytes(32) if pcr in {1, 4} else value) for pcr, value in stated["pcrs"])
    release = azure.release("azure", pcrs=wrong, pcr0_allowed=(bytes(32),))
    assert azure.verify(release, *azure.believed).failed == {"L6.pcr0", "L6.pcr1", "L6.pcr4"}
    release = google.release("gcp", image_authenticode=bytes(32))
    assert google.verify(release, *google.believed).failed == {"L10.2"}


def without_template(state: Path, ca: CloudCa) -> None:
    make_google_like(state, ca, leave_out=frozenset({GOOGLE["ECC"][1]}))


def certificate_of_another_key(state: Path, ca: CloudCa) -> None:
    make_azure_like(state, ca, certified=SOMEBODYS)


@pytest.mark.parametrize("prepare", [without_template, certificate_of_another_key])
def test_a_half_prepared_tpm_ends_the_boot_before_anything_is_served(boot, prepare):
    """Its endorsement certificate is whole: a fall-back to the local platform would come up."""
    console = wait_for_end(boot(prepare).vm)
    assert "VITRINE initrd" in console
    assert "VITRINE-REFUSED" not in console
    assert "ready" not in console.rpartition("VITRINE initrd")[2]
