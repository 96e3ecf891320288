"""What a scale set's next machine is made from may have a door as well; its machines of now have none."""

from __future__ import annotations

import pytest

from tests.fakes.azure.effects import SET
from tests.fakes.cloud_api import Fault
from tests.provisioner.clouds.azure.conftest import GONE

MODELS = {
    "an extension": ({"extensionProfile": {"extensions": [{"name": "CustomScript"}]}}, "extensionProfile"),
    "boot diagnostics": ({"diagnosticsProfile": {"bootDiagnostics": {"enabled": True}}}, "diagnosticsProfile"),
    "user data": ({"userData": "eA=="}, "userData"),
    "a login": ({"osProfile": {"adminUsername": "root"}}, "osProfile"),
    "applications": ({"applicationProfile": {"galleryApplications": [{"order": 1}]}}, "applicationProfile"),
    "no confidential VM": ({"securityProfile": {"securityType": "TrustedLaunch"}}, "securityProfile.securityType"),
}


@pytest.mark.parametrize("model", MODELS)
def test_a_set_whose_next_machine_would_have_a_door(azure, deployed, model):
    azure.arm.restore(deployed(2))
    changed, said = MODELS[model]
    azure.thing(SET).properties["virtualMachineProfile"] |= changed
    (door,) = azure.session().open_doors("toy", 8443)
    assert door.startswith(f"toy: the set has properties.virtualMachineProfile.{said} (")


def test_a_set_with_an_identity(azure, deployed):
    azure.arm.restore(deployed(2))
    azure.thing(SET).body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {"x": {}}}
    assert azure.session().open_doors("toy", 8443) == (
        "toy: the set has an identity (UserAssigned): az vmss identity remove",
    )


def test_a_set_that_goes_away_between_the_list_and_the_look_has_no_doors(azure, deployed):
    """An older set whose deletion an interrupted rollout had asked for."""
    azure.arm.restore(deployed(2))
    azure.api.faults.append(Fault(lambda call: call.query.get("$expand") == "userData" and "Sets/" in call.path, GONE))
    assert azure.session().open_doors("toy", 8443) == ()
    assert azure.api.faults[0].times == 0, "the set was not looked at"
