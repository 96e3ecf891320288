"""One form for docstrings: errors in a block of their own, names in double backquotes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = [path for folder in ("provisioner", "plugins") for path in sorted((REPOSITORY / folder).rglob("*.py"))]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def faults(source):
    for node in ast.walk(ast.parse(source)):
        text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        if text is None:
            continue
        for line in re.findall(r"^.*\bRaises\b.*$", text, re.MULTILINE):
            if line != "Raises:":
                yield f"{getattr(node, 'name', 'module')}: {line}"
        for block in text.split("\nRaises:\n")[1:]:
            if not re.match(r" {4}\w+Error: \S", block):
                yield f"{getattr(node, 'name', 'module')}: Raises: without an error and when"
        yield from re.findall(r"(?<!`)`[^`\n]+`(?!`)", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_docstrings_have_one_form(path):
    assert list(faults(path.read_text())) == []


@pytest.mark.parametrize(
    "text",
    [
        "Do it. Raises CloudError.",
        "Do it.\n\n    Raises: CloudError when it cannot.\n    ",
        "Do it.\n\n    Raises:\n        CloudError:\n    ",
        "Do it to `name`.",
    ],
)
def test_another_form_would_be_noticed(text):
    assert list(faults(f'def do():\n    """{text}"""\n')) != []
