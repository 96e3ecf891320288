"""What the attester may refuse with is what the gateway has a status for: neither more nor less."""

from __future__ import annotations

import ast
from pathlib import Path

import serving.attest
from serving.gateway.attester import STATUS

FOLDER = Path(serving.attest.__file__).parent


def test_every_code_of_the_attester_has_a_status_and_no_other_is_known():
    calls = [
        node
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"RequestError", "error_line"}
    ]
    codes = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert codes == STATUS.keys()
    assert not [ast.unparse(call) for call in calls if "status" in {keyword.arg for keyword in call.keywords}]
