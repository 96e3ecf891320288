"""`python -m tests.report_picture`: draw docs/report.png, the page of an accepted report of a simulated VM."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from client_sdk.page import Heading, render
from client_sdk.policy import SimulatedPlatform
from tests.fakes.browser import screenshot
from tests.fakes.reports import ORIGIN, judged
from tests.fakes.simulated_vm import default_ca

PICTURE = Path(__file__).resolve().parent.parent / "docs/report.png"
SIZE = (1100, 1710)
SCALE = 0.8


def main() -> None:
    """Render the page, and take its upper part as a picture."""
    policy = SimulatedPlatform(tpm_ca=default_ca().pem)
    heading = Heading(ORIGIN, policy.name, datetime(2026, 1, 31, 12, 0, tzinfo=UTC), simulated=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_bytes(render(judged().report, heading))
        screenshot(page, PICTURE, Path(folder) / "profile", size=SIZE, scale=SCALE)
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
