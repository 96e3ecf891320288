"""What an image says of access: one thing, or the gateway does not start."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from serving.access.settings import add_options, create_access, take_settings
from serving.access.tokens import TokenAccess
from serving.access.unrestricted import OpenAccess
from serving.errors import AccessError, RequestError
from serving.gateway.__main__ import read_config
from tests.serving.access.issuing import BUILT, KEY, NOW, OTHER, bearer, by_tokens, token


def create(settings):
    return create_access(settings, models=frozenset({"m"}), callers=10)


def test_the_two_controls(tmp_path):
    assert isinstance(create(by_tokens(tmp_path)), TokenAccess)
    assert isinstance(create(by_tokens(tmp_path, kind="open", keys=())), OpenAccess)


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("tokens without an issuer", {"keys": ()}),
        ("tokens for no service", {"service": ""}),
        ("open with an issuer", {"kind": "open"}),
        ("the same issuer twice", {"keys": (KEY, KEY)}),
        ("an instant that is none", {"after": "yesterday"}),
        ("an instant without a zone", {"after": "2027-01-31T12:00:00"}),
    ],
)
def test_an_image_that_contradicts_itself_serves_nobody(tmp_path, fault, changes):
    with pytest.raises(AccessError):
        create(by_tokens(tmp_path, **changes))


@pytest.mark.parametrize("name", ["issuers.pem", "clock-epoch"])
def test_an_image_that_lacks_a_file_serves_nobody(tmp_path, name):
    settings = by_tokens(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(AccessError):
        create(settings)


def test_the_day_of_the_image_and_the_instant_are_taken_from_it(tmp_path):
    judge = create(by_tokens(tmp_path, keys=(OTHER, KEY), after="2027-01-16T11:00:00Z"))  # before NOW
    assert judge.judge(bearer(token()), NOW)
    with pytest.raises(RequestError, match="clock_wrong"):
        judge.judge(bearer(token()), BUILT - 1)
    late = create(by_tokens(tmp_path, after="2027-01-18T00:00:00Z"))
    with pytest.raises(RequestError, match="token_revoked"):
        late.judge(bearer(token()), NOW)


OPTIONS = ["--access", "open", "--issuers", "/i", "--built", "/b", "--audience=", "--issued-after="]


def parsed(options):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return take_settings(vars(parser.parse_args(options)))


@pytest.mark.parametrize(("kind", "service"), [("open", ""), ("tokens", "vitrine-prod")])
def test_the_gateway_takes_what_its_unit_says(kind, service):
    root = Path(__file__).resolve().parents[3]
    unit = (root / "roles/gateway/files/tree/usr/lib/systemd/system/vitrine-gateway.service.j2").read_text()
    told = {"gateway_port": "8443", "name": "m", "model.name": "m", "model.engine": "vllm"}
    told |= {"gateway_access": kind, "gateway_token_service": service, "gateway_tokens_issued_after": ""}
    told |= {f"'' if gateway_{name} | bool else 'no-'": "" for name in ("shaping", "metrics")}
    told["[64, 2 * (engine_models | map(attribute='slots') | sum)] | max"] = "100"
    (line,) = re.findall(r"^ExecStart=\S+ -S -P -m serving.gateway (.*)$", unit, re.MULTILINE)
    line = re.sub(r"\{% .*? %\}", "", line)  # one model's turn of the loop
    config = read_config(shlex.split(re.sub(r"\{\{ (.+?) \}\}", lambda found: told[found[1]], line)), {})
    assert config.requests == 100
    assert (config.access.access, config.access.audience, config.access.issued_after) == (kind, service, "")
    assert (str(config.access.issuers), str(config.access.built)) == (
        "/usr/lib/vitrine/token-issuers.pem",
        "/usr/lib/clock-epoch",
    )
    assert (root / f"roles/gateway/files/tree{config.access.issuers}.j2").is_file()


def test_the_options_of_the_controls_are_all_of_them():
    assert parsed(OPTIONS).access == "open"


@pytest.mark.parametrize("missing", ["--access", "--issuers", "--built", "--audience=", "--issued-after="])
def test_nothing_is_open_by_omission(missing, capsys):
    at = OPTIONS.index(missing)
    with pytest.raises(SystemExit):
        parsed(OPTIONS[:at] + OPTIONS[at + (1 if "=" in missing else 2) :])
