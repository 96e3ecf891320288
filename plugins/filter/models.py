"""Filters over ``engine_models``: what is wrong with it, and what the units are told of it."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from provisioner.errors import SpecError
from provisioner.models import read_models
from provisioner.units import engine_units, gateway_words, requests_at_once


def _plain(value):
    """Return Python's own kinds of list, mapping, text and number: Ansible's are read for exactly these."""
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    kinds = (bool, str, int, float)
    return next((kind(value) for kind in kinds if isinstance(value, kind)), value)


def model_faults(value):
    """Return what is wrong, each in a sentence."""
    try:
        read_models(_plain(value))
    except SpecError as error:
        return [str(fault) for fault in error.faults]
    return []


def _over_models(function):
    def filtered(value):
        try:
            return function(read_models(_plain(value)))
        except SpecError as error:
            raise AnsibleFilterError(str(error)) from None

    return filtered


class FilterModule:
    """What Ansible asks for by this name."""

    def filters(self):
        """Name the filters."""
        over = {
            function.__name__: _over_models(function) for function in (engine_units, gateway_words, requests_at_once)
        }
        return {"model_faults": model_faults, **over}
