"""``python -m client_sdk.conformance STAGE``: judge one JSON request from standard input, print the verdict as JSON.

Exit status: 0 accepted · 10 refused · 30 malformed input · 2 usage · 1 internal error.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from typing import Any, BinaryIO

from client_sdk.conformance.describe import COMMAND, DESCRIPTION, of_stage, of_stages
from client_sdk.conformance.request import MAX_REQUEST, Request, Stage
from client_sdk.encoding import canonical_json
from client_sdk.errors import AttestationError, EvidenceError, PolicyError, VerificationError
from client_sdk.report import Ledger, plain

ACCEPTED, INTERNAL, REFUSED, MALFORMED = 0, 1, 10, 30
# What a parser calls its format → the field that has it.
_FIELDS = {"tcbInfo": "tcb_info", "enclaveIdentity": "qe_identity", "event_log": "eventlog"}
# Stage → the module that judges it (loaded alone: a suite starts one process a case) and the function in it.
STAGES = {
    "snp": ("snp", "report"),
    "snp-cert": ("snp", "certificate"),
    "tdx": ("tdx", "quote"),
    "ccel": ("tdx", "ccel"),
    "tpm-quote": ("tpm", "quote"),
    "binding": ("binding", "binding"),
    "event-log": ("tpm", "event_log"),
    "azure-hcl": ("azure", "hcl"),
    "azure-ak": ("azure", "ak"),
    "gce-ak": ("gce", "ak"),
    "nvidia-gpu": ("nvidia", "gpu"),
    "nvidia-rim": ("nvidia", "rim"),
    "release": ("release", "release"),
}


def judge(stage: Stage, data: bytes) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the verdict."""
    ledger, request = Ledger(), Request({})
    try:
        request = Request.read(data)
        facts = stage(request, ledger)
    except EvidenceError as error:
        where = _place(error.where, request)
        message = where + str(error).removeprefix(error.where)
        return MALFORMED, {"verdict": "malformed", "where": where, "message": message}
    except VerificationError as error:
        return REFUSED, _refused(ledger, [error.rule], str(error))
    except PolicyError as error:
        return REFUSED, _refused(ledger, [failure.clause.partition(":")[0] for failure in error.failures], str(error))
    except AttestationError as error:
        return REFUSED, _refused(ledger, [], str(error))
    return ACCEPTED, {"verdict": "accepted", "checks": _checks(ledger), "facts": plain(facts)}


def _place(where: str, request: Request) -> str:
    """Return a place as a path of the request: parsers name it after their format, as in ``tcbInfo.issueDate``."""
    found = re.match(r"\w+", where)
    field = _FIELDS.get(found[0], found[0]) if found else ""
    return f"$.{field}{where.removeprefix(found[0])}" if found and field in request.fields else where


def _refused(ledger: Ledger, rules: list[str], message: str) -> dict[str, Any]:
    return {"verdict": "refused", "rules": rules, "message": message, "checks": _checks(ledger)}


def _checks(ledger: Ledger) -> list[dict[str, str]]:
    return [check.as_dict() for check in ledger.checks]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description=DESCRIPTION, add_help=False)
    parser.add_argument("stage", nargs="?", metavar="STAGE", choices=STAGES, help="what to judge")
    parser.add_argument("-h", "--help", action="store_true", help="print this, or with STAGE the fields of its request")
    return parser


def main(arguments: list[str] | None = None, stdin: BinaryIO | None = None) -> int:
    """Judge one request; return the exit status."""
    asked = _parser().parse_args(arguments)
    if asked.help:
        sys.stdout.write(of_stage(asked.stage) if asked.stage else _parser().format_help() + of_stages(STAGES))
        return ACCEPTED
    if asked.stage is None:
        _parser().error("expected STAGE")
    module, function = STAGES[asked.stage]
    stage = getattr(importlib.import_module(f"client_sdk.conformance.{module}"), function)
    status, verdict = judge(stage, (stdin or sys.stdin.buffer).read(MAX_REQUEST + 1))
    sys.stdout.write(canonical_json(verdict).decode() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
