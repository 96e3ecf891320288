"""Benchmark models on questions that must not become public.

Whoever is sent a benchmark may train on it. Here the questions go to verified machines alone.

QUESTIONS is a file with one JSON object a line: `question`, and `answers`, one of which has to occur in what the model
says. Each model of the service is asked each question; the table says how many it got right, how long an answer took,
and its tokens.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI, OpenAIError

from client_sdk import AttestationError
from examples.service import connect, parser


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and words of which one is in each right answer."""

    text: str
    answers: tuple[str, ...]

    def is_answered_by(self, said: str) -> bool:
        """Tell whether an answer holds one of the words, however it is spelled."""
        return any(answer.casefold() in said.casefold() for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one question; times are seconds."""

    right: bool
    seconds: float
    tokens: int


def read(path: Path) -> tuple[Question, ...]:
    """Read the questions.

    Raises:
        ValueError: the file has another form, or no question.
    """
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path} has no question")
    return tuple(Question(str(line["question"]), tuple(map(str, line["answers"]))) for line in lines)


def ask(client: OpenAI, model: str, question: Question, *, max_tokens: int) -> Asked:
    """Ask one model one question, and look at the answer."""
    began = time.monotonic()
    messages = [{"role": "user", "content": question.text}]
    answer = client.chat.completions.create(model=model, messages=messages, max_tokens=max_tokens, temperature=0)
    said = answer.choices[0].message.content or ""
    tokens = answer.usage.completion_tokens if answer.usage else 0
    return Asked(question.is_answered_by(said), time.monotonic() - began, tokens)


def row(model: str, asked: list[Asked]) -> str:
    """Sum up a model in one line of the table."""
    right = sum(one.right for one in asked)
    seconds = statistics.median(one.seconds for one in asked)
    return f"{model:<32} {right:>5} / {len(asked):<5} {seconds:>8.1f} {sum(one.tokens for one in asked):>8}"


def main() -> int:
    """Print the table; the exit status is 1 where the service is refused, or does not answer."""
    options = parser(__doc__)
    options.add_argument("questions", type=Path)
    options.add_argument("--max-tokens", type=int, default=64)
    told = options.parse_args()
    questions = read(told.questions)
    try:
        with connect(told) as client:
            print(f"{'model':<32} {'right':>5}   {'of':<5} {'median s':>8} {'tokens':>8}")
            for model in client.models.list():
                asked = [ask(client, model.id, question, max_tokens=told.max_tokens) for question in questions]
                print(row(model.id, asked))
    except (AttestationError, OpenAIError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
