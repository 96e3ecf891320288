"""`python -m client_sdk.cli`."""

from __future__ import annotations

import sys

from client_sdk.cli.command import main

sys.exit(main())
