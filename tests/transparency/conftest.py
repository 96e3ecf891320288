"""What the tests of the client have, and its hook: a test that is named for a rule has to see a refusal by it."""

from __future__ import annotations

from tests.client_sdk.conftest import pins, pytest_runtest_call, server

__all__ = ["pins", "pytest_runtest_call", "server"]
