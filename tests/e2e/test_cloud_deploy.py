"""An operator's way on a pretended cloud, from the first machine to what clients are given, and attackers' beside it.

What is real: the playbooks, the vendors' SDKs over TLS, uploads, the image that boots from what was uploaded, its TPM,
its evidence, the client. What is not: the cloud's API is a fake, its machines are VMs of this machine, a test CA stands
in for the cloud's, and no CPU reports. All of it runs where no network but loopback exists.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest

from client_sdk import Client, Publisher, SimulatedCloud
from client_sdk.dsse import Envelope
from client_sdk.fields import format_instant
from client_sdk.release import open_release
from provisioner.clouds.console import READY
from tests.e2e import machine
from tests.e2e.disks import find_in_uki
from tests.e2e.machine import BOOT_SECONDS, CHECKOUT, Outcome, run, vitrine
from tests.e2e.offline import only_loopback_exists
from tests.e2e.pretended import Pretended, PretendedAzure, PretendedGoogle
from tests.e2e.site import starts_with
from tests.e2e.verdicts import verify
from tests.fakes.cloud_tpm import make_ca
from tests.fakes.loopback import only_loopback
from tests.fakes.simulated_cloud_vm import AZURE_SNP, GCP_SNP, SimulatedCloudVm
from tests.fakes.simulated_server import serving
from tests.provisioner.cloud_values import SEPARATOR, predicate, sourced

MODEL, SERVICE = "smollm2-135m-instruct", "vitrine-e2e"
QUESTION = [{"role": "user", "content": "What is the capital of Japan?"}]
CLOUDS = {"gcp": PretendedGoogle, "azure": PretendedAzure}
IMPOSTORS = {"gcp": GCP_SNP, "azure": AZURE_SNP}
NOT_MEASURED = "nothing measured it: this machine has no CPU that reports; no client compares it without a report"
NO_LOG = "OVMF of the package lock has none of these variables; without an event log nobody sees them"
BOTH = [pytest.param("gcp", id="gcp"), pytest.param("azure", id="azure", marks=pytest.mark.slow)]


@dataclass(slots=True)
class Story:
    """What was said and seen at each step; the names are the steps'."""

    cloud: Pretended
    said: dict[str, Outcome] = field(default_factory=dict)
    published: dict[str, bytes | None] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    pids: dict[str, int | None] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)

    def play(self, step: str, page: str = "deploy", **more: Any) -> Outcome:
        """Run a playbook, and note what it changed."""
        before = len(self.cloud.changes())
        self.said[step] = self.cloud.play(page, **more)
        self.changed[step] = self.cloud.changes()[before:]
        release = self.cloud.root / "release.json"
        self.published[step] = release.read_bytes() if release.exists() else None
        running = self.cloud.site.running.get(self.cloud.name)
        assert running is None or running.ready.wait(300), "QEMU does not come up"
        self.pids[step] = running.vm.pid if running and running.vm else None
        assert not self.cloud.site.errors, self.cloud.site.errors
        return self.said[step]

    def text(self, step: str) -> str:
        """Return what a step said, on one line."""
        return " ".join((self.said[step].out + self.said[step].err).split())

    def number(self, step: str) -> int:
        """Return the number of the release that was published after a step."""
        data = self.published[step]
        assert data is not None
        return open_release(data, Publisher(keys=(self.cloud.root / "publisher.pub",))).number


@pytest.fixture(scope="module")
def issuers(tmp_path_factory):
    """Make the key of whoever signs tokens, and somebody else's."""
    folder = tmp_path_factory.mktemp("issuers")
    keys = folder / "issuer.key", folder / "other.key"
    for key in keys:
        made = vitrine("token", "keygen", key, seconds=60)
        assert made.status == 0, made.err
    return keys


@pytest.fixture(scope="module")
def access(issuers):
    """Return what an inventory of a cloud says of who may ask: whoever has a token for its service."""
    public = issuers[0].with_suffix(".pub").read_text()
    told = {"gateway_access": "tokens", "gateway_token_service": SERVICE, "gateway_token_issuer_key": public}
    return {"deploy_service": SERVICE, **told}


@pytest.fixture(scope="module")
def image(access, tmp_path_factory):
    """Bake the image: behind this line there is no network."""
    told = tmp_path_factory.mktemp("told") / "access.json"
    told.write_text(json.dumps(access))
    outcome = machine.make("bake", "NAME=e2e", f"VARS=-v -e @{told}")
    assert outcome.status == 0, outcome.out[-4000:] + outcome.err[-2000:]
    return Path(re.findall(r"bake_image: (\S+)", outcome.out)[-1])


@pytest.fixture(scope="module")
def offline(image):
    """Leave every network, and say so where a test tries to reach one all the same."""
    with only_loopback_exists(), pytest.MonkeyPatch.context() as patch:
        only_loopback(patch)
        yield


@pytest.fixture(scope="module")
def clouds(offline, image, access, tmp_path_factory):
    """Make pretended clouds; whatever they run ends with the module."""
    with ExitStack() as stack:

        def make(kind: str, name: str) -> Pretended:
            shutil.rmtree(CHECKOUT / "build" / name, ignore_errors=True)
            return CLOUDS[kind](name, tmp_path_factory.mktemp(name), image, access, stack)

        yield make


@pytest.fixture(scope="module", params=BOTH)
def story(request, clouds, issuers):
    """Live through it once: nothing there, observed, published, used, attacked, destroyed."""
    told = Story(clouds(request.param, f"e2e-{request.param}"))
    told.play("verified before anything is there", "verify")
    told.play("deployed without values")
    _observe(told)
    values = write_values(told.cloud, told.seen["observed"])
    told.play("deployed with values", deploy_platform_values=str(values))
    told.play("deployed once more", deploy_platform_values=str(values))
    told.play("verified", "verify")
    _ask(told, *issuers)
    _attack(told, values)
    told.play("destroyed", "destroy")
    return told


def _observe(told: Story) -> None:
    running = told.cloud.site.running[told.cloud.name]
    told.seen["uploaded"] = [starts_with(disk, told.cloud.image / disk.name) for disk in (running.boot, running.model)]
    pins = ("--simulated-cloud", told.cloud.ca, "--wait", BOOT_SECONDS)
    said = vitrine("observe", endpoint(told), *pins, "--json", seconds=900)
    assert said.status == 0, said.out + said.err
    told.seen["observed"] = json.loads(said.out)
    told.seen["console"] = _console(told)
    told.seen["strangers"] = vitrine("observe", endpoint(told), "--json", seconds=120).status


def _console(told: Story) -> str:
    """Return the serial port's text when the machine has said all that it says: its last line follows the gateway."""
    for _ in range(120):
        text = told.cloud.site.console(told.cloud.name)
        if READY in text:
            return text
        time.sleep(1)
    raise AssertionError(f"the machine answers, and its console never says {READY!r}: {text}")


def endpoint(told: Story) -> str:
    """Return where the cloud says that the deployment is, as the playbook said it."""
    (found,) = {
        word.rstrip(",") for word in told.text("deployed without values").split() if word.startswith("https://")
    }
    return found


def write_values(cloud: Pretended, observed: dict[str, Any]) -> Path:
    """Write platform values from what a machine showed, each with its source, and have the publisher sign them."""
    seen = f"vitrine observe {observed['origin']}"
    pcrs, firmware = observed["pcrs"], observed["firmware"]
    golden = {pcr: sourced(SEPARATOR, f"{seen}: PCR {pcr}, the separator alone") for pcr in ("2", "3", "6")}
    variables = {name: sourced("", NO_LOG) for name in ("SecureBoot", "PK", "KEK", "db", "dbx")}
    tables: list[dict[str, str]] = []
    if firmware is None:
        golden = {pcr: sourced(pcrs[pcr], f"{seen}: PCR {pcr}") for pcr in ("1", "2", "3")}
    else:
        assert {pcrs[pcr] for pcr in golden} == {SEPARATOR}
        variables = {name: sourced(value, f"{seen}: {name}") for name, value in firmware["variables"].items()}
        tables = [sourced(digest, f"{seen}: pcr1") for digest in firmware["pcr1"]]
    told = predicate(
        cloud.platform,
        "snp",
        date=format_instant(datetime.now(UTC) - timedelta(seconds=1)),
        image_pcr=4,
        golden=golden,
        variables=variables,
        pcr0_allowed=[sourced(pcrs["0"], f"{seen}: PCR 0")],
        acpi_allowed=tables,
        launch_measurements=[sourced("00" * 48, NOT_MEASURED)],
    )
    (cloud.folder / "values.json").write_text(json.dumps(told))
    argv = (sys.executable, "-m", "provisioner.platform_values", cloud.folder / "values.json")
    signed = run(*argv, "--key", cloud.root / "publisher.key", seconds=60)
    assert signed.status == 0, signed.err
    (cloud.folder / "signed.json").write_text(signed.out)
    return cloud.folder / "signed.json"


def _ask(told: Story, issuer: Path, other: Path) -> None:
    root = told.cloud.root
    given = {"releases": root / "release.json", "publisher": Publisher(keys=(root / "publisher.pub",)), "timeout": 300}
    with Client(endpoint(told), policy=SimulatedCloud(told.cloud.ca), **given) as client:
        for who, token in (
            ("the bearer", _token(issuer)),
            ("nobody", ""),
            ("somebody else's bearer", _token(other)),
            ("a bearer for another service", _token(issuer, service="vitrine-other")),
        ):
            told.seen[who] = _answer(client.with_options(api_key=token))
    pins = ("--release", root / "release.json", "--publisher", root / "publisher.pub")
    (told.cloud.folder / "other.pem").write_bytes(make_ca().pem)
    told.seen["under another CA"] = verify(
        endpoint(told), *pins, "--simulated-cloud", told.cloud.folder / "other.pem"
    ).failed
    told.seen["in production"] = verify(endpoint(told), *pins).failed


def _token(issuer: Path, *, service: str = SERVICE) -> str:
    issued = vitrine("token", "issue", "--key", issuer, "--service", service, "--model", MODEL, seconds=60)
    assert issued.status == 0, issued.err
    return issued.out.strip()


def _answer(client: Client) -> str:
    """Return the model's words, or the code of the refusal."""
    try:
        done = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=12, temperature=0)
    except openai.AuthenticationError as error:
        return str(error.code)
    return done.choices[0].message.content or ""


def _attack(told: Story, values: Path) -> None:
    """Have something new to publish each time: what is refused must not be published, and what stays is the old one."""
    more = {"deploy_platform_values": str(values), "deploy_revokes": [1]}
    way = told.cloud.site.running[told.cloud.name].way
    genuine = way.target
    with serving(SimulatedCloudVm(IMPOSTORS[told.cloud.platform], "somebody else's")) as impostor:
        way.target = impostor.server_address[1]
        told.play("with somebody else's machine at the address", **more)
        told.seen["prompts"] = impostor.prompts
        told.seen["asked"] = impostor.rounds()
        way.target = genuine
    told.seen["door"] = told.cloud.open_door()
    told.play("with a door open", **more)
    told.cloud.shut_door()
    told.play("with the door shut", **more)


def test_no_network_but_loopback_exists_for_any_process_of_this_story(offline, story):
    """Ansible, the SDKs, QEMU and the client are children of this one."""
    asked = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert run(*story.cloud.before(), sys.executable, "-c", asked, seconds=60).out.strip() == "['lo']"
    assert [name for _, name in socket.if_nameindex()] == ["lo"]


def test_verifying_what_is_not_there_says_what_to_do(story):
    assert story.said["verified before anything is there"].status != 0
    assert f"there is no deployment {story.cloud.name}: deploy it first" in story.text(
        "verified before anything is there"
    )


def test_the_machine_boots_from_exactly_what_was_baked(story):
    assert story.seen["uploaded"] == [True, True]
    assert (story.cloud.root / "image").resolve() == story.cloud.image.resolve()


def test_without_platform_values_the_machine_runs_and_nothing_is_published(story):
    said = story.text("deployed without values")
    assert story.said["deployed without values"].status != 0
    assert story.pids["deployed without values"] is not None
    assert story.published["deployed without values"] is None
    key = story.cloud.root / "publisher.key"
    for words in (
        "deploy_platform_values: expected a release",
        "observe the machine at https://",
        f"sign them with {key}",
    ):
        assert words in said, said[-3000:]
    assert "Traceback" not in said


def test_a_stranger_without_the_test_ca_sees_no_measurement(story):
    assert story.seen["strangers"] == 1


def test_with_signed_values_the_same_machine_is_accepted_and_its_release_published(story):
    assert story.said["deployed with values"].status == 0, story.text("deployed with values")[-3000:]
    assert story.changed["deployed with values"] == []
    assert story.pids["deployed with values"] == story.pids["deployed without values"]
    assert story.number("deployed with values") == 1
    assert story.cloud.site.booted == 1


def test_the_serial_port_that_the_cloud_records_was_there_to_be_looked_at(story):
    """The read-back of doors was quiet above although the machine had said all that it says."""
    assert READY in story.seen["console"]


def test_deployed_once_more_nothing_changes(story):
    assert story.said["deployed once more"].status == 0, story.text("deployed once more")[-3000:]
    assert "changed=0" in story.said["deployed once more"].out
    assert story.published["deployed once more"] == story.published["deployed with values"]


def test_verify_accepts_and_changes_nothing(story):
    assert story.said["verified"].status == 0, story.text("verified")[-3000:]
    assert story.changed["verified"] == []


def test_the_release_pins_the_firmware_that_was_observed(story):
    root = story.cloud.root
    release = open_release(story.published["verified"], Publisher(keys=(root / "publisher.pub",)))
    (measured,) = release.measurements
    assert measured.platform == story.cloud.platform
    assert [value.hex() for value in measured.pcr0_allowed] == [story.seen["observed"]["pcrs"]["0"]]
    assert bool(measured.acpi_allowed) == (story.cloud.platform == "gcp")
    assert Envelope.from_json(story.published["verified"]).payload


def test_a_client_with_a_token_gets_an_answer_through_the_endpoint(story):
    assert "Tokyo" in story.seen["the bearer"]


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("nobody", "invalid_api_key"),
        ("somebody else's bearer", "invalid_api_key"),
        ("a bearer for another service", "invalid_api_key"),
    ],
)
def test_the_sealed_machine_answers_nobody_whom_its_issuer_did_not_let_in(story, who, code):
    assert story.seen[who] == code


def test_other_clients_refuse_the_same_machine(story):
    assert story.seen["under another CA"] == {"K1.1"}
    assert story.seen["in production"] == {"C6.2"}, "production wants a CPU's report"


def test_a_machine_of_somebody_elses_at_the_address_is_refused_and_gets_no_prompt(story):
    step = "with somebody else's machine at the address"
    assert story.said[step].status != 0
    assert "the deployed VM is not what was predicted, nothing is published" in story.text(step)
    assert "K1.1" in story.text(step)
    assert story.published[step] == story.published["verified"]
    assert story.seen["asked"] > 0, "nobody came: this shows nothing"
    assert story.seen["prompts"] == []


def test_a_door_that_somebody_opened_is_named_and_nothing_is_published(story):
    assert story.said["with a door open"].status != 0
    assert "open doors, nothing is published" in story.text("with a door open")
    assert story.seen["door"] in story.text("with a door open")
    assert story.published["with a door open"] == story.published["verified"]


def test_the_door_alone_kept_the_new_release_back(story):
    assert story.said["with the door shut"].status == 0, story.text("with the door shut")[-3000:]
    assert story.number("with the door shut") > story.number("verified")


def test_destroy_leaves_nothing_in_the_cloud_and_no_machine(story):
    assert story.said["destroyed"].status == 0, story.text("destroyed")[-3000:]
    assert story.cloud.leftovers() == []
    assert story.cloud.site.booted == 1
    kept = {path.name for path in story.cloud.root.iterdir()}
    assert {"release.json", "manifest.json", "publisher.pub", "publisher.key", "policy.toml"} <= kept


def deploy_anew(story: Story, step: str) -> None:
    """Deploy once more from nothing, with values that would do and a release to publish; take it away again."""
    cloud, before = story.cloud, story.cloud.site.booted
    values = str(cloud.folder / "signed.json")
    try:
        story.play(step, deploy_platform_values=values, deploy_revokes=[2])
        running = cloud.site.running[cloud.name]
        story.seen[step] = [starts_with(disk, cloud.image / disk.name) for disk in (running.boot, running.model)]
    finally:
        story.play(f"{step}, destroyed", "destroy")
    assert cloud.site.booted == before + 1, "no machine was made: this shows nothing"
    assert story.published[step] == story.published["destroyed"]
    assert cloud.leftovers() == []


@pytest.mark.slow
def test_a_disk_that_was_swapped_in_the_cloud_boots_and_is_not_accepted(story):
    """One byte of the UKI, in the name of the distribution: the machine comes up and answers, only evidence tells."""
    uki = (story.cloud.image / "uki.efi").read_bytes()
    story.cloud.swap_upload(find_in_uki(story.cloud.image / "boot.raw", uki, b"Debian"))
    deploy_anew(story, "swapped")
    assert story.seen["swapped"] == [False, True]
    assert story.said["swapped"].status != 0
    assert "the deployed VM is not what was predicted, nothing is published" in story.text("swapped")
    for rule in ("pcr4", "pcr11"):
        assert rule in story.text("swapped")


@pytest.mark.slow
def test_the_genuine_image_on_a_tpm_that_somebody_else_certified_is_not_accepted(story):
    site = story.cloud.site
    ours, site.ca = site.ca, make_ca("somebody else's")
    try:
        deploy_anew(story, "foreign")
    finally:
        site.ca = ours
    assert story.cloud.ca.read_bytes() == ours.pem
    assert story.seen["foreign"] == [True, True]
    assert story.said["foreign"].status != 0
    assert "K1.1" in story.text("foreign")


@pytest.mark.slow
def test_a_new_machine_of_the_same_kind_is_accepted_by_the_values_of_the_first(story):
    """The counterpart of the two above: whatever refused them, it was not that the machine was new."""
    cloud = story.cloud
    try:
        story.play("new", deploy_platform_values=str(cloud.folder / "signed.json"))
    finally:
        story.play("new, destroyed", "destroy")
    assert story.said["new"].status == 0, story.text("new")[-3000:]
    assert cloud.leftovers() == []
