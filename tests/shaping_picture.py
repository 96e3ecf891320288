"""``python -m tests.shaping_picture [ROUNDS]``: measure what an observer sees of answers; draw docs/shaping.svg."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.compat.stand import INSIDE, REPOSITORY, python_in_tree

PAGE = REPOSITORY / "docs/shaping.svg"
COLOURS = ("#2a6f97", "#c8553d")
WIDTH, HEIGHT, LEFT, TOP = 380, 150, 50, 62
# Of a record: its length in bytes, and the time since the one before. Each: how to read it, the range, the marks.
SCALES = {
    "unshaped: length of a record, bytes": (lambda record: record[1], 0, 240, 40),
    "unshaped: time since the record before, ms": (lambda record: record[0] * 1000, 0, 320, 80),
    "shaped: length of a record, bytes": (lambda record: record[1], 0, 4800, 1200),
    "shaped: time since the record before, ms": (lambda record: record[0] * 1000, 0, 320, 80),
}
BARS = 40


def histogram(values, low, high):
    """Return the share of values in each of the bars; what lies beyond is in the last."""
    counts = [0] * BARS
    for value in values:
        counts[max(0, min(BARS - 1, int((value - low) / (high - low) * BARS)))] += 1
    return [count / max(1, len(values)) for count in counts]


def panel(x, y, kinds, scale):
    """Draw one panel: a histogram of each kind, beside each other."""
    read, low, high, step = SCALES[scale]
    bar = WIDTH / BARS
    parts = [f'<text x="{x}" y="{y - 10}" class="t">{scale}</text>']
    parts.append(f'<path d="M{x} {y}v{HEIGHT}h{WIDTH}" class="a"/>')
    for n, records in enumerate(kinds.values()):
        for i, share in enumerate(histogram([read(record) for record in records], low, high)):
            if share:
                tall = max(1, share * HEIGHT)
                at = x + i * bar + n * bar / 2
                box = f'x="{at:.1f}" y="{y + HEIGHT - tall:.1f}" width="{bar / 2 - 0.5:.1f}" height="{tall:.1f}"'
                parts.append(f'<rect {box} fill="{COLOURS[n]}"/>')
    for value in range(low, high + 1, step):
        at = x + (value - low) / (high - low) * WIDTH
        parts.append(f'<text x="{at:.1f}" y="{y + HEIGHT + 14}" class="n">{value}</text>')
    return [*parts, f'<text x="{x - 6}" y="{y + 8}" class="n e">100 %</text>']


def draw(found):
    """Draw what was measured."""
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 470" font-family="sans-serif">']
    parts.append(
        "<style>.t{font-size:13px}.n{font-size:10px;text-anchor:middle}.e{text-anchor:end}.a{fill:none;stroke:#555}</style>"
    )
    parts.append('<rect width="900" height="470" fill="#fff"/>')
    for n, kind in enumerate(found["shaped"]):
        parts.append(f'<rect x="{LEFT + n * 200}" y="14" width="11" height="11" fill="{COLOURS[n]}"/>')
        parts.append(f'<text x="{LEFT + 16 + n * 200}" y="24" class="t">{kind}</text>')
    for n, scale in enumerate(SCALES):
        parts += panel(LEFT + n % 2 * 450, TOP + n // 2 * 215, found[scale.split(":")[0]], scale)
    return "\n".join([*parts, "</svg>", ""])


def main():
    rounds = sys.argv[1] if len(sys.argv) > 1 else "20"
    with tempfile.TemporaryDirectory() as folder:
        for name in ("source", "engine"):
            (Path(folder) / name).mkdir()
        command = python_in_tree(Path(folder), f"tests.serving.measure_shape {rounds}")
        done = subprocess.run(command, env=INSIDE, capture_output=True, text=True, check=True, timeout=600)
    PAGE.write_text(draw(json.loads(done.stdout)))


if __name__ == "__main__":
    main()
