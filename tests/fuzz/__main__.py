"""`make fuzz SECONDS=600`: every harness for its share of the time, then what was found (docs/fuzzing.md).

A finding is saved with its input under build/fuzz/<group>/findings and makes the exit status 1; so does a harness that
ends in another way than by its time, for example by a hang or for want of memory.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "fuzz"
GROUPS = (
    *("certificates", "tpm", "logs", "snp", "tdx", "azure", "nvidia", "transparency"),
    *("stages-snp", "stages-tdx", "stages-tpm", "stages-nvidia", "stages-release"),
)
TIMEOUT_SECONDS, MEMORY_MB, MAX_LENGTH = 10, 2048, 65536
_COVERAGE = re.compile(r"#\d+\s+(INITED|DONE)\s+cov: (\d+) ft: (\d+)")
_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


def fuzz(group: str, seconds: int) -> tuple[str, int]:
    """Run one harness; return its line of the table and the number of findings."""
    folder = BUILD / group
    findings = folder / "findings"
    shutil.rmtree(folder / "seeds", ignore_errors=True)
    findings.mkdir(parents=True, exist_ok=True)
    limits = (f"-timeout={TIMEOUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={MAX_LENGTH}")
    command = [sys.executable, "-m", "tests.fuzz.run", group, str(folder), *limits]
    command += [f"-max_total_time={seconds}", "-print_final_stats=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    (folder / "log.txt").write_text(done.stderr)
    coverage = {word: f"{cov} / {features}" for word, cov, features in _COVERAGE.findall(done.stderr)}
    executions = _EXECUTIONS.findall(done.stderr)
    inputs = [path for path in findings.iterdir() if path.suffix != ".txt"]
    broken = 0 if done.returncode == 0 and executions else 1
    growth = f"{coverage.get('INITED', '?'):>14} {coverage.get('DONE', '?'):>14}"
    line = f"{group:16} {int(executions[-1]) if executions else 0:>11} {growth} {len(inputs):>9}"
    return line + (f"  ended with status {done.returncode}: {folder}/log.txt" if broken else ""), len(inputs) + broken


def main() -> int:
    """Run the harnesses one after another; print what each did."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="for all harnesses together")
    parser.add_argument("groups", nargs="*", metavar="group", help=f"of {', '.join(GROUPS)}; all by default")
    asked = parser.parse_args()
    if unknown := set(asked.groups) - set(GROUPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    groups = asked.groups or GROUPS
    print(f"{'harness':16} {'executions':>11} {'cov/ft before':>14} {'after':>14} {'findings':>9}", flush=True)
    found = 0
    for group in groups:
        line, findings = fuzz(group, max(1, asked.seconds // len(groups)))
        print(line, flush=True)
        found += findings
    print(f"findings: {found}" + (f", saved under {BUILD}" if found else ""))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
