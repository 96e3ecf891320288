"""``python -m provisioner.measure DIR``: print what a boot of these artefacts measures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from provisioner.errors import MeasureError
from provisioner.measure.prediction import PHASES, Prediction, explain, predict


def main(arguments: list[str] | None = None) -> int:
    """Print the prediction; return 0, or 1 with the reason on standard error."""
    options = _parser().parse_args(arguments)
    try:
        prediction = predict(options.artefacts, phases=tuple(filter(None, options.phases.split(":"))))
    except MeasureError as error:
        sys.stderr.write(f"measure: {error}\n")
        return 1
    sys.stdout.write(_render(prediction, as_json=options.json, with_events=options.explain) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m provisioner.measure", description=__doc__)
    parser.add_argument("artefacts", type=Path, help="folder with uki.efi and boot.raw")
    parser.add_argument("--phases", default=":".join(PHASES), help="boot phases, separated by colons")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--explain", action="store_true", help="print the events of every PCR")
    return parser


def _render(prediction: Prediction, *, as_json: bool, with_events: bool) -> str:
    if as_json:
        return json.dumps(prediction.to_json(), indent=1, sort_keys=True)
    if with_events:
        return explain(prediction)
    lines = [f"authenticode {prediction.authenticode.hex()}"]
    lines += [f"pcr {pcr:>2}       {value.hex()}" for pcr, value in prediction.pcrs.items()]
    lines += [f"rtmr {index:>2}      {value.hex()}" for index, value in prediction.rtmrs.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
