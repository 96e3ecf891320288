"""The policy for pretended clouds: it takes a test root's VMs without a CPU's report, and lets nothing else pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from client_sdk import cli
from client_sdk.accept import accept
from client_sdk.binding import DEBUG_LOCKDOWN
from client_sdk.errors import EvidenceError, PolicyError, VerificationError
from client_sdk.evidence import RuntimeEvent, TeeEvidence
from client_sdk.parse.snp import Product
from client_sdk.policies import simulated
from client_sdk.policy import (
    AllOf,
    AnyOf,
    CloudVouchedBoot,
    Production,
    SevSnp,
    SimulatedCloud,
    SimulatedPlatform,
)
from client_sdk.release import TemplateEvent
from client_sdk.roots import Roots, anchors
from client_sdk.vendor import every_root
from client_sdk.verifier import verify
from client_sdk.verify.activation import Activation, ActivationState
from tests.fakes import judging
from tests.fakes.boot_log import DRIVER, IMAGE, Logged, after, boot_log
from tests.fakes.instance_info import der, security_properties
from tests.fakes.judging import NONCE, rules
from tests.fakes.judging_cloud import accepted, refused, unacceptable, verified
from tests.fakes.keys import ec_key, rsa_key
from tests.fakes.simulated_cloud_tpm import EK_PURPOSE, azure_root, eku, gce_log, google_root, intermediate
from tests.fakes.simulated_cloud_vm import (
    AZURE_SNP,
    AZURE_TDX,
    DAY,
    GCP_SNP,
    GCP_TDX,
    KINDS,
    MOMENT,
    SimulatedCloudVm,
    intel,
)
from tests.fakes.simulated_server import serving
from tests.fakes.simulated_snp import ark_fields
from tests.fakes.simulated_vm import SimulatedVm, TestCa, default_ca, release, signed, usage

CLOUDS = {"gcp": GCP_TDX, "azure": AZURE_SNP}
WORD = Production(snp=SevSnp(boot=CloudVouchedBoot("a test")))


def root_of(cloud):
    return google_root().der if cloud.startswith("gcp") else azure_root().der


def pretended(cloud, **fields):
    return SimulatedCloud(ak_ca=root_of(cloud), **fields)


def with_cpu(kind, **fields):
    arks = tuple(ark_fields(product).certificate for product in Product)
    return pretended(kind, **{"amd": arks, "intel": (intel().root.der,), "judged_by": WORD} | fields)


def machine(cloud):
    """A VM whose firmware is QEMU's, and no CPU's report."""
    vm = SimulatedCloudVm(CLOUDS[cloud])
    vm.log, vm.changes = boot_log(), {"tee": None}
    return vm


def loose(vm):
    """A release as it is for QEMU's firmware: PCR 0 and ACPI tables unpinned, where a log tells of them."""
    stated = replace(vm.measurement(), launch_measurements=(), rtmrs=())
    return stated if vm.platform == "azure" else replace(stated, pcr0_allowed=(), acpi_allowed=())


def told(vm, policy, rule, **options):
    return refused(vm, rule, anchors=policy.roots, **options)


clouds = pytest.mark.parametrize("cloud", CLOUDS)
kinds = pytest.mark.parametrize("kind", KINDS)


@clouds
def test_without_a_report_the_tpm_is_judged_and_the_report_says_what_was_not(cloud):
    vm = machine(cloud)
    found = accepted(vm, policy=pretended(cloud), measured=loose(vm), collateral=vm.collateral())
    document = found.report.as_dict()
    assert document["facts"]["policy"] == "simulated cloud, proves nothing about the host"
    assert document["facts"]["simulated"] is True
    ids = {check["id"] for check in document["checks"]}
    assert {"D1", "D2", "K1.1", "K2.4", "K5.2", "Q7.1", "Q3", "C2.2", "L11.2", "L7.12"} <= ids
    assert {rule for rule in ids if rule.startswith(("T", "L8", "P"))} == {"P6", "P9"}
    not_run = " ".join(row["rules"] for row in document["not_run"])
    assert "T1 to T11" in not_run
    assert "D1" not in not_run


@kinds
def test_a_report_that_is_there_is_judged_as_in_production(kind):
    found = accepted(SimulatedCloudVm(kind), policy=with_cpu(kind))
    ids = {check.id for check in found.checks}
    assert {"D1", "D2", "P2", "P3", "P6"} <= ids
    assert ids & {"T4.8", "T8.5"}
    assert found.evidence.simulated


@clouds
def test_production_takes_no_pretended_cloud_under_whatever_roots(cloud):
    vm, policy = machine(cloud), pretended(cloud)
    told(vm, Production(), "C6.2")
    told(vm, Production(roots=replace(policy.roots, simulated=False)), "C6.2")
    unacceptable(vm, "P1", policy=Production(roots=policy.roots))


@clouds
def test_production_refuses_what_this_policy_takes_without_a_report_by_its_release_too(cloud):
    vm, policy = machine(cloud), pretended(cloud)
    evidence = verified(vm, anchors=policy.roots)
    with pytest.raises(PolicyError) as caught:
        accept(replace(evidence, simulated=False), releases=(release(measured=vm.measurement()),), policy=Production())
    assert {failure.clause.split(":")[0] for failure in caught.value.failures} == {"P1"}


@kinds
def test_a_confidential_vm_of_another_root_is_not_taken(kind):
    """A real cloud's VM looks like this to the policy: all of it genuine, under roots that are not the test's."""
    told(SimulatedCloudVm(kind), SimulatedCloud(ak_ca=TestCa("mine").der), "K1.1")


@kinds
def test_the_other_clouds_root_does_not_vouch(kind):
    other = "azure" if kind.startswith("gcp") else "gcp"
    told(SimulatedCloudVm(kind), with_cpu(other), "K1.1")


@pytest.mark.parametrize(
    ("kind", "rule"), [(GCP_SNP, "T2.1"), (AZURE_SNP, "T2.1"), (GCP_TDX, "T7.1.1"), (AZURE_TDX, "T7.1.1")]
)
def test_a_report_under_no_test_root_is_not_passed_over(kind, rule):
    told(SimulatedCloudVm(kind), pretended(kind), rule)


@pytest.mark.parametrize(
    ("kind", "rule", "weaker"),
    [
        (GCP_TDX, "P2", {"pcr0_allowed": ()}),
        (GCP_SNP, "P3", {"acpi_allowed": ()}),
        (GCP_SNP, "P4", {"launch_measurements": ()}),
        (AZURE_SNP, "T5.6", {"launch_measurements": ()}),
    ],
)
def test_with_a_report_a_release_may_leave_no_more_open_than_in_production(kind, rule, weaker):
    vm = SimulatedCloudVm(kind)
    unacceptable(vm, rule, policy=with_cpu(kind), measured=replace(vm.measurement(), **weaker))


@clouds
def test_a_debug_image_is_not_taken_without_a_report_either(cloud):
    vm = machine(cloud)
    vm.runtime = [RuntimeEvent("lockdown", DEBUG_LOCKDOWN), *vm.runtime_log()[1:]]
    said = (TemplateEvent("lockdown", DEBUG_LOCKDOWN), *loose(vm).pcr15_template[1:])
    measured = replace(loose(vm), pcr15_template=said)
    unacceptable(vm, "P9", policy=pretended(cloud), measured=measured, collateral=vm.collateral())


def test_googles_word_is_taken_only_where_production_would():
    unacceptable(SimulatedCloudVm(GCP_SNP), "T10.1", policy=with_cpu(GCP_SNP, judged_by=Production()))


@kinds
def test_a_report_of_another_kind_than_the_platforms_is_refused(kind):
    vm = SimulatedCloudVm(kind)
    for wrong in ("none", "", "sev"):
        vm.changes = {"tee": TeeEvidence(wrong, b"x", (), b"", b"")}
        told(vm, with_cpu(kind), "C6.2")


@clouds
def test_an_endorsement_key_or_its_activation_has_no_place(cloud):
    vm, policy = machine(cloud), pretended(cloud)
    vm.changes |= {"ek_certificates": (SimulatedVm().ek_certificate(),)}
    told(vm, policy, "C6")
    vm.changes.pop("ek_certificates")
    activation = Activation(ActivationState(bytes(34), bytes(32), bytes(32)), bytes(32))
    with pytest.raises(VerificationError, match="C6"):
        verify(vm.evidence(NONCE), roots=policy.roots, nonce=NONCE, now=MOMENT, activation=activation)


def another_key(vm):
    vm.tpm.sign_with = rsa_key("somebody else's")


def unrestricted(vm):
    vm.tpm.attributes = 0x00040072


def endorsement_key(vm):
    vm.tpm.extensions["usage"] = (usage("key_encipherment"), True)


def a_ca(vm):
    vm.tpm.extensions["constraints"] = (x509.BasicConstraints(ca=True, path_length=None), True)


def no_certificate(vm):
    vm.changes["ak_certificates"] = ()


def certificate_of_another(vm):
    vm.changes["ak_certificates"] = SimulatedCloudVm(vm.kind, "other").tpm.certificates


def expired(vm):
    vm.tpm.dates = (MOMENT - 9 * DAY, MOMENT - DAY)


def fewer_pcrs(vm):
    vm.tpm.selected = (0, 1, 2, 3)


def another_banks(vm):
    vm.tpm.kind = 0x8017


def resealed(vm):
    vm.runtime = vm.runtime_log()[:-1]


TPM_ATTACKS = [
    ("Q6.2", another_key),
    ("Q7.1", unrestricted),
    ("K2.5", endorsement_key),
    ("K2.4", a_ca),
    ("K5.1", no_certificate),
    ("K5.2", certificate_of_another),
    ("K1.2", expired),
    ("Q2", fewer_pcrs),
    ("Q1.2", another_banks),
    ("L11.1", resealed),
]


@clouds
@pytest.mark.parametrize(("rule", "attack"), TPM_ATTACKS, ids=lambda value: getattr(value, "__name__", value))
def test_every_rule_about_the_tpm_is_in_force(cloud, rule, attack):
    vm = machine(cloud)
    attack(vm)
    told(vm, pretended(cloud), rule)


@clouds
def test_another_nonce_or_another_tls_key_is_refused(cloud):
    vm, policy = machine(cloud), pretended(cloud)
    told(vm, policy, "C2.2", nonce=bytes(range(32)))
    vm.changes["tls_certificate"] = SimulatedCloudVm(vm.kind, "other").tls_certificate
    told(vm, policy, "C2.2")


def test_an_instance_that_is_no_production_one_or_a_certificate_for_endorsement():
    vm = machine("gcp")
    flags = der(0xA0, der(0x30, *security_properties(b"\0")))
    vm.tpm.extensions["instance"] = vm.tpm.instance(properties=flags)
    told(vm, pretended("gcp"), "K3.2")
    vm = machine("gcp")
    vm.tpm.extensions.pop("instance")
    told(vm, pretended("gcp"), "K3.1")
    vm = machine("azure")
    vm.tpm.extensions["eku"] = eku(EK_PURPOSE)
    told(vm, pretended("azure"), "K4.1")


def test_the_log_is_replayed_and_has_to_follow_the_grammar_of_qemus_firmware():
    policy, vm = pretended("gcp"), machine("gcp")
    vm.changes["event_log"] = b""
    with pytest.raises(EvidenceError):
        verified(vm, anchors=policy.roots)
    vm = machine("gcp")
    after(vm.log, 4, IMAGE, Logged(4, DRIVER, b"a driver"))
    told(vm, policy, "L9.1")
    vm = machine("gcp")
    vm.log = gce_log(technology=0)
    told(vm, policy, "L2.0")


def test_on_azure_there_is_no_log_and_every_register_has_a_golden_value():
    vm, policy = machine("azure"), pretended("azure")
    vm.changes["event_log"] = b"log"
    told(vm, policy, "L6.1")
    vm = machine("azure")
    unacceptable(vm, "L6.pcr0", policy=policy, measured=replace(loose(vm), pcr0_allowed=()))


@clouds
def test_what_the_release_states_is_compared(cloud):
    vm, policy = machine(cloud), pretended(cloud)
    wrong = tuple((pcr, bytes(32) if pcr == 4 else value) for pcr, value in loose(vm).pcrs)
    rule = "L1.pcr4" if cloud == "gcp" else "L6.pcr4"
    unacceptable(vm, rule, policy=policy, measured=replace(loose(vm), pcrs=wrong))
    if cloud == "gcp":
        unacceptable(vm, "L1.pcr0", policy=policy, measured=replace(loose(vm), pcr0_allowed=(bytes(32),)))


@clouds
def test_an_alternative_is_not_satisfied_under_anothers_root(cloud):
    vm, mine = machine(cloud), SimulatedCloud(ak_ca=TestCa("mine").der)
    evidence = verified(vm, anchors=AnyOf((mine, pretended(cloud))).roots)
    for policy, expected in ((mine, {"D2"}), (SimulatedPlatform(tpm_ca=default_ca().der), {"D2"})):
        with pytest.raises(PolicyError) as caught:
            accept(evidence, releases=(release(measured=loose(vm)),), policy=policy)
        assert {failure.clause.split(":")[0] for failure in caught.value.failures} == expected


@clouds
def test_evidence_that_was_verified_as_real_is_not_taken(cloud):
    vm, policy = machine(cloud), pretended(cloud)
    evidence = replace(verified(vm, anchors=policy.roots), simulated=False)
    with pytest.raises(PolicyError) as caught:
        accept(evidence, releases=(release(measured=loose(vm)),), policy=policy)
    assert set(rules(caught.value)) == {"D1"}


def test_a_local_vm_is_no_cloud_and_a_cloud_no_local_vm():
    with pytest.raises(VerificationError, match=r"\[K1.1\]"):
        judging.verified(SimulatedVm(), policy=pretended("gcp"))
    told(machine("gcp"), SimulatedPlatform(tpm_ca=google_root().der), "C6.2")
    evidence = judging.verified(SimulatedVm())
    with pytest.raises(PolicyError) as caught:
        accept(evidence, releases=(release(),), policy=pretended("gcp"))
    assert set(rules(caught.value)) == {"D1", "D2"}


@pytest.mark.parametrize("kind", [AllOf, AnyOf])
def test_it_is_not_mixed_with_production(kind):
    for policies in ((Production(), pretended("gcp")), (pretended("azure"), Production())):
        with pytest.raises(PolicyError) as caught:
            kind(policies)
        assert caught.value.failures[0].clause.startswith("D2")


@pytest.mark.parametrize("field", ["ak_ca", "amd", "intel"])
@pytest.mark.parametrize("number", range(len(every_root())))
def test_a_makers_own_root_is_no_test_root(field, number):
    maker = every_root()[number].certificate
    wrong = maker if field == "ak_ca" else (maker,)
    with pytest.raises(EvidenceError, match=f"policy.{field}.*a maker's own"):
        SimulatedCloud(**{"ak_ca": google_root().der} | {field: wrong})


@pytest.mark.parametrize("number", range(len(every_root())))
def test_a_makers_key_in_another_certificate_is_no_test_root(number):
    name = TestCa("mine").name
    builder = x509.CertificateBuilder(
        name, name, every_root()[number].certificate.public_key(), 7, MOMENT, MOMENT + DAY
    )
    with pytest.raises(EvidenceError, match="a maker's own"):
        SimulatedCloud(ak_ca=builder.sign(ec_key("whoever"), hashes.SHA256()))


def test_a_makers_intermediate_is_no_test_root(monkeypatch):
    below = intermediate("an intermediate", google_root()).der
    assert SimulatedCloud(ak_ca=below)
    monkeypatch.setattr(simulated, "every_root", lambda: anchors(google_root().der))
    with pytest.raises(EvidenceError, match="a maker's own"):
        SimulatedCloud(ak_ca=below)
    assert SimulatedCloud(ak_ca=azure_root().der)


@pytest.mark.parametrize("wrong", [b"", b"no certificate", google_root().pem * 2])
def test_anything_but_one_certificate_is_refused(wrong):
    with pytest.raises(EvidenceError, match=r"policy\.ak_ca: not exactly one certificate"):
        SimulatedCloud(ak_ca=wrong)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(EvidenceError, match=r"policy\.ak_ca: cannot read .*nobody\.pem"):
        SimulatedCloud(ak_ca=tmp_path / "nobody.pem")


def test_it_pins_the_test_roots_and_nothing_else():
    found = pretended("gcp").roots
    assert found == Roots(simulated=True, google=found.google, azure=found.google, ages=found.ages)
    assert {kind for kind, _ in found.fingerprints} == {"google", "azure"}
    assert len({digest for _, digest in found.fingerprints}) == 1


@pytest.fixture
def command(pins, capsys):
    """Runs the command over a pretended cloud's VM; returns its exit status and what it said."""

    def run(vm, *words, release_of=None):
        pins.release.write_bytes(signed(release(measured=release_of or loose(vm))))
        pins.tpm_ca.write_bytes(google_root().pem)
        with serving(vm) as server:
            code = cli.main(["verify", server.origin, *pins.words[:-2], *[str(word) for word in words]])
        return code, capsys.readouterr().out

    return run


def test_the_command_takes_it_by_an_option_that_says_so(command, pins):
    code, said = command(machine("gcp"), "--simulated-cloud", pins.tpm_ca)
    assert (code, "simulated cloud, proves nothing about the host" in said) == (0, True), said


@pytest.mark.parametrize(
    ("option", "rule"), [((), "C6.2"), (("--simulated",), "C6.2")], ids=["production", "a local platform"]
)
def test_the_command_takes_it_by_no_other_option(command, pins, option, rule):
    code, said = command(machine("gcp"), *option, *([pins.tpm_ca] if option else []))
    assert (code, f"FAILED {rule}" in " ".join(said.split())) == (1, True), said


def test_the_command_refuses_a_local_vm_as_a_cloud(command, pins):
    code, said = command(SimulatedVm(), "--simulated-cloud", pins.tpm_ca, release_of=loose(machine("gcp")))
    assert (code, "K1.1" in said) == (1, True), said
