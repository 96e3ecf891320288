"""The prediction held against logs and values of real machines of clouds, from the folder in VITRINE_EVIDENCE.

They booted other people's images: compared is what the firmware does with any image, and with the variables it had.
Azure's give no log, so of theirs only values can be looked at.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from client_sdk.clauses.azure import pcr_of_vm_id
from client_sdk.parse.azure import parse_hcl_report
from client_sdk.parse.ccel import parse_ccel
from client_sdk.parse.eventlog import parse_event_log
from client_sdk.parse.tdx import parse_quote
from client_sdk.parse.variable import parse_variable
from client_sdk.verify.tdx_log import replay
from provisioner.measure import firmware
from provisioner.measure.event import Event, event_of, replay_rtmr
from provisioner.measure.event import replay as replay_pcr
from provisioner.measure.rtmr import rtmr1, rtmr2
from provisioner.measure.secure_boot import IMAGE_SECURITY, SecureBootVariables, authority, variable_events
from provisioner.measure.signature_list import list_of, signatures
from provisioner.measure.stub import MEASURED

FOLDER = Path(os.environ.get("VITRINE_EVIDENCE", "."))
pytestmark = pytest.mark.skipif("VITRINE_EVIDENCE" not in os.environ, reason="VITRINE_EVIDENCE names no folder")
NO_ACTION, SEPARATOR, IPL = 0x3, 0x4, 0xD
CONFIG, IMAGE, GPT, ACTION, AUTHORITY = 0x80000001, 0x80000003, 0x80000006, 0x80000007, 0x800000E0
LOGS = (
    "coreos36-shielded",
    "cos-101-amd-sev",
    "openpcc-ubuntu-tdx",
    "rhel8-uefi",
    "ubuntu-2104-no-secure-boot",
    "ubuntu-2404-amd-sevsnp",
)
GOOGLES_LIST_OWNER = UUID("d281fad2-8d88-47a4-9792-5baa47bb1b89")
UKI_ON_TDX = "tdx/ccel-only/CCEL_data_grub_gke.bin"


def log_of(name):
    events = parse_event_log((FOLDER / "gcp-vtpm/eventlogs" / f"{name}.bin").read_bytes(), padding=b"\xff\0").events
    return [event for event in events if event.kind != NO_ACTION]


def of_pcr(events, pcr):
    return [event for event in events if event.pcr == pcr]


def variables_of(events):
    values = {}
    for event in of_pcr(events, 7):
        if event.kind == CONFIG:
            variable = parse_variable(event.data, event.offset)
            values[variable.name] = variable.value
    fields = {"SecureBoot": "state", "PK": "pk", "KEK": "kek", "db": "db", "dbx": "dbx"}
    return SecureBootVariables(**{fields[name]: value for name, value in values.items()})


@pytest.mark.parametrize("name", LOGS)
def test_pcr_7_up_to_its_separator_follows_from_the_variables(name):
    logged = of_pcr(log_of(name), 7)[:6]
    predicted = (*variable_events(variables_of(log_of(name))), firmware.separator(7))
    assert [event.digest for event in logged] == [event.digest for event in predicted]


@pytest.mark.parametrize("name", ["openpcc-ubuntu-tdx", "rhel8-uefi", "cos-101-amd-sev"])
def test_the_authority_follows_from_db(name):
    events = log_of(name)
    variables = variables_of(events)
    logged = [event for event in of_pcr(events, 7) if event.kind == AUTHORITY]
    told = parse_variable(logged[0].data, logged[0].offset)
    assert (told.vendor, told.name) == (IMAGE_SECURITY, "db")
    (entry,) = (one for one in signatures("db", variables.db) if one.data() == told.value)
    (predicted,) = authority(variables, entry.content)
    assert variables.is_on
    assert logged[0].digest == predicted.digest


def test_the_variables_follow_from_certificates():
    """What Google's image import makes of PK, KEK and db given as certificates: one list each, under its own owner."""
    names = ("GcePk", "MicCorKEKCA2011_2011-06-24", "MicCorUEFCA2011_2011-06-27", "MicWinProPCA2011_2011-10-19")
    pk, kek, *db = [(FOLDER / "eventlog/secure-boot-refs" / f"{name}.crt").read_bytes() for name in names]
    variables = variables_of(log_of("openpcc-ubuntu-tdx"))
    assert variables.pk == list_of(pk, GOOGLES_LIST_OWNER)
    assert variables.kek == list_of(kek, GOOGLES_LIST_OWNER)
    assert variables.db == b"".join(list_of(one, GOOGLES_LIST_OWNER) for one in db)


@pytest.mark.parametrize("name", LOGS)
def test_pcr_3_and_6_are_the_separator_alone(name):
    for pcr in (3, 6):
        assert [event.digest for event in of_pcr(log_of(name), pcr)] == [firmware.separator(pcr).digest]


@pytest.mark.parametrize("name", LOGS)
def test_where_image_and_partition_table_go(name):
    """PCR 4 and 5, or PCR 2 for both on TDX (rule L10); what stands before the image, and the end of boot services."""
    events = log_of(name)
    place, table = (2, 2) if name.endswith("-tdx") else (4, 5)
    first = next(event for event in events if event.kind == IMAGE)
    assert first.pcr == place
    assert [event.pcr for event in events if event.kind == GPT] == [table]
    before = of_pcr(events, 4)[:2]
    assert [event.digest for event in before] == [event.digest for event in firmware.boot_attempt()]
    ends = [event.digest for event in of_pcr(events, 5) if event.kind == ACTION][-2:]
    assert ends == [event.digest for event in firmware.exit_boot_services()]
    gpt = next(event for event in events if event.kind == GPT)
    assert gpt.digest == event_of(table, gpt.data, "").digest
    assert of_pcr(events, 2)[0].digest == firmware.separator(2).digest


# --- the registers of a TD


def td_log(name):
    return parse_ccel((FOLDER / name).read_bytes()).events


def of_register(events, number):
    return [event for event in events if event.register == number + 1 and event.kind != NO_ACTION]


def told_rtmr1(events):
    """Predict RTMR1 from the log's partition table and images alone."""
    logged = of_register(events, 1)
    (table,) = (event_of(5, event.data, "") for event in logged if event.kind == GPT)
    images = [Event(4, b"", event.digest, "") for event in logged if event.kind == IMAGE]
    return rtmr1(table, images)


def test_rtmr1_of_a_genuine_quote():
    quote = parse_quote((FOLDER / "tdx/gce-cos113/quote.bin").read_bytes())
    events = td_log("tdx/gce-cos113/ccel.bin")
    assert replay(events)[:3] == quote.body.rtmrs[:3]
    assert replay_rtmr(told_rtmr1(events)) == quote.body.rtmrs[1]


@pytest.mark.parametrize("fault", ["table", "first image", "second image", "order"])
def test_an_rtmr1_of_another_disk_is_not_the_quotes(fault):
    quote = parse_quote((FOLDER / "tdx/gce-cos113/quote.bin").read_bytes())
    action, separator, table, *images, invoked, returned = told_rtmr1(td_log("tdx/gce-cos113/ccel.bin"))
    other = event_of(4, b"another", "")
    table = other if fault == "table" else table
    images[0] = other if fault == "first image" else images[0]
    images[1] = other if fault == "second image" else images[1]
    images = images[::-1] if fault == "order" else images
    assert replay_rtmr((action, separator, table, *images, invoked, returned)) != quote.body.rtmrs[1]


def test_a_real_uki_on_tdx_measures_in_the_predicted_order():
    events = td_log(UKI_ON_TDX)
    values = replay(events)
    assert replay_rtmr(told_rtmr1(events)) == values[1]
    logged = of_register(events, 2)
    assert {event.kind for event in logged} == {IPL}
    assert len(logged) == 2 * len(MEASURED)  # neither the kernel's inputs nor boot phases: those go to the TPM alone
    sections = []
    for name, (first, content) in zip(MEASURED, list(pairwise(logged))[::2], strict=True):
        assert first.digest == event_of(11, name.encode() + b"\0", "").digest384
        sections += [event_of(11, name.encode() + b"\0", ""), Event(11, b"", content.digest, "")]
    assert replay_rtmr(rtmr2(sections)) == values[2]


def test_secure_boot_variables_in_rtmr0_are_the_same_bytes():
    for name in ("tdx/gce-cos113/ccel.bin", UKI_ON_TDX):
        logged = [event for event in of_register(td_log(name), 0) if event.kind == CONFIG]
        values = [parse_variable(event.data, event.offset).value for event in logged]
        predicted = variable_events(SecureBootVariables(*values))
        assert [event.digest for event in logged] == [event.digest384 for event in predicted]


def test_edk2s_own_td_firmware_is_another():
    """Its separator is in RTMR0: a prediction for Google's machines does not fit it, and is not offered for it."""
    events = td_log("tdx/ccel-only/CCEL_data_ovmf.bin")
    assert SEPARATOR not in {event.kind for event in of_register(events, 1)}


# --- Azure: values alone


def azure_pcrs():
    found = [json.loads(path.read_text())["sha256"] for path in sorted((FOLDER / "azure-vtpm").glob("*/pcrs.json"))]
    assert len(found) == 6
    return found


def test_on_azure_nothing_but_the_separator_is_in_pcr_3():
    assert {pcrs["3"] for pcrs in azure_pcrs()} == {event_value(firmware.separator(3))}


def test_on_azure_pcr_2_is_the_separator_but_on_one_machine():
    """That one booted a UKI (PCR 11 is extended): its firmware may measure the disk's image there, as Google's does."""
    others = [pcrs for pcrs in azure_pcrs() if pcrs["2"] != event_value(firmware.separator(2))]
    assert len(others) == 1
    assert int(others[0]["11"], 16)


def test_on_azure_pcr_6_is_another_one_on_every_machine():
    """Also where image and firmware's configuration are the same: no golden value fits two machines."""
    same = Counter((pcrs["1"], pcrs["4"], pcrs["5"]) for pcrs in azure_pcrs())
    assert max(same.values()) == 2
    assert len({pcrs["6"] for pcrs in azure_pcrs()}) == 6


def test_on_azure_pcr_6_has_the_id_that_the_paravisor_states_and_the_separator():
    """On all but one of them; what else that one has measured is not known."""
    fits = {}
    for folder in sorted(path.parent for path in (FOLDER / "azure-vtpm").glob("*/pcrs.json")):
        (report,) = [path for path in folder.iterdir() if path.name.startswith("hcl") and path.suffix == ".bin"]
        configuration = parse_hcl_report(report.read_bytes()).claims.configuration
        quoted = json.loads((folder / "pcrs.json").read_text())["sha256"]["6"]
        fits[folder.name] = quoted == pcr_of_vm_id(configuration).hex()
    assert [name for name, fit in fits.items() if not fit] == ["kinvolk"]


def event_value(event):
    return replay_pcr((event,)).hex()
