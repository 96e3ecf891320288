"""The filters over ``engine_models``, as the roles use them; tests/roles has them run by Ansible itself."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible.template import trust_as_template

PLUGIN = Path(__file__).resolve().parents[2] / "plugins/filter/models.py"
FILTERS = runpy.run_path(str(PLUGIN))["FilterModule"]().filters()
MODEL = {"name": "m", "engine": "llamacpp", "context": 512, "slots": 40}
OVER_MODELS = sorted({*FILTERS} - {"model_faults"})


def test_what_the_roles_are_told():
    assert FILTERS["model_faults"]([MODEL]) == []
    assert FILTERS["engine_units"]([MODEL]) == {"vitrine-engine-llamacpp@m.service": "multi-user.target"}
    assert FILTERS["gateway_words"]([MODEL]) == "--model m=llamacpp:512:/run/vitrine/engine/m/engine.sock --requests 80"
    assert FILTERS["requests_at_once"]([MODEL]) == 80


def test_a_text_of_ansibles_own_kind_is_a_text():
    name = trust_as_template("m")
    assert type(name) is not str
    assert FILTERS["model_faults"]([MODEL | {"name": name}]) == []


@pytest.mark.parametrize("told", [None, "m", [], [MODEL, MODEL], [MODEL | {"slots": "40"}], [MODEL | {"slots": True}]])
def test_faults_are_sentences_and_no_unit_is_made_of_them(told):
    faults = FILTERS["model_faults"](told)
    assert all(fault.startswith("engine_models") and ", got " in fault for fault in faults)
    assert faults
    for name in OVER_MODELS:
        with pytest.raises(AnsibleFilterError, match="engine_models"):
            FILTERS[name](told)
