"""Turn medical letters into data of one form.

Each text file of FOLDER is sent to a verified machine, which must answer in the form of SCHEMA, and each answer is
checked against what was asked for. Standard output gets one JSON object a letter. The letters that come with this
example are made up.

The form of an answer is certain; that it is *true* is not: a small model invents. Have somebody read it who knows the
letter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from openai import OpenAI, OpenAIError

from client_sdk import AttestationError
from examples.service import connect, parser

MEDICINE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 24},
        "daily": {"type": "integer", "minimum": 1, "maximum": 6},
    },
    "required": ["name", "daily"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "department": {"enum": ["surgery", "cardiology", "neurology", "other"]},
        "medicines": {"type": "array", "items": MEDICINE, "maxItems": 2},
    },
    "required": ["age", "department", "medicines"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "letter", "schema": SCHEMA, "strict": True}}
TASK = "Fill in the form from this letter."


class AnswerError(Exception):
    """The model did not finish, or said what the form does not allow."""


def structured(client: OpenAI, model: str, letter: str, *, max_tokens: int) -> dict[str, Any]:
    """Return what a letter says, in the form of the schema.

    Raises:
        AnswerError: it is cut off, or not of that form.
    """
    messages = [{"role": "system", "content": TASK}, {"role": "user", "content": letter}]
    answer = client.chat.completions.create(
        model=model, messages=messages, response_format=FORMAT, max_tokens=max_tokens, temperature=0
    )
    choice = answer.choices[0]
    if choice.finish_reason != "stop":
        raise AnswerError(f"the answer is not complete ({choice.finish_reason}): allow more tokens")
    try:
        found = json.loads(choice.message.content or "")
    except ValueError as error:
        raise AnswerError("the answer is no JSON") from error
    return checked(found)


def checked(found: Any) -> dict[str, Any]:
    """Hold an answer to the form: a service's word that it kept to it is worth a look.

    Raises:
        AnswerError: something is missing, or more than was asked for, or of another kind.
    """
    if not isinstance(found, dict) or set(found) != set(SCHEMA["required"]):
        raise AnswerError("the answer has other fields than the form")
    medicines = found["medicines"]
    as_asked = (
        type(found["age"]) is int and 0 <= found["age"] <= 120,
        found["department"] in SCHEMA["properties"]["department"]["enum"],
        isinstance(medicines, list) and len(medicines) <= 2 and all(map(_is_medicine, medicines)),
    )
    if not all(as_asked):
        raise AnswerError("a field is not of the form's kind")
    return found


def _is_medicine(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != set(MEDICINE["required"]):
        return False
    name, times = value["name"], value["daily"]
    return isinstance(name, str) and len(name) <= 24 and type(times) is int and 1 <= times <= 6


def main() -> int:
    """Print a line for each letter; the exit status is 1 where one was left over, or the service is refused."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--model", help="without it, the service's first")
    options.add_argument("--max-tokens", type=int, default=256)
    told = options.parse_args()
    failed = 0
    try:
        with connect(told) as client:
            model = told.model or client.models.list().data[0].id
            for path in sorted(told.folder.glob("*.txt")):
                try:
                    found = structured(client, model, path.read_text(encoding="utf-8"), max_tokens=told.max_tokens)
                except AnswerError as error:
                    print(f"{path.name}: {error}", file=sys.stderr)
                    failed += 1
                else:
                    print(json.dumps({"letter": path.name, **found}))
    except (AttestationError, OpenAIError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
