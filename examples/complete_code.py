"""Complete a place in a code base that must not leave the house.

FILE has a line with the mark (`# COMPLETE`). What stands before it, and as much of the other Python files of FOLDER as
fits, goes to a verified machine. What comes back is shown as a patch: nothing is written, and nothing is run. Read it
before you take it.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from openai import OpenAI, OpenAIError

from client_sdk import AttestationError
from examples.service import connect, parser

MARK = "# COMPLETE"


def gathered(folder: Path, file: Path, *, room: int) -> str:
    """Return the other files of the code base, the shortest first, as far as there is room for whole ones.

    Only files below the folder count, links are not followed, and what begins with a dot stays out.
    """
    others = [
        path
        for path in folder.rglob("*.py")
        if path.is_file()
        and not path.is_symlink()
        and path.resolve() != file.resolve()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    pieces = []
    for path in sorted(others, key=lambda one: (one.stat().st_size, one)):
        piece = f"# {path.relative_to(folder)}\n{path.read_text(encoding='utf-8')}\n"
        if len(piece) > room:
            break
        pieces.append(piece)
        room -= len(piece)
    return "".join(pieces)


def split(text: str) -> tuple[str, str, str]:
    """Return what stands before the mark's line, the line's indentation, and what stands behind.

    Raises:
        ValueError: there is not exactly one such line.
    """
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if line.strip() == MARK]
    if len(places) != 1:
        raise ValueError(f"expected one line {MARK!r}, found {len(places)}")
    (place,) = places
    indentation = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
    return "".join(lines[:place]), indentation, "".join(lines[place + 1 :])


def completed(client: OpenAI, model: str, prompt: str, *, max_tokens: int) -> str:
    """Return what the model would write, up to the next definition."""
    answer = client.completions.create(
        model=model, prompt=prompt, max_tokens=max_tokens, temperature=0, stop=["\ndef ", "\nclass ", "\n\n\n"]
    )
    return answer.choices[0].text


def patch(name: str, before: str, after: str) -> str:
    """Return the change as a unified diff."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(lines)


def main() -> int:
    """Print the patch; the exit status is 1 where the service is refused, or does not answer."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("file", type=Path, help="within the folder")
    options.add_argument("--model", help="without it, the service's first")
    options.add_argument("--max-tokens", type=int, default=128)
    options.add_argument("--room", type=int, default=4000, help="how many characters the model may be given")
    told = options.parse_args()
    path = told.folder / told.file
    text = path.read_text(encoding="utf-8")
    before, indentation, behind = split(text)
    prompt = gathered(told.folder, path, room=told.room - len(before)) + f"# {told.file}\n{before}{indentation}"
    try:
        with connect(told) as client:
            model = told.model or client.models.list().data[0].id
            written = completed(client, model, prompt, max_tokens=told.max_tokens)
    except (AttestationError, OpenAIError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(patch(str(told.file), text, f"{before}{indentation}{written.rstrip()}\n{behind}"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
