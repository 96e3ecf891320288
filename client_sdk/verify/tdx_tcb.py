"""Which TCB level a TDX platform, its TDX module and its quoting enclave have reached, and the status that follows.

Source: Intel PCS API v4, "Get TDX TCB Info", on determining the status of a TDX TCB. Pure lookups in statements whose
signatures somebody else has checked. They judge nothing: a platform that no level covers has the status
:data:`NO_MATCH`, which is none of Intel's and says that Intel states nothing about it.

The platform's level is the first whose 16 SGX components, PCESVN and TDX components are all reached. Where the TDX
module has a version (``tee_tcb_svn[1] > 0``), TDX components 0 and 1 are left to the module's own levels, which are
looked up by that version and compared with ``tee_tcb_svn[0]``. The status of the whole is the worst of the three.

Intel's library calls an out-of-date TD whose *present* module (``tee_tcb_svn_2``) is current "TD relaunch advised";
here it stays out of date, which it is until it is started again.
"""

from __future__ import annotations

from collections.abc import Iterable

from client_sdk.parse.intel_collateral import ModuleIdentity, QeIdentity, SvnLevel, TcbInfo, TcbLevel
from client_sdk.parse.pck import Pck

UP_TO_DATE, NO_MATCH, REVOKED = "UpToDate", "NoMatch", "Revoked"
_OUT_OF_DATE, _BOTH = "OutOfDate", "OutOfDateConfigurationNeeded"
_CONFIGURATION = ("ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded")
# From the best to the worst; a status that Intel adds later is worse than those that are known.
STATUSES = (UP_TO_DATE, "SWHardeningNeeded", *_CONFIGURATION, _OUT_OF_DATE, _BOTH, NO_MATCH, REVOKED)
_RANKS = {status: rank for rank, status in enumerate(STATUSES)}


def platform_level(tcb: TcbInfo, pck: Pck, tee_tcb_svn: bytes) -> TcbLevel | None:
    """Return the first level that a platform reaches, or None where it reaches none."""
    first = 2 if tee_tcb_svn[1] else 0
    svns = pck.components + tee_tcb_svn[first:]
    for level in tcb.levels:
        if level.pce_svn <= pck.pce_svn and all(
            have >= need for have, need in zip(svns, level.sgx + level.tdx[first:], strict=True)
        ):
            return level
    return None


def module_identity(tcb: TcbInfo, tee_tcb_svn: bytes) -> ModuleIdentity | None:
    """Return the identity of a TDX module of this version, or None where Intel states none.

    The version in the id is hexadecimal, as Intel's own library reads it.
    """
    version = tee_tcb_svn[1]
    if not version:
        return tcb.module
    wanted = f"TDX_{version:02X}"
    return next((module for module in tcb.modules if module.id == wanted), None)


def svn_level(levels: tuple[SvnLevel, ...], isv_svn: int) -> SvnLevel | None:
    """Return the first level that an ISVSVN reaches, or None."""
    return next((level for level in levels if level.isv_svn <= isv_svn), None)


def module_level(tcb: TcbInfo, tee_tcb_svn: bytes) -> SvnLevel | None:
    """Return the level of a TDX module that has a version, or None where it reaches none or is not known."""
    identity = module_identity(tcb, tee_tcb_svn)
    return svn_level(identity.levels, tee_tcb_svn[0]) if identity else None


def qe_level(identity: QeIdentity, isv_svn: int) -> SvnLevel | None:
    """Return the level of a quoting enclave, or None."""
    return svn_level(identity.levels, isv_svn)


def status_of(level: TcbLevel | SvnLevel | None) -> str:
    """Return a level's status."""
    return level.status if level else NO_MATCH


def worst(statuses: Iterable[str]) -> str:
    """Return the status of the whole: the worst one, or both where one part is out of date and one misconfigured."""
    found = tuple(statuses)
    last = max(found, key=lambda status: _RANKS.get(status, len(_RANKS)))
    return _BOTH if last == _OUT_OF_DATE and any(status in _CONFIGURATION for status in found) else last


def advisories_of(*levels: TcbLevel | SvnLevel | None) -> tuple[str, ...]:
    """Return the security advisories of all levels, each once, in order."""
    return tuple(sorted({advisory for level in levels if level for advisory in level.advisories}))
