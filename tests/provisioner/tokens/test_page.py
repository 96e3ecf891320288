"""What docs/access.md says: its commands run as they stand, its figures are the code's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from client_sdk.access_token import HEADER, MAX_ISSUERS, MAX_MODELS, MAX_SECONDS, MAX_TOKEN, Claims, take_apart
from client_sdk.cli import main
from provisioner.tokens.command import DEFAULT_HOURS, DEFAULT_RATE, DEFAULT_TOKENS, MAX_HOURS

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs/access.md").read_text()
(BLOCK,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(line) for line in re.sub(r"\\\n\s*", " ", BLOCK).splitlines()]


def test_the_commands_work_one_after_the_other(tmp_path, capfd):
    """All but the question, which needs a machine: tests/e2e/test_docs.py asks it."""
    here = [[word.replace("build/local", str(tmp_path)) for word in words] for words in COMMANDS]
    ran = []
    for _, command, *words in here:
        if command != "token":
            continue
        given, sink = (words[:-2], words[-1]) if words[-2] == ">" else (words, None)
        assert main([command, *given]) == 0
        said = capfd.readouterr().out
        ran.append(words[0])
        if sink:
            Path(sink).write_text(said)
    assert ran == ["keygen", "issue", "show", "renew"]
    texts = [(tmp_path / name).read_text().strip() for name in ("alice.token", "alice.new.token")]
    first, second = (Claims.from_json(take_apart(text).payload) for text in texts)
    assert (first.subject, first.service) == (second.subject, "vitrine-local")


@pytest.mark.parametrize(
    "said",
    [
        f"`--hours`, {DEFAULT_HOURS}; at most {MAX_HOURS}",
        f"`--rate`, {DEFAULT_RATE}",
        f"`--tokens`, {DEFAULT_TOKENS:,}",
        f"at most {MAX_SECONDS // 86_400} days apart",
        f"At most {MAX_TOKEN:,} characters",
        f"at most {MAX_MODELS}",
        json.dumps(HEADER),
    ],
)
def test_the_figures_are_the_codes(said):
    assert said in PAGE


def test_the_number_of_issuers_is_the_codes():
    assert MAX_ISSUERS == 4
    assert "(at most four)" in PAGE


def test_every_claim_has_its_line():
    names = ("version", "iss", "aud", "sub", "jti", "iat", "exp", "models", "rate", "tokens")
    rows = "".join(re.findall(r"^\|.*$", PAGE, re.MULTILINE))
    assert [name for name in names if f"`{name}`" not in rows] == []


def test_the_codes_explained_are_those_that_refuse():
    """`model_not_found` is the gateway's own: a model that the token does not name looks like one that is not here."""
    source = (REPOSITORY / "serving/access/refusals.py").read_text()
    codes = set(re.findall(r'RequestError\(\s*"(\w+)"', source))
    rows = "".join(re.findall(r"^\| \d{3} \|(.*?)\|", PAGE, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == codes | {"model_not_found"}


def test_the_limits_of_the_gateway_are_those_on_the_page():
    limits = (REPOSITORY / "serving/gateway/limits.py").read_text()
    for name, spelled in (("callers", "65,536"), ("answer_tokens", "4,096")):
        (value,) = re.findall(rf"{name}: int = ([0-9_]+)", limits)
        assert f"{int(value):,}" == spelled
        assert spelled in PAGE
