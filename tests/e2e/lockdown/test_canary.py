"""Texts that nobody else has written go through the model, and are looked for wherever the host can look.

Outside the guest's memory there is none. Inside it there is: on this platform the host reads it, which is the control
that the search would see one, and shows what is kept of a request that is over.
"""

from __future__ import annotations

import json
import shutil
import time

import pytest

from provisioner.clouds.qmp import Address, Qmp
from provisioner.clouds.state import record_of
from provisioner.errors import CloudError
from provisioner.image.artefacts import check_image, open_image
from tests.canary import counted, new_canary, search
from tests.e2e import machine
from tests.e2e.lockdown.guest_memory import PAGE, address_spaces, memory_of, owner, snapshot, stopped
from tests.e2e.lockdown.surfaces import answers, files_of, leaks, tpm_memory, unseen
from tests.e2e.lockdown.talk import MODEL, caller, captured, saying, streamed
from tests.e2e.machine import vitrine

CONTROL = "test_a_canary_would_be_seen_on_every_surface"
INSIDE = "none: the host's files and memory are not the guest's to look at"
ENGINE, GATEWAY = "serving.engines", "serving.gateway"
QUESTION = {"model": MODEL, "temperature": 0}


def is_disk(surface):
    return surface.name.endswith(".raw")


def surfaces_of(vm, *others):
    """Return what is searched: all files but the disks, which ``assert_disks_are_the_images`` judges."""
    told = answers("answers to others", [text for other in others for text in other.told])
    return [surface for surface in files_of(vm) if not is_disk(surface)] + [tpm_memory(vm), told]


def assert_disks_are_the_images(vm, disks):
    """An image that was made before a canary was holds none, and nor does what is the same, byte for byte."""
    image = open_image((vm.root / "image").resolve())
    assert {surface.name for surface in disks} == {str(image.boot_disk), str(image.model_disk)}
    check_image(image)


def refusals(someone, canary):
    """Ask for what is refused in every place where a text of the caller's might come back, and to whom."""
    text = canary.text
    for fields in (
        {**QUESTION, "model": text, "prompt": text},
        {**QUESTION, text: text, "prompt": "Hi"},
        {**QUESTION, "prompt": text, "max_tokens": text},
        {**QUESTION, "prompt": [text, {"text": text}]},
        f'{{"model": "{MODEL}", "prompt": "{text}'.encode(),
        text.encode("utf-16"),
    ):
        status, _ = someone.ask("/v1/completions", fields)
        assert 400 <= status < 500
    assert someone.ask(f"/v1/models/{'x' * 10}")[0] == 405


def asked_by_others(someone):
    """Ask whatever somebody else can ask afterwards, right and wrong."""
    for method, path, fields in (
        ("GET", "/healthz", None),
        ("GET", "/v1/models", None),
        ("GET", "/metrics", None),
        ("GET", "/slots", None),
        ("GET", "/nothing", None),
        ("POST", "/v1/completions", b"{"),
        ("POST", "/v1/tokenize", {"model": MODEL, "prompt": "Hello"}),
        ("POST", "/v1/embeddings", {"model": MODEL, "input": "Hello"}),
        ("GET", f"/.well-known/attestation?nonce={'00' * 32}", None),
    ):
        someone.ask(path, fields, method=method)


@pytest.mark.property("no_persistence", inside=INSIDE, control=CONTROL)
def test_a_request_leaves_nothing_outside_the_guests_memory_and_in_it_the_engines_copy_alone(vm, figures):
    """Real tokens, an answer that holds the text, errors, and one prompt through the model."""
    speaker, other = caller(vm), caller(vm)
    with captured(vm, "network.pcap"):
        speaker.counted(new_canary())
        # Counted first, so that its numbers are in no answer that comes after the prompt.
        asked, refused = speaker.counted(new_canary()), new_canary()
        status, _ = speaker.ask("/v1/completions", {**QUESTION, "prompt": asked.text, "max_tokens": 1})
        assert status == 200
        refusals(speaker, refused)
        asked_by_others(other)
        searched = surfaces_of(vm, other)
        assert leaks(searched, [asked, refused]) == []
    assert_disks_are_the_images(vm, filter(is_disk, files_of(vm)))
    taken = snapshot(vm)
    spaces = address_spaces(taken)
    assert {GATEWAY, ENGINE} <= {space.name for space in spaces}
    hits = [(owner(spaces, hit.offset), hit.form) for hit in search(taken.chunks(), asked.needles())]
    # The control: what the host can read, it finds. And of what is over, only the engine has something left.
    assert {holder for holder, _ in hits} == {ENGINE}
    assert not [*search(taken.chunks(), refused.needles())]
    figures(f"{len(searched)} surfaces", f"{sum(s.size for s in searched) >> 10} KiB", f"{len(hits)} copies in memory")


def test_a_canary_would_be_seen_on_every_surface(vm):
    canary, speaker = new_canary(), caller(vm)
    with captured(vm, "network.pcap"):
        speaker.say_openly(canary.text.encode())
        assert leaks([s for s in files_of(vm) if s.name.endswith("network.pcap")], [canary])
        body = json.dumps({**QUESTION, "prompt": canary.text}).encode()
        with speaker.connected("/v1/completions", body, len(body) + 1):
            until_the_gateway_has(vm, canary)
        assert unseen(surfaces_of(vm, speaker), new_canary()) == []


def until_the_gateway_has(vm, canary, seconds=120):
    """Look until a request that is on its way is in the gateway's memory: a guest reads it when it comes to it."""
    deadline = time.monotonic() + seconds
    while True:
        time.sleep(2)
        taken = snapshot(vm)
        spaces = address_spaces(taken)
        holders = {owner(spaces, hit.offset) for hit in search(taken.chunks(), canary.needles())}
        if GATEWAY in holders:
            return
        assert time.monotonic() < deadline, f"it is not in the gateway's memory, but in that of: {holders or 'nobody'}"


def crash(vm):
    """Kill the engine from outside, as no caller can: zeros over all memory that is its own alone."""
    spaces = address_spaces(snapshot(vm))
    (engine,) = [space for space in spaces if space.name == ENGINE]
    shared = {page for space in spaces if space.name != ENGINE for page in space.pages}
    memory = memory_of(vm)
    with stopped(vm):
        for page in engine.writable - shared:
            memory.write(page, bytes(PAGE))


def until_ready(someone, wanted, seconds=300):
    deadline = time.monotonic() + seconds
    while json.loads(someone.ask("/healthz", method="GET")[1])["engine"] != wanted:
        assert time.monotonic() < deadline, f"the engine is not {wanted}"
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.property("no_persistence", inside=INSIDE, control=CONTROL)
def test_a_session_with_streams_errors_aborts_and_a_crash_leaves_nothing_outside(vm, tmp_path, figures):
    speaker, other = caller(vm), caller(vm)
    names = ("whole", "streamed", "stop", "error", "large", "half", "left", "crashed", "told")
    texts = {name: new_canary() for name in names}
    counted_ones = {name: speaker.counted(canary) for name, canary in texts.items()}
    chat = [{"role": "user", "content": texts["whole"].text}]
    with captured(vm, "network.pcap"):
        answer = {"messages": chat, "response_format": saying(texts["told"]), "max_tokens": 64}
        _, body = speaker.ask("/v1/chat/completions", {**QUESTION, **answer})
        said = json.loads(body)["choices"][0]["message"]["content"]
        assert json.loads(said) == {"word": texts["told"].text}, "the answer is no canary"
        short = {"max_tokens": 3, "stream": True}
        _, body = speaker.ask("/v1/completions", {**QUESTION, "prompt": texts["streamed"].text, **short})
        assert streamed(body)
        speaker.ask("/v1/completions", {**QUESTION, "prompt": "Hi", "stop": [texts["stop"].text], "max_tokens": 1})
        refusals(speaker, texts["error"])
        large = json.dumps({**QUESTION, "prompt": texts["large"].text * 400_000}).encode()
        assert refused_as_too_large(speaker, large)
        half = json.dumps({**QUESTION, "prompt": texts["half"].text}).encode()
        with speaker.connected("/v1/completions", half, len(half) + 10):
            time.sleep(1)
        left = {**QUESTION, "messages": [{"role": "user", "content": texts["left"].text}], "max_tokens": 20}
        speaker.break_off("/v1/chat/completions", left, after=1)
        until_ready(other, "ready")
        crashing = {**QUESTION, "prompt": texts["crashed"].text, "max_tokens": 40, "stream": True}
        body = json.dumps(crashing).encode()
        with speaker.connected("/v1/completions", body, len(body)) as channel:
            time.sleep(5)
            crash(vm)
            until_ready(other, "loading")
            asked_by_others(other)
            assert channel.recv(65536)
        until_ready(other, "ready")
        asked_by_others(other)
        reports = [tmp_path / "report.html", tmp_path / "evidence.json"]
        written = ("--html", reports[0], "--save", reports[1])
        assert vitrine("verify", vm.origin, *vm.pins, *written).status == 0
        other.told.extend(path.read_bytes() for path in reports)
        searched = surfaces_of(vm, other)
        assert leaks(searched, counted_ones.values()) == []
        assert unseen(searched, new_canary()) == []
    assert_disks_are_the_images(vm, filter(is_disk, files_of(vm)))
    figures(f"{len(names)} canaries", f"{len(searched)} surfaces", f"{sum(s.size for s in searched) >> 20} MiB")


def refused_as_too_large(someone, body):
    """Send it until the other side has had enough: it may close before all of it has left."""
    try:
        return someone.ask("/v1/completions", body)[0] == 413
    except OSError:
        return True


def copies(vm, canary):
    """Return who has a copy of it in memory, and in which form, once threads that are not needed have ended."""
    time.sleep(5)
    taken = snapshot(vm)
    spaces = address_spaces(taken)
    return [(owner(spaces, hit.offset), hit.form) for hit in search(taken.chunks(), canary.needles())]


@pytest.mark.slow
@pytest.mark.property("no_persistence", inside=INSIDE, control=CONTROL)
def test_of_a_finished_request_the_gateway_and_the_kernel_keep_nothing_and_the_engine_until_others_come(vm, figures):
    speaker = caller(vm)
    speaker.counted(new_canary())
    asked = speaker.counted(new_canary())
    question = {**QUESTION, "messages": [{"role": "user", "content": asked.text}], "max_tokens": 2}
    assert speaker.ask("/v1/chat/completions", question)[0] == 200
    first = copies(vm, asked)
    for _ in range(3):
        speaker.ask("/v1/chat/completions", {**question, "messages": [{"role": "user", "content": "bread " * 28}]})
    second = copies(vm, asked)
    assert first
    assert {holder for holder, _ in first + second} <= {ENGINE}
    # Its slot, its batch and its buffers have the others' numbers now. What a thread of it read, it may still have.
    assert [form for _, form in second if " bit" in form] == []
    figures(f"{len(first)} copies after it", f"{len(second)} after three others")


@pytest.mark.slow
@pytest.mark.property("no_persistence", inside=INSIDE, control=CONTROL)
def test_a_reboot_leaves_nothing(vm, deployment, figures):
    """The host ends the VM, and starts it again from the same folder: its TPM, its variables, its disks."""
    speaker = caller(vm)
    asked = speaker.counted(new_canary())
    body = json.dumps({**QUESTION, "prompt": asked.text}).encode()
    with speaker.connected("/v1/completions", body, len(body) + 1):
        time.sleep(2)
        assert counted(search(memory_of(vm).chunks(), asked.needles()))
        disks = [surface for surface in files_of(vm) if is_disk(surface)]
        end(vm)
    files = [path for path in vm.cloud.store.folder(vm.name).rglob("*") if path.is_file()]
    found = [path for path in files if [*search([path.read_bytes()], asked.needles())]]
    assert found == []
    assert_disks_are_the_images(vm, disks)
    start_again(vm, deployment.image)
    assert vitrine("verify", vm.origin, *vm.pins, "--wait", 300, seconds=600).status == 0
    assert counted(search(memory_of(vm).chunks(), asked.needles())) == {}
    figures(f"{len(files)} files of the folder", "0 hits after the second boot")


def start_again(vm, image):
    """Boot from nothing but what the VM left: the state of its TPM and the firmware's variables."""
    store, port = vm.cloud.store, int(vm.origin.rsplit(":", 1)[1])
    plan = machine.planned(machine.spec_of(image, vm.root, vm.name, port=port), vm.root)
    left = store.folder(vm.name).rename(vm.root / "left")
    folder = store.create(vm.name, record_of(plan))
    shutil.copytree(left / "tpm", folder / "tpm")
    shutil.copyfile(left / "vars.fd", folder / "vars.fd")
    vm.cloud.start(plan, progress=print)
    vm.cloud.wait_ready(vm.name, seconds=machine.BOOT_SECONDS, progress=print)


def end(vm):
    """Pull the plug."""
    try:
        with Qmp(Address(vm.vm.directory / "qmp.sock", 10)) as qmp:
            qmp.execute("quit")
    except CloudError:
        pass
    deadline = time.monotonic() + 30
    while vm.vm.pid is not None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
