"""The last look at a tree before it is sealed: remove the traces of the bake, then refuse what must not be in it."""

from provisioner.gate.clean import clean
from provisioner.gate.refuse import refuse

__all__ = ["clean", "refuse"]
