"""The deployment's own certificates, as the inventory of a cloud names them.

The image is signed by the deployment's own key, so a cloud's firmware has to hold that key's certificate, or nothing
boots. An inventory that says ``secure_boot: true`` and no more means these.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from provisioner.errors import Fault, SpecError
from provisioner.secure_boot.keys import NAMES, Keys, load_or_create_keys
from provisioner.secure_boot.signed import FOLDER, KEYS

GCP_FILES: Mapping[str, str] = {f"secure_boot_{name}": name for name in NAMES}
AZURE_LIST = "secure_boot_certificates"


def keys_folder(root: Path) -> Path:
    """Name the folder of a deployment's keys."""
    return root.resolve() / FOLDER / KEYS


def are_made(root: Path) -> bool:
    """Tell whether the keys are there."""
    return all((keys_folder(root) / f"{name}.crt").is_file() for name in NAMES)


@contextmanager
def named(variables: Mapping[str, Any], root: Path, *, pretend: bool) -> Iterator[Mapping[str, Any]]:
    """Yield an inventory's variables with the certificates named that Secure Boot needs; whatever else as it is.

    ``pretend``: where the keys are not made yet, others stand in for as long as this lasts. For plans alone: nobody
    has them afterwards.

    Raises:
        SpecError: the inventory names certificates of its own, the keys are not there, or not what they should be.
    """
    cloud = variables.get("cloud")
    if variables.get("secure_boot") is not True or cloud not in ("gcp", "azure"):
        yield variables
        return
    with tempfile.TemporaryDirectory(prefix="vitrine-") as stand_in:
        made = are_made(root)
        if not made and not pretend:
            raise SpecError((Fault(str(keys_folder(root)), "the keys that sign the image", "nothing"),))
        folder = keys_folder(root) if made else Path(stand_in)
        keys = load_or_create_keys(folder)
        if fault := _others(variables, keys, keys_folder(root)):
            raise SpecError((fault,))
        yield {**variables, **_named(str(cloud), folder)}


def _named(cloud: str, folder: Path) -> dict[str, Any]:
    if cloud == "gcp":
        return {key: str(folder / f"{name}.crt") for key, name in GCP_FILES.items()}
    return {AZURE_LIST: [(folder / "db.crt").read_text(encoding="ascii")]}


def _others(variables: Mapping[str, Any], keys: Keys, folder: Path) -> Fault | None:
    """Return the first certificate that an inventory names and that is not the deployment's own."""
    for key, name in GCP_FILES.items():
        if key in variables and _der(_content(variables[key])) != getattr(keys, name).der:
            wanted = f"nothing, or {folder / f'{name}.crt'}: no other certificate signs the image"
            return Fault(key, wanted, f"{variables[key]}, which is not the certificate that signs")
    if texts := variables.get(AZURE_LIST):
        given = [_der(str(text).encode()) for text in texts] if isinstance(texts, list | tuple) else []
        if given != [keys.db.der]:
            wanted = f"nothing, or that of {folder / 'db.crt'} alone: no other certificate signs the image"
            return Fault(AZURE_LIST, wanted, "something that is not the certificate that signs")
    return None


def _content(path: object) -> bytes:
    try:
        return Path(str(path)).read_bytes()
    except OSError:
        return b""


def _der(raw: bytes) -> bytes:
    """Return a certificate as DER; whatever is none as nothing, which equals no certificate."""
    from_pem = b"-----BEGIN" in raw
    try:
        found = x509.load_pem_x509_certificate(raw) if from_pem else x509.load_der_x509_certificate(raw)
    except ValueError:
        return b""
    return found.public_bytes(Encoding.DER)
