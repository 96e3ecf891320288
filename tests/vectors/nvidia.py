"""Vectors of the stages ``nvidia-gpu`` and ``nvidia-rim``."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha384

from cryptography.hazmat.primitives import hashes

from tests.client_sdk import test_verify_nvidia as devices
from tests.client_sdk import test_verify_rim as files
from tests.client_sdk.test_conformance_nvidia import asked, device
from tests.fakes.keys import ec_key
from tests.fakes.simulated_nvidia import (
    BLACKWELL,
    NOW,
    Certified,
    SimulatedGpu,
    SimulatedOcsp,
    SimulatedRim,
    ca_extensions,
    device_root,
    issue,
    p384,
    rim_root,
    signer_extensions,
)
from tests.fakes.simulated_vm import usage
from tests.vectors.case import Case, Family, Request, b64, merged

DAY = timedelta(days=1)
DEMANDED = {"require_rims": ["driver", "vbios"], "require_ocsp": True, "modes": ["single-gpu"], "max_devices": 1}
OTHER_CA = "other CA"


def cases() -> list[Case]:
    """Return the cases of both stages."""
    return [*_devices().cases, *_files().cases]


def gpu(**knobs) -> SimulatedGpu:
    made = SimulatedGpu()
    for name, value in knobs.items():
        setattr(made, name, value)
    return made


def _devices() -> Family:
    family = Family("nvidia-gpu")
    family.control("a switch", asked(**device(SimulatedGpu.switch())))
    blackwell = gpu(form=BLACKWELL)
    family.control("Blackwell", asked(**device(blackwell)))
    for flags, name in ((0x90, "recovery"), (0x20, "not secure"), (0x40, "debugging")):
        family.attack(
            f"firmware whose flag 0x{flags:02x} is set ({name})",
            "G4.6",
            asked(**device(gpu(form=BLACKWELL, flags=flags))),
        )
    second = gpu(form=BLACKWELL)
    second.opaque[20] = bytes(48)
    family.attack("the second firmware id of a list", "G1.5", asked(**device(second)))
    family.control("a GPU", asked(**device()))
    _certificates(family)
    _evidence(family)
    _ocsp(family)
    _rims(family)
    _several(family)
    return family


def _certificates(family: Family) -> None:
    impostor = issue("device root", None, ca_extensions(), key=p384("impostor"))
    family.attack("a root that is not NVIDIA's", "G1.1.1", merged(asked(**device()), roots=[b64(impostor.der)]))
    family.attack("the root of the RIM files", "G1.1.1", merged(asked(**device()), roots=[b64(rim_root().der)]))
    for missing in (1, 2, 3):
        fields = device()
        del fields["certificates"][missing]
        family.attack(f"certificate {missing} missing", "G1.1.1", asked(**fields))
    expired = gpu(rom_dates=(NOW - 900 * DAY, NOW - DAY))
    family.attack("an expired boot ROM", "G1.1.2", asked(**device(expired)))
    for attack, rule, part, extension in devices.ROM_ATTACKS:
        made = gpu()
        made.rom_extensions[part] = (extension, True)
        family.attack(attack, rule, asked(**device(made)))
    family.attack("a certificate over a weak hash", "G1.1.6", asked(**device(gpu(leaf_hash=hashes.SHA224()))))
    rom = gpu()
    rom.sign_with, rom.opaque[20] = rom.rom.key, b""
    fields = device(rom)
    del fields["certificates"][0]
    family.attack("the boot ROM in the device's place", "G1.2.1", asked(**fields))
    for attack, rule, part, extension in devices.LEAF_ATTACKS:
        made = gpu()
        made.leaf_extensions[part] = (extension, True)
        family.attack(f"a device's certificate: {attack}", rule, asked(**device(made)))
    family.attack("a device's certificate without usage", "G1.2.2", asked(**device(gpu(leaf_extensions={}))))
    family.attack("a key on another curve", "G1.2.3", asked(**device(gpu(leaf_key=ec_key("p256")))))


def _evidence(family: Family) -> None:
    for head in ((0x11, 0xE0, 0, 0xFF), (0x11, 0xE0, 1, 1), (0x11, 0xE0, 1, 0)):
        what = f"a request for less ({head[2]}, {head[3]})"
        family.attack(what, "G1.3", asked(**device(gpu(request=head))))
    stranger = gpu(sign_with=SimulatedGpu("other").leaf.key)
    family.attack("a signature by another device", "G1.4", asked(**device(stranger)))
    others = device() | {"certificates": device(SimulatedGpu("other"))["certificates"]}
    family.attack("the certificates of another device", "G1.4", asked(**others))
    for attack, request_bytes in devices.REQUEST_ATTACKS:
        family.attack(attack, "G1.4", asked(**device(gpu(signed_request=request_bytes))))
    data = bytearray(SimulatedGpu().evidence())
    data[60] ^= 1
    family.attack("a changed byte of the report", "G1.4", asked(**device() | {"evidence": b64(bytes(data))}))
    uncertified = gpu()
    uncertified.opaque[20] = sha384(b"other firmware").digest()
    family.attack("firmware that was not certified", "G1.5", asked(**device(uncertified)))
    family.attack("a firmware id that no certificate has", "G1.5", asked(**device(gpu(form=""))))
    family.attack("a nonce of another size", "G2.1", asked(**device(), expected={"nonce": "00" * 16}))
    family.attack("another nonce", "G2.2", asked(**device(), expected={"nonce": "5a" * 32}))
    echo = sha384(b"the device's own nonce").digest()[:32].hex()
    family.attack("the device's own nonce", "G2.2", asked(**device(), expected={"nonce": echo}))
    for attack, fields, failed in files_modes():
        made = gpu()
        made.opaque |= fields
        family.attack(attack, failed, asked(**device(made), policy={"modes": ["single-gpu"]}))
    family.attack("RIM files that are missing", "G3.10", asked(**device(), policy={"require_rims": ["vbios"]}))
    family.attack("OCSP answers that are missing", "G1.7", asked(**device(), policy={"require_ocsp": True}))


def files_modes() -> list[tuple[str, dict[int, bytes], str]]:
    """Return the modes that a caller who allows a single GPU refuses."""
    return [
        ("several GPUs", {36: b"\1\0"}, "G4.4"),
        ("a mode that nobody knows", {36: b"\7\0"}, "G4.4"),
        ("a mode that contradicts protected PCIe", {21: b"\xaa"}, "G4.5"),
        ("a state of PCIe that nobody knows", {21: b"\0"}, "G4.5"),
    ]


def _responders(path: tuple[Certified, ...]) -> list[tuple[str, str, dict]]:
    """Return attacks on a responder whom the issuer certified: each breaks one rule of its chain."""
    use = SimulatedOcsp(path[0], path[1]).responder_extensions
    unknown = (devices.UNKNOWN, True)
    return [
        ("a responder of another CA", "1", {"responder_issuer": issue(OTHER_CA, None, ca_extensions())}),
        ("a responder that expired", "2", {"responder_dates": (NOW - 9 * DAY, NOW - DAY)}),
        ("a responder that nobody reads", "5", {"responder_extensions": use | {"unknown": unknown}}),
        ("a responder certified over a weak hash", "6", {"responder_hash": hashes.SHA224()}),
    ]


def _ocsp(family: Family) -> None:
    edges = [
        ("of this second", {"this_update": NOW}),
        ("that end this second", {"next_update": NOW}),
        ("as old as the caller takes", {"this_update": NOW - 7 * DAY}),
    ]
    for what, changes in edges:
        family.control(f"OCSP answers {what}", asked(**_with_answer(SimulatedGpu(), changes)))
    family.control("a GPU with OCSP answers", asked(**device(answers=True)))
    for attack, rule, changes in devices.OCSP_ATTACKS:
        if rule.partition("responder")[1]:
            continue
        made = SimulatedGpu()
        family.attack(f"OCSP: {attack}", rule, asked(**_with_answer(made, changes)))
    for attack, number, changes in _responders(SimulatedGpu().path()):
        what, rule = f"OCSP: {attack}", f"G1.6.responder.{number}"
        family.attack(what, rule, asked(**_with_answer(SimulatedGpu(), changes | {"delegate": True})))
    old = asked(**device(answers=True), policy={"max_ocsp_age_days": 0})
    family.attack("OCSP: a caller who takes no old answer", "G1.6.4", old)


def _with_answer(made: SimulatedGpu, changes: dict) -> dict:
    path = made.path()
    edited = SimulatedOcsp(path[0], path[1])
    for name, value in changes.items():
        setattr(edited, name, value)
    return device(made) | {"ocsp": [b64(edited.response()), *map(b64, made.ocsp()[1:])]}


def _rims(family: Family) -> None:
    both = (SimulatedRim(), SimulatedRim.firmware())
    demanded = asked(**device(None, *both, answers=True), policy=DEMANDED)
    family.control("everything demanded", demanded)
    unsigned = device(None, *both, answers=True)
    for one in unsigned["rims"]:
        del one["ocsp"]
    family.attack("no OCSP answers for the RIM files", "G3.11", asked(**unsigned, policy=DEMANDED))
    family.control("a GPU with RIM files", asked(**device(None, *both)))
    for attack, field, value in files.VERSION_ATTACKS:
        made = gpu()
        made.opaque[field] = value
        family.attack(f"files for {attack}", "G3.6.1", asked(**device(made, *both)))
    switch = SimulatedRim()
    switch.edition = "SWITCH"
    family.attack("a file for another kind of device", "G3.6.2", asked(**device(None, switch)))
    for index in (21, 31, 40):
        made = gpu()
        made.measurements[index] = sha384(b"attacker").digest()
        family.attack(f"measurement {index} is not golden", "G3.7", asked(**device(made, *both)))
    gone = gpu()
    del gone.measurements[31]
    family.attack("a measurement that is missing", "G3.7", asked(**device(gone, *both)))
    before = SimulatedRim()
    before.golden = {index: (sha384(b"measurement %d" % index).digest(),) for index in range(20, 40)}
    family.attack("golden values of the blocks before", "G3.7", asked(**device(None, before)))
    nothing = SimulatedRim()
    nothing.inactive, nothing.golden = {**nothing.inactive, **nothing.golden}, {}
    family.attack("a file that names nothing", "G3.7", asked(**device(None, nothing)))
    twice = SimulatedRim.firmware()
    twice.golden[30] = (sha384(b"measurement 31").digest(),)
    family.attack("a measurement in two files", "G3.8.2", asked(**device(None, SimulatedRim(), twice)))
    halves = (SimulatedRim(), SimulatedRim())
    halves[0].golden = {i: v for i, v in halves[0].golden.items() if i < 30}
    halves[1].golden = {i: v for i, v in halves[1].golden.items() if i >= 30}
    family.attack("two files for one version", "G3.8.1", asked(**device(None, *halves)))


def _several(family: Family) -> None:
    several = [device(SimulatedGpu(f"gpu {i}")) for i in range(2)]
    family.control("two GPUs", asked(devices=several, policy={"min_distinct_devices": 2}))
    family.attack("fewer devices than are due", "G4.1", asked(devices=several, policy={"min_distinct_devices": 3}))
    family.attack("more devices than are due", "G4.1", asked(devices=several, policy={"max_devices": 1}))
    reflashed = gpu(firmware="other firmware", fwid=sha384(b"other firmware").digest())
    reflashed.opaque[20] = reflashed.fwid
    both = [device(), device(reflashed)]
    family.attack("one device under two certificates", "G3.12", asked(devices=both))
    family.attack("one device twice", "G3.12", asked(devices=[several[0], several[0]]))


def _rim(rim: SimulatedRim, **changes) -> Request:
    request = {"rim": b64(rim.data()), "roots": [b64(rim_root().der)], "now": asked()["now"]}
    return merged(request, **changes)


def rim_file(**knobs) -> SimulatedRim:
    made = SimulatedRim()
    for name, value in knobs.items():
        setattr(made, name, value)
    return made


def _files() -> Family:
    family = Family("nvidia-rim")
    family.control("a firmware's file", _rim(SimulatedRim.firmware()))
    family.control("a driver's file", _rim(SimulatedRim()))
    for attack, change in files.STATEMENT_ATTACKS:
        family.attack(attack, "G3.1", _rim(rim_file(**change)))
    family.attack("a statement signed by somebody", "G3.2", _rim(rim_file(sign_with=p384("impostor"))))
    family.attack("a signature with a byte more", "G3.2", _rim(rim_file(value=lambda value: value + b"\0")))
    for attack, old, new in files.DOCUMENT_ATTACKS:
        family.attack(attack, "G3.3", _rim(rim_file(replace_after=(old, new))))
    family.attack("another digest, signed", "G3.3", _rim(rim_file(stated_digest=bytes(48))))
    impostor = issue("rim authority", None, ca_extensions(), key=p384("impostor"))
    family.attack("an authority that is not NVIDIA's", "G3.4.1", _rim(rim_file(authority=impostor)))
    family.attack("the root of the devices", "G3.4.1", _rim(rim_file(), roots=[b64(device_root().der)]))
    family.attack("a signer that expired", "G3.4.2", _rim(rim_file(signer_dates=(NOW - 9 * DAY, NOW - DAY))))
    family.attack("a signer of tomorrow", "G3.4.2", _rim(rim_file(signer_dates=(NOW + DAY, NOW + 9 * DAY))))
    for attack, rule, part, extension in files.AUTHORITY_ATTACKS:
        authority = issue("rim authority", rim_root(), {**ca_extensions(), part: (extension, True)})
        family.attack(attack, rule, _rim(rim_file(authority=authority)))
    weak = issue("rim authority", rim_root(), ca_extensions(), algorithm=hashes.SHA224())
    family.attack("an authority over a weak hash", "G3.4.6", _rim(rim_file(authority=weak)))
    for attack, rule, part, extension in files.SIGNER_ATTACKS:
        extensions = {**signer_extensions(), part: (extension, True)}
        family.attack(f"a signer's certificate: {attack}", rule, _rim(rim_file(signer_extensions=extensions)))
    family.attack("a signer without usage", "G3.5.2", _rim(rim_file(signer_extensions={})))
    encryption = {"usage": (usage("key_encipherment"), True)}
    family.attack("a signer for encryption alone", "G3.5.2", _rim(rim_file(signer_extensions=encryption)))
    family.attack("a signer on another curve", "G3.5.3", _rim(rim_file(signer_key=ec_key("p256"))))
    family.attack("OCSP answers that are missing", "G3.11", _rim(rim_file(), policy={"require_ocsp": True}))
    _file_answers(family)
    return family


def _file_answers(family: Family) -> None:
    good = SimulatedRim()
    family.control("a file with OCSP answers", _rim(good, ocsp=[b64(one) for one in good.ocsp()]))
    rows = [(attack, rule, changes) for attack, rule, changes in files.OCSP_ATTACKS if "responder." not in rule]
    path = (good.signer, good.authority)
    rows += [(w, f"G3.9.responder.{n}", c | {"delegate": True}) for w, n, c in _responders(path)]
    for attack, rule, changes in rows:
        edited = SimulatedOcsp(good.signer, good.authority)
        for name, value in changes.items():
            setattr(edited, name, value)
        answers = [b64(edited.response()), b64(good.ocsp()[1])]
        family.attack(f"OCSP: {attack}", rule, _rim(good, ocsp=answers))
