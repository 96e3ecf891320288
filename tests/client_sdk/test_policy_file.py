"""Policies as files: strict keys, every fault at once, the same verdicts as the objects; and docs/policy.md is true."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from client_sdk.errors import EvidenceError, FieldError, PolicyError
from client_sdk.parse.snp import Product
from client_sdk.policies.file import MAX_FILE, read_policy
from client_sdk.policies.table import Table
from client_sdk.policies.tee import MIN_TCB
from client_sdk.policy import AnyOf, Count, Production, load_policy
from tests.fakes.judging_cloud import accepted, unacceptable
from tests.fakes.simulated_cloud_vm import AZURE_SNP, AZURE_TDX, GCP_SNP, GCP_TDX, SimulatedCloudVm, roots

DOCUMENT = (Path(__file__).parents[2] / "docs/policy.md").read_text()
EXAMPLES = re.findall(r"^```(python|toml)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def read(text: str):
    return read_policy(f"version = 1\n{text}".encode(), roots=roots())


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read_policy(text.encode())
    assert {failure.clause.split(":")[0] for failure in caught.value.failures} == {"R4"}
    assert all(failure.remedy for failure in caught.value.failures), "each says what to do"
    return [str(failure) for failure in caught.value.failures]


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[f"{kind}-{i}" for i, (kind, _) in enumerate(EXAMPLES)])
def test_the_examples_of_the_documentation(kind, text):
    if kind == "toml":
        assert read_policy(text.encode()).judge
        return
    names: dict[str, object] = {}
    exec(text, names)  # noqa: S102 - our own documentation
    assert [value for value in names.values() if hasattr(value, "judge")]


def test_every_key_is_documented():
    source = (Path(__file__).parents[2] / "client_sdk/policies/file.py").read_text()
    keys = set(re.findall(r'\.(?:get|need|table|tables|has)\("(\w+)"', source)) - {"version"}
    assert len(keys) > 30
    assert [key for key in sorted(keys) if key not in DOCUMENT] == []


def test_an_empty_file_is_production():
    found = read("")
    assert found == Production(roots=roots())
    assert accepted(SimulatedCloudVm(GCP_TDX, gpus=1), policy=found).policy == "production"


def test_the_file_says_what_the_objects_say():
    found = read(EXAMPLES[2][1].removeprefix("version = 1\n"))
    assert found.google.project == ("my-project",)
    assert found.snp.min_tcb[Product.GENOA] == MIN_TCB[Product.GENOA]._replace(snp=24)
    assert found.snp.min_tcb[Product.MILAN] == MIN_TCB[Product.MILAN]
    assert (found.tdx.evaluation.tcb_info, found.tdx.evaluation.qe_identity) == (18, 17)
    assert found.tdx.accepted_tcb[0].status == "OutOfDate"
    assert found.max_age.ages.ocsp == found.roots.ages.ocsp == timedelta(days=3)
    assert found.snp.revocation.highest_seen == 5


@pytest.mark.parametrize(
    ("text", "kind", "gpus", "rules"),
    [
        ('[google]\nproject = "x"\nzones = ["us-central1-a"]', GCP_TDX, 0, ("K3.4",)),
        ('[google]\nproject = [1, 2]\nzones = { any = "a test" }', GCP_TDX, 0, ("K3.3",)),
        ("[azure]\nconsole_enabled = true", AZURE_SNP, 0, ("T1.console",)),
        ('[azure]\nvm_ids = ["X"]', AZURE_SNP, 0, ("T1.vm",)),
        ("[sev_snp.min_tcb.genoa]\nmicrocode = 85", AZURE_SNP, 0, ("T4.17", "T4.18", "T4.19")),
        ('[sev_snp]\nmin_firmware = "1.56.0"', AZURE_SNP, 0, ("T4.16",)),
        ('[sev_snp]\nsmt = "forbidden"', AZURE_SNP, 0, ("T4.10",)),
        ("[sev_snp]\nmin_crl_number = 6", AZURE_SNP, 0, ("T11.amd.5",)),
        ("", GCP_SNP, 0, ("T10.1",)),
        ("[tdx]\nmin_tcb_evaluation = 18", GCP_TDX, 0, ("T7.22",)),
        ("[tdx]\nmin_pck_crl_number = 2", GCP_TDX, 0, ("T11.4",)),
        ("[nvidia]\ncount = 2", GCP_TDX, 1, ("G4.1",)),
        ('[nvidia]\nmodes = ["protected-pcie"]', GCP_TDX, 1, ("G4.4",)),
    ],
)
def test_what_a_file_asks_for_is_judged(text, kind, gpus, rules):
    unacceptable(SimulatedCloudVm(kind, gpus=gpus), *rules, policy=read(text))


def test_the_clouds_word_can_be_taken_in_a_file():
    found = accepted(SimulatedCloudVm(GCP_SNP), policy=read('[sev_snp]\ncloud_vouched_boot = "a test"'))
    assert "image: the cloud's word" in found.policy


def test_alternatives_are_named():
    found = read(EXAMPLES[3][1].removeprefix("version = 1\n"))
    assert isinstance(found, AnyOf)
    assert "production on Azure" in found.name
    # Each fails once: the one that is about Azure came closer.
    error = unacceptable(SimulatedCloudVm(AZURE_SNP), "G4.1", "P7", policy=found)
    assert error.failures[-1].got == "none; the closest is production on Azure"
    assert accepted(SimulatedCloudVm(AZURE_SNP, gpus=1), policy=found)


def test_naming_one_cloud_refuses_the_other():
    google = '[google]\nproject = "vitrine-test"\nzones = ["us-central1-a"]\n'
    unacceptable(SimulatedCloudVm(AZURE_SNP), "P5", policy=read(google))
    unacceptable(SimulatedCloudVm(GCP_TDX), "P5", policy=read("[azure]"))
    for kind in (AZURE_SNP, GCP_TDX):
        assert accepted(SimulatedCloudVm(kind), policy=read(google + "[azure]"))


@pytest.mark.parametrize(
    ("text", "kind", "rules"),
    [
        ('tee = ["tdx"]\n[azure]\n[tdx]', AZURE_SNP, ("P8",)),
        ('tee = "tdx"\n[azure]', AZURE_SNP, ("P8",)),
        ('tee = ["sev-snp"]\n[azure]', AZURE_TDX, ("P8",)),
        ('tee = ["sev-snp"]', GCP_TDX, ("P8",)),
        ('tee = ["tdx"]\nsev_snp = { cloud_vouched_boot = "a test" }', GCP_SNP, ("P8",)),
        ('tee = ["tdx"]', GCP_SNP, ("P8", "T10.1")),
    ],
)
def test_a_kind_of_tee_that_is_not_asked_for(text, kind, rules):
    error = unacceptable(SimulatedCloudVm(kind), *rules, policy=read(text))
    (failure,) = [one for one in error.failures if one.rule == "P8"]
    assert {failure.expected, failure.got} == {"sev-snp", "tdx"}


def test_a_table_about_tdx_demands_none_and_the_key_tee_does():
    assert accepted(SimulatedCloudVm(AZURE_SNP), policy=read("[azure]\n[tdx]"))
    assert accepted(SimulatedCloudVm(AZURE_TDX), policy=read('tee = ["tdx"]\n[azure]'))
    assert "tdx alone" in read('tee = ["tdx"]').name


def test_a_kind_of_tee_in_an_alternative():
    found = read('[[any_of]]\ntee = ["tdx"]\nazure = {}\n[[any_of]]\ntee = ["sev-snp"]\nazure = {}')
    assert accepted(SimulatedCloudVm(AZURE_SNP), policy=found)
    assert accepted(SimulatedCloudVm(AZURE_TDX), policy=found)
    unacceptable(SimulatedCloudVm(GCP_TDX), "P5", "P7", policy=found)


def test_a_value_that_an_object_refuses_is_a_fault_of_the_file_like_any_other():
    """The digest of no key has the right form: only the object knows that any paravisor has it."""
    text = f'version = 1\n[azure]\nid_key_digests = ["{"00" * 48}"]\nx = 1\n[nvidia]\ncount = "one"'
    found = faults(text)
    assert [line.partition("]")[0] for line in found] == [
        "[R4: azure.id_key_digests",
        "[R4: azure.x",
        "[R4: nvidia.count",
    ]
    assert "got zero, the digest of no key (T5: any paravisor has it); remove it" in found[0]
    (inside,) = faults(text.replace("[azure]", "[[any_of]]\n[any_of.azure]").partition("x = 1")[0])
    assert inside.startswith("[R4: any_of[0].azure.id_key_digests]")


def test_an_object_that_says_less_than_a_table_does():
    found: list[FieldError] = []

    def refuse():
        raise EvidenceError("policy.x.y", "not like this")

    assert Table({}, "x", found).made(refuse, 5) == 5
    (fault,) = found
    assert (fault.where, fault.expected, bool(fault.remedy)) == ("x.y", "not like this", True)


def test_a_range_of_gpus():
    assert read("[nvidia]\ncount = { fewest = 1, most = 8 }").gpu.count == Count(1, 8)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "[R4: version] expected the key version, which is needed, got nothing; add version = 1 as the first line"),
        (
            "version = 2",
            "[R4: version] expected version 1, which this client reads, got 2; write version = 1, or read the",
        ),
        ("version = true", "got true; write version = 1"),
        ("version = 1\nroots = 1", "a policy says what to accept; whom to trust is an option of the command"),
        ('version = 1\nsimulated = "tpm-ca.pem"', "got a key that is about trust; remove it"),
        ("version = 1\n[gogle]", "got an unknown key; write google if that is meant, else remove it"),
        (
            'version = 1\n[google]\nproject = "x"',
            (
                "[R4: google.zones] expected the key zones, which is needed, got nothing; "
                'add zones = ["us-central1-a"], or zones = { any = "the reason" } where any will do'
            ),
        ),
        (
            'version = 1\n[google]\nproject = []\nzones = ["x"]',
            (
                "[R4: google.project] expected at least one value, got an empty list; "
                'list at least one, or write project = { any = "the reason" } where any will do'
            ),
        ),
        (
            'version = 1\n[google]\nproject = ["x", ""]\nzones = ["x", 5]',
            "[R4: google.zones[1]] expected a printable text",
        ),
        ('version = 1\n[google]\nname = "x"\nproject = "x"\nzones = ["x"]', "[R4: google.name] expected no other keys"),
        ('version = 1\n[google]\nproject = 1.5\nzones = ["x"]', 'or its number, got 1.5; write project = "the-id"'),
        (
            'version = 1\n[google]\nproject = { any = "" }\nzones = ["x"]',
            '[R4: google.project.any] expected a reason in quotation marks, got ""; write any = "the reason"',
        ),
        ('version = 1\n[google]\nproject = { all = "x" }\nzones = ["x"]', "google.project"),
        ('version = 1\n[google]\nproject = "x"\nzones = ["x"]\noldest_firmware = 1', "google.oldest_firmware"),
        (
            'version = 1\n[azure]\nid_key_digests = ["any"]',
            "expected 48 bytes in lower-case hex, which are 96 digits, got",
        ),
        ('version = 1\n[azure]\nid_key_digests = "any"', "azure.id_key_digests"),
        ("version = 1\n[azure]\nid_key_digests = []", "got an empty list; list at least one, or leave the key out"),
        (
            'version = 1\n[azure]\nconsole_enabled = "no"',
            'expected true or false, got "no"; write console_enabled = true or console_enabled = false',
        ),
        ("version = 1\n[sev_snp.min_tcb.rome]\nsnp = 1", "[R4: sev_snp.min_tcb.rome]"),
        ("version = 1\n[sev_snp.min_tcb.genoa]\nsnp = 256", "sev_snp.min_tcb.genoa.snp"),
        (
            "version = 1\n[sev_snp.min_tcb.genoa]\nsnp = 22",
            "genoa.snp] expected a whole number from 23 to 255, got 22; write 23 or higher",
        ),
        ("version = 1\n[tdx]\nmin_tcb_evaluation = 16", "min_tcb_evaluation] expected a whole number from 17"),
        ("version = 1\n[tdx]\nmin_qe_evaluation = 0", "min_qe_evaluation] expected a whole number from 17"),
        ('version = 1\n[sev_snp]\nmin_firmware = "1.54.9"', "expected 1.55.0 or a higher version, got"),
        ("version = 1\n[sev_snp.min_tcb.genoa]\nspl = 1", "sev_snp.min_tcb.genoa.spl"),
        ('version = 1\n[sev_snp]\nmin_firmware = "1.55"', "three numbers"),
        ('version = 1\n[sev_snp]\nsmt = "no"', "required, forbidden or either"),
        ("version = 1\n[sev_snp]\nsmt = []", "required, forbidden or either"),
        ('version = 1\n[sev_snp]\ncloud_vouched_boot = ""', 'write cloud_vouched_boot = "the reason"'),
        ('version = 1\n[sev_snp]\nunsafe_without_revocation = " "', 'write unsafe_without_revocation = "the reason"'),
        (
            'version = 1\n[[tdx.grace]]\nstatus = "Revoked"\nuntil = "2026-12-31T00:00:00Z"',
            "remove this grace: a revoked platform has none",
        ),
        (
            'version = 1\n[[tdx.grace]]\nstatus = "OutOfDate"',
            "[R4: tdx.grace[0].until] expected the key until, which is needed, got nothing; add until = ",
        ),
        (
            'version = 1\n[[tdx.grace]]\nstatus = "OutOfDate"\nuntil = 2026-12-31T00:00:00Z',
            "+00:00, without quotation marks; write until =",
        ),
        ("version = 1\n[tdx]\ngrace = []", "got an empty list; write each as [[tdx.grace]]"),
        ("version = 1\n[nvidia]\ncount = -1", "nvidia.count"),
        ("version = 1\n[nvidia]\ncount = { fewest = 2, most = 1 }", "nvidia.count.most"),
        ('version = 1\n[nvidia]\nmodes = ["off"]', 'unstated, got "off"; choose from these'),
        ('version = 1\n[nvidia]\ndevices = ["x"]', "nvidia.devices[0]"),
        ("version = 1\n[max_age_days]\nocsp = 0", "max_age_days.ocsp"),
        ("version = 1\n[max_age_days]\nocps = 1", "max_age_days.ocps"),
        ("version = 1\nany_of = []", "got an empty list; write each as [[any_of]] with its keys on the lines below"),
        ("version = 1\nany_of = [1]", "any_of[0]"),
        ("version = 1\n[[any_of]]\nx = 1", "any_of[0].x"),
        (
            "version = 1\n[tdx]\n[[any_of]]\nname = 'x'",
            (
                "[R4: tdx] expected no other keys here than any_of, version, got a key beside [[any_of]]; "
                "an alternative is a whole policy: write tdx = … below each [[any_of]] that it is meant for"
            ),
        ),
        (
            'version = 1\ntee = ["snp"]',
            '[R4: tee] expected one or both of sev-snp, tdx, got "snp"; write tee =',
        ),
        ("version = 1\ntee = []", "[R4: tee] expected at least one value, got an empty list"),
        ("version = 1\ntee = true", "[R4: tee] expected a list"),
        (
            'version = 1\n[azure]\ntee = ["tdx"]',
            "got an unknown key; write tee = … above the first [table], or in its [[any_of]]",
        ),
        ('version = 1\n[[any_of]]\n[any_of.azure]\nname = "x"', "write name = … above the first [table], or in its"),
        (
            'version = 1\n[google]\nproject = "x"\nzones = ["us-central1"]',
            (
                '[R4: google.zones] expected zones, got "us-central1"; us-central1 is a region: name its zones, as '
                'us-central1-a; list zones, or write zones = { any = "the reason" } where any will do'
            ),
        ),
        (
            'version = 1\n[google]\nproject = "x"\nzones = "any"',
            'got "any"; no zone is called so; list zones, or write',
        ),
        ("version = 1\ngoogle = 1", "[R4: google] expected a table, got 1; write [google], and its keys on"),
        (
            "version = 1\nunsafe_unpinned = true",
            (
                "[R4: unsafe_unpinned] expected a reason in quotation marks, got true; "
                'write unsafe_unpinned = "the reason", which will stand in every report, or leave the key out'
            ),
        ),
        (
            'version = 1\nunsafe_unpinned = ""',
            '[R4: unsafe_unpinned] expected a reason in quotation marks, got ""; write',
        ),
        ("version = 1\n[sev_snp]\ncloud_vouched_boot = true", 'got true; write cloud_vouched_boot = "the reason"'),
        ("version = 1\n[sev_snp]\nmin_crl_number = 0x" + "f" * 9999, "got a number of 39996 bits"),
        ('version = 1\nname = "' + "n" * 65 + '"', 'got "' + "n" * 64 + '…" (65 characters); write such a name'),
    ],
)
def test_a_fault_is_named(text, says):
    assert says in " ".join(faults(text))


def test_every_fault_is_named_at_once():
    found = faults('version = 2\n[tdx]\nx = 1\n[nvidia]\ncount = "one"\n[azure]\nvm_ids = 5')
    assert [next(word for word in ("version", "azure", "tdx", "nvidia") if word in line) for line in found] == [
        "version",
        "azure",
        "tdx",
        "nvidia",
    ]


@pytest.mark.parametrize("data", [b"\xff", b"version =", b"a = 1\na = 2", b"[" * 1000, b"#" * (MAX_FILE + 1)])
def test_what_is_not_toml_is_refused(data):
    with pytest.raises(PolicyError, match="R4"):
        read_policy(data)


def test_a_policy_from_a_file(tmp_path):
    (tmp_path / "policy.toml").write_text("version = 1\n")
    assert load_policy(tmp_path / "policy.toml") == Production()
    with pytest.raises(PolicyError, match="cannot read"):
        load_policy(str(tmp_path / "none.toml"))


def test_a_file_may_be_as_large_as_the_limit():
    assert read_policy(b"version = 1\n".ljust(MAX_FILE, b"#")) == Production()


@pytest.mark.parametrize("table", ["", 'name = "ours"'])
def test_an_empty_alternative_would_take_anybodys_vm(table):
    mine = '[[any_of]]\n[any_of.google]\nproject = "mine"\nzones = ["us-central1-a"]\n'
    with pytest.raises(PolicyError, match=r"any_of\[1\].*an empty one takes anybody's VM"):
        read_policy(f"version = 1\n{mine}[[any_of]]\n{table}\n".encode())


@pytest.mark.parametrize("parts", [9, 8000])
@pytest.mark.parametrize("form", ["{} = 1", "[{}]", "x = {{ {} = 1 }}"])
def test_a_key_of_many_parts_is_refused_before_it_is_parsed(parts, form):
    """The parser of the standard library takes time and memory that grow with the square of them."""
    for part in ("a", '"a"', "'a'"):
        data = f"version = 1\n{form.format('.'.join([part] * parts))}\n"
        with pytest.raises(PolicyError, match="keys of at most 8 parts"):
            read_policy(data.encode())


def test_faults_by_the_thousand_are_told_in_part():
    text = "version = 1\n" + "".join(f"k{number} = 1\n" for number in range(5000))
    with pytest.raises(PolicyError) as caught:
        read_policy(text.encode())
    assert len(caught.value.failures) == 65
    assert "4936 further faults" in str(caught.value)
    with pytest.raises(PolicyError) as caught:
        read_policy(("version = 1\n" + "".join(f"k{number} = 1\n" for number in range(64))).encode())
    assert "further" not in str(caught.value)


def test_a_floor_beside_going_without_the_list_would_be_held_to_nothing():
    text = 'version = 1\n[sev_snp]\nunsafe_without_revocation = "a test"\nmin_crl_number = 50\n'
    with pytest.raises(PolicyError, match="no floor beside unsafe_without_revocation"):
        read_policy(text.encode())


def test_two_graces_for_one_status():
    grace = '[[tdx.grace]]\nstatus = "OutOfDate"\nuntil = "{}-01-01T00:00:00Z"\n'
    with pytest.raises(PolicyError, match="one grace for each status"):
        read_policy(("version = 1\n" + grace.format(2027) + grace.format(2028)).encode())
