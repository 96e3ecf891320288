"""One harness: a group of targets under atheris. ``python -m tests.fuzz.run GROUP FOLDER [libFuzzer's flags]``.

The first byte of an input chooses the target. What raises something else than it may is written to ``findings`` in
FOLDER, one input for each kind and place of error, and fuzzing goes on; ``corpus`` grows there from run to run. In the
groups of stages every signature is taken for good: behind a check that no mutation passes nothing would ever be tried.
The real checks are what the tests are for.
"""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from pathlib import Path

import atheris

# What stands in for the checks of signatures, by module and name.
SIGNATURES = {
    "verify.chain.verify_signed": lambda *_: None,
    "verify.crl.verify_signed": lambda *_: None,
    "verify.tdx.signature_verdict": lambda *_: "valid",
    "verify.tdx_collateral.signature_verdict": lambda *_: "valid",
    "verify.snp._signature": lambda *_: None,
    "verify.quote._signature": lambda *_: None,
    "verify.nvidia.verify_signed": lambda *_, **__: None,
    "verify.rim.verify_signature": lambda *_, **__: None,
    "verify.ocsp._signer": lambda _response, candidates: candidates[0],
    "dsse._signature_of": lambda envelope, *_: next(iter(envelope.signatures), None),
    "transparency.formats.note._verified": lambda signature, key, _: _time(signature.data, key.kind),
}
SHOWN_FRAMES = 3
COSIGNATURE = 0x04


def _time(data: bytes, kind: int) -> int | None:
    """Return what a witness's signature says of when it was made."""
    return int.from_bytes(data[:8], "big") % 2**63 if kind == COSIGNATURE else None


def load(group: str):
    """Import the targets of a group with the client's code instrumented."""
    with atheris.instrument_imports(include=["client_sdk"]):
        from tests.fuzz.parsers import PARSERS
        from tests.fuzz.real import real_inputs
        from tests.fuzz.stages import stage_targets
    if group in PARSERS:
        return PARSERS[group], real_inputs()
    targets = stage_targets()[group]
    for name, stand_in in SIGNATURES.items():
        module, _, function = name.rpartition(".")
        code = importlib.import_module(f"client_sdk.{module}")
        assert hasattr(code, function), name
        setattr(code, function, stand_in)
    return targets, {}


def corpus(targets, real, folder: Path) -> None:
    """Write the seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, target in enumerate(targets):
        seeds = [*target.seeds, *(data for role in target.roles for data in sorted(real.get(role, ())))]
        for index, seed in enumerate(seeds):
            (folder / f"{number:02}-{index:03}").write_bytes(bytes([number]) + seed)


def place_of(error: Exception) -> str:
    """Name a kind of finding: its type and the last lines of code that it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-SHOWN_FRAMES:]
    return "-".join([type(error).__name__, *(f"{Path(frame.filename).stem}.{frame.lineno}" for frame in frames)])


def main() -> None:
    """Fuzz until libFuzzer's limits are reached; warnings are errors, as in the tests."""
    group, folder = sys.argv[1], Path(sys.argv[2])
    findings, seeds, grown = folder / "findings", folder / "seeds", folder / "corpus"
    from tests.fuzz.target import outcome

    targets, real = load(group)
    corpus(targets, real, seeds)
    for needed in (findings, grown):
        needed.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("error")

    def once(data: bytes) -> None:
        target = targets[(data[0] if data else 0) % len(targets)]
        try:
            outcome(target, data[1:])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            path = findings / f"{target.name.replace(' ', '-')}-{place_of(error)}"
            if not path.exists():
                path.write_bytes(data[1:])
                path.with_name(f"{path.name}.txt").write_text("".join(traceback.format_exception(error)))

    atheris.Setup([sys.argv[0], *sys.argv[3:], f"-artifact_prefix={findings}/", str(grown), str(seeds)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
