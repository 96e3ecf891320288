"""Google's launch endorsement: what a firmware build must measure, on Google's signature and on nobody's observation.

bytes ─parse→ Endorsement ─verify(root, now)→ VerifiedEndorsement ─→ launch measurements, each with its source
"""

from provisioner.endorsement.parse import Endorsement, parse_endorsement
from provisioner.endorsement.verify import VerifiedEndorsement, read_root, verify_endorsement
from provisioner.endorsement.vouched import CLAIM, require_vouched

__all__ = [
    "CLAIM",
    "Endorsement",
    "VerifiedEndorsement",
    "parse_endorsement",
    "read_root",
    "require_vouched",
    "verify_endorsement",
]
