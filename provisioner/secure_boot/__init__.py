"""UEFI Secure Boot with keys of the publisher's own: keys, enrolment, signature, and a boot disk that carries it."""

from __future__ import annotations

from provisioner.secure_boot.keys import Keys, load_or_create_keys
from provisioner.secure_boot.signed import SignedImage, sign_image, signed_image

__all__ = ["Keys", "SignedImage", "load_or_create_keys", "sign_image", "signed_image"]
