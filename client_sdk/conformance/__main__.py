"""``python -m client_sdk.conformance STAGE``: judge one JSON request from standard input, print the verdict as JSON.

Exit status: 0 accepted · 10 refused · 30 malformed input · 2 usage · 1 internal error.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Any, BinaryIO

from client_sdk.conformance.request import MAX_REQUEST, Request, Stage
from client_sdk.encoding import canonical_json
from client_sdk.errors import AttestationError, EvidenceError, PolicyError, VerificationError
from client_sdk.report import Ledger, plain

ACCEPTED, INTERNAL, REFUSED, MALFORMED = 0, 1, 10, 30
# Stage → the module that judges it (loaded alone: a suite starts one process a case) and the function in it.
STAGES = {
    "snp": ("snp", "report"),
    "snp-cert": ("snp", "certificate"),
    "tdx": ("tdx", "quote"),
    "ccel": ("tdx", "ccel"),
    "tpm-quote": ("tpm", "quote"),
    "event-log": ("tpm", "event_log"),
    "azure-hcl": ("azure", "hcl"),
    "azure-ak": ("azure", "ak"),
    "gce-ak": ("gce", "ak"),
    "nvidia-gpu": ("nvidia", "gpu"),
    "nvidia-rim": ("nvidia", "rim"),
}


def judge(stage: Stage, data: bytes) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the verdict."""
    ledger = Ledger()
    try:
        facts = stage(Request.read(data), ledger)
    except EvidenceError as error:
        return MALFORMED, {"verdict": "malformed", "where": error.where, "message": str(error)}
    except VerificationError as error:
        return REFUSED, _refused(ledger, [error.rule], str(error))
    except PolicyError as error:
        return REFUSED, _refused(ledger, [failure.clause.partition(":")[0] for failure in error.failures], str(error))
    except AttestationError as error:
        return REFUSED, _refused(ledger, [], str(error))
    return ACCEPTED, {"verdict": "accepted", "checks": _checks(ledger), "facts": plain(facts)}


def _refused(ledger: Ledger, rules: list[str], message: str) -> dict[str, Any]:
    return {"verdict": "refused", "rules": rules, "message": message, "checks": _checks(ledger)}


def _checks(ledger: Ledger) -> list[dict[str, str]]:
    return [check.as_dict() for check in ledger.checks]


def main(arguments: list[str] | None = None, stdin: BinaryIO | None = None) -> int:
    """Judge one request; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m client_sdk.conformance", description=__doc__)
    parser.add_argument("stage", choices=sorted(STAGES))
    module, function = STAGES[parser.parse_args(arguments).stage]
    stage = getattr(importlib.import_module(f"client_sdk.conformance.{module}"), function)
    status, verdict = judge(stage, (stdin or sys.stdin.buffer).read(MAX_REQUEST + 1))
    sys.stdout.write(canonical_json(verdict).decode() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
