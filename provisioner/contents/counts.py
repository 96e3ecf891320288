"""How many packages there are of an image: three numbers are told of it, and here is in words what each counts.

A manifest names what was installed into the root, and the tools that built the image. A bill of materials names what is
left in the image: all that is in the root, and those tools of which files are in initrd or UKI. Wheels are counted
apart, since nothing of Debian's knows them.
"""

from __future__ import annotations

from client_sdk.manifest import Manifest
from provisioner.contents.bill import Bill
from provisioner.contents.entry import PartName


def of_manifest(manifest: Manifest) -> str:
    """Say how many packages a manifest names, by where they are."""
    inside = f"{len(manifest.packages)} of Debian and {len(manifest.wheels)} from PyPI in the root"
    return f"{inside}; {len(manifest.tools)} of Debian built the image"


def of_bill(bill: Bill) -> str:
    """Say how many of Debian's packages a bill of materials names, by where they are."""
    root = sum(PartName.ROOT in package.where for package in bill.packages)
    gone = sum(package.is_gone for package in bill.packages)
    left = f" (of {gone} nothing but the licence is left)" if gone else ""
    beside = len(bill.packages) - root
    more = f", and {beside} in initrd or UKI alone" if beside else ""
    return f"{len(bill.packages)} of Debian {bill.suite}: {root} in the root{left}{more}"


def of_both(manifest: Manifest, bill: Bill) -> str:
    """Say all of it, of an image of which both are at hand."""
    wheels = f"{len(manifest.wheels) or 'none'} from PyPI"
    built = f"{len(manifest.tools)} of Debian built the image, which the manifest names as its tools"
    return f"{of_bill(bill)}; {wheels}. {built}"
