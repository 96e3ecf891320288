"""These tests run on the versions that the image holds: tests/test_serving_in_tree.py starts them in the tools tree.

Outside the tree nothing of this folder is collected: see tree.ini, which the run inside is given.
"""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("VITRINE_TREE") == "1" else ["*"]
