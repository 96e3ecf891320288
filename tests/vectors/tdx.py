"""Vectors of the stages ``tdx`` and ``ccel``."""

from __future__ import annotations

from datetime import timedelta

from tests.client_sdk.test_conformance_tdx import fields
from tests.client_sdk.test_verify_tdx import ATTACKS, OTHER, REFUSED_BY_POLICY, REGISTERS, SIGNER_ATTACKS
from tests.client_sdk.test_verify_tdx_log import ATTACKS as LOG_ATTACKS
from tests.fakes.keys import ec_key
from tests.fakes.simulated_tdx import (
    NOW,
    PPID,
    Certified,
    Logged,
    SimulatedTdx,
    extended,
    instant,
    serialise,
    td_log,
)
from tests.vectors.case import Case, Family, Request, b64, merged

AGES = {"max_age_days": 31}
PARTS = ("tcb_info", "tcb_info_issuer_chain", "qe_identity", "qe_identity_issuer_chain", "pck_crl", "root_ca_crl")
PADDING = b"\xff" * 64
KNOBS = [
    ("a caller whose floor for TCB info is higher", "T7.22", {"params": {"min_tcb_evaluation": 18}}),
    ("a caller whose floor for the QE identity is higher", "T7.23", {"params": {"min_qe_evaluation": 18}}),
    ("a caller who takes the root's list for a day", "T7.4.2", {"params": {"max_root_crl_age_days": 1}}),
    ("a platform on the deny-list", "T11.6", {"params": {"deny_ppids": ["00" * 16, PPID.hex()]}}),
]


def platform(**changes) -> SimulatedTdx:
    """Return a platform of today's form; ``changes`` are by path, with two underscores for a dot."""
    td = SimulatedTdx(version=5, body_type=3)
    for path, value in changes.items():
        td.change(path.replace("__", "."), value)
    return td


def request(td: SimulatedTdx, **changes) -> Request:
    expected = {"report_data": bytes(range(64)).hex()}
    return merged(fields(td), **{"expected": expected, "params": AGES} | changes)


def cases() -> list[Case]:
    """Return the cases of both stages."""
    return [*_quotes().cases, *_logs().cases]


def _quotes() -> Family:
    family = Family("tdx")
    family.control("version 4", request(SimulatedTdx()))
    family.control("version 5 of a TDX 1.0 body", request(SimulatedTdx(version=5, body_type=2)))
    for what, changes in _edges():
        td = platform()
        for path, value in changes.items():
            td.change(path, value)
        family.control(what, request(td))
    good = request(platform())
    family.control("version 5", good)
    for attack, rule, changes in ATTACKS:
        td = platform()
        for path, value in changes.items():
            td.change(path, value)
        family.attack(attack, rule, request(td))
    for attack, rules, changes in REFUSED_BY_POLICY:
        td = platform()
        for path, value in changes.items():
            td.change(path, value)
        family.attack(attack, rules, request(td))
    for attack, rule, changes in KNOBS:
        family.attack(attack, rule, merged(good, **changes))
    for part in PARTS:
        family.attack(f"no {part}", "T11.1", merged(good, **{part: None}))
    _signers(family, good)
    _registers(family)
    return family


def _edges() -> list[tuple[str, dict]]:
    """Return what is in date by not a second more, all parts at once."""
    documents, oldest = ("intel.tcb_info", "intel.qe_identity"), NOW - timedelta(days=AGES["max_age_days"])
    return [
        (
            "everything begins this second",
            {f"{name}.issueDate": instant(NOW) for name in documents} | {"intel.pck_crl.since": NOW, "pck.since": NOW},
        ),
        (
            "everything ends this second",
            {f"{name}.nextUpdate": instant(NOW) for name in documents} | {"intel.pck_crl.until": NOW, "pck.until": NOW},
        ),
        (
            "everything is as old as the caller takes",
            {f"{name}.issueDate": instant(oldest) for name in documents} | {"intel.pck_crl.since": oldest},
        ),
    ]


def _signers(family: Family, good: Request) -> None:
    impostor = platform(intel__root__key=ec_key("another root"))
    family.attack("a root of Intel's name that is not Intel's", "T7.1.1", request(impostor, roots=good["roots"]))
    mixed = {name: request(impostor)[name] for name in ("quote", "root_ca_crl")}
    family.attack("a platform under another root, with Intel's statements", "T7.1.1", good | mixed)
    vouched = {"intel.tcb_info.tdxModuleIdentities.0.mrsigner": "01" * 48, "mr_signer_seam": b"\1" * 48}
    debug = {"intel.tcb_info.tdxModuleIdentities.0.attributes": "01" * 8, "seam_attributes": b"\1" * 8}
    for rule, what, changes in (("T8.3", "signer", vouched), ("T8.4", "attributes", debug)):
        td = platform()
        for path, value in changes.items():
            td.change(path, value)
        family.attack(f"a module whose {what} Intel states and that is none of Intel's", rule, request(td))
    own = platform()
    own.change("pck.issuer", own.intel.root).change("chain", ())
    family.attack("a PCK certificate that the root signed itself", "T7.2", request(own))
    for attack, rule, ca, flags in SIGNER_ATTACKS:
        td = platform()
        td.change("intel.signer.issuer", Certified("between", ec_key("between"), td.intel.root, ca, None, flags))
        family.attack(attack, rule, request(td))
    td = platform()
    td.change("intel.signer.extension", td.sgx_extensions())
    family.attack("a platform's certificate as a signer of TCB statements", "T7.7", request(td))
    td = platform()
    td.intel.edit = lambda text: text.replace(b'"version":3', b'"version": 3')
    family.attack("TCB info that was serialised again", "T7.8", request(td))
    second = platform()
    signer = Certified("Intel SGX TCB Signing", ec_key("second"), second.intel.root, serial=13)
    second.change("intel.qe_signer", signer).change("intel.qe_key", signer.key)
    second.change("intel.root_crl.serials", (13,))
    family.attack("a revoked signer of the QE identity alone", "T7.4.3", request(second))
    second.change("intel.root_crl.serials", ()).change("intel.qe_signer.issuer", OTHER)
    family.attack("a QE identity's signer under another root", "T7.6.1", request(second))
    default = platform(tee_tcb_svn=bytes((5, 0, 3)) + bytes(13))
    default.change("intel.tcb_info.tdxModule.mrsigner", "01" * 48)
    family.attack("a module without a version, of another signer", "T7.17", request(default))


def _registers(family: Family) -> None:
    td = platform()
    names = {register: register.replace("rtmrs.", "rtmr") for register, _ in REGISTERS}
    values = {names[register]: _value(td, register).hex() for register, _ in REGISTERS}
    family.control("every register named", request(td, expected=values))
    for register, rule in REGISTERS:
        other = platform().change(register, bytes(47) + b"\1")
        family.attack(f"another {names[register]}", rule, request(other, expected=values))


def _value(td: SimulatedTdx, register: str) -> bytes:
    name, _, index = register.partition(".")
    return td.rtmrs[int(index)] if index else getattr(td, name)


def _log(events: list[Logged], registers: tuple[bytes, ...] | None = None) -> Request:
    rtmrs = [value.hex() for value in registers or extended(events)]
    return {
        "ccel": b64(serialise(events, padding=PADDING)),
        "expected": {"rtmrs": rtmrs},
        "params": {"grammar": "rtmr0"},
    }


def _logs() -> Family:
    family = Family("ccel")
    longer = [*td_log(), Logged(4, 0x6, b"run time")]
    family.control("a log with an event of RTMR3", _log(longer))
    for register, rule in enumerate(("T9.2", "T9.3", "T9.4", "T9.5")):
        values = list(extended(longer))
        values[register] = bytes(48)
        family.attack(f"another RTMR{register} than the log gives", rule, _log(longer, tuple(values)))
    family.control("a log", _log(td_log()))
    family.attack("an event that claims to extend MRTD", "T9.6", _log([*td_log(), Logged(0, 0x4, bytes(4))]))
    for index, event in enumerate(td_log()):
        if event.kind != 3 and event.register != 1:
            short = td_log()
            del short[index]
            what = f"a log that hides event {index}"
            family.attack(what, f"T9.{event.register + 1}", _log(short, extended(td_log())))
    for attack, rule, place, instead in LOG_ATTACKS:
        events = td_log()
        events[place : place + 1] = instead
        family.attack(attack, rule, _log(events))
    td = SimulatedTdx()
    td.rtmrs = list(extended(td_log()))
    whole = {name: fields(td)[name] for name in ("quote", "roots", "now")}
    log = merged(_log(td_log()), expected=None)
    family.control("a log beside a quote", log | whole)
    family.attack("a quote of another TD", "T9.2", log | whole | {"quote": fields(SimulatedTdx())["quote"]})
    td.sign_quote_with = ec_key("thief")
    family.attack("a quote that another key signed", "T6.5", log | whole | {"quote": fields(td)["quote"]})
    return family
