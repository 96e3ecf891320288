"""The operator's own Secure Boot keys, as an inventory for Azure has them: certificates in PEM."""

from __future__ import annotations

from provisioner.clouds.certificate import encoded

_EXPECTED = "a list of X.509 certificates in PEM, one a text"


def expected_certificates(value: object) -> str | None:
    """Return what was expected where a value is no list of certificates, else None."""
    if not isinstance(value, list | tuple):
        return _EXPECTED
    try:
        for text in value:
            if not isinstance(text, str):
                return _EXPECTED
            encoded(text.encode())
    except ValueError:
        return _EXPECTED
    return None
