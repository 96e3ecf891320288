"""What measures in the tools tree ends with whoever started it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import pytest

from tests.serving.engines.processes import family, gone, words

pytestmark = pytest.mark.root
SERVER = "http.server"
SECONDS = 600  # the tree may have to be made


def serves(pid):
    """Whether this process is the one that serves; on the way to it the tree has short ones, which end meanwhile."""
    with contextlib.suppress(OSError):
        return words(pid)[1:3] == ["-m", SERVER]
    return False


def serving(process):
    """Return the processes that one has started, once the last of them serves; the first is itself."""
    deadline = time.monotonic() + SECONDS
    while not serves((found := family(process.pid))[-1]):
        assert process.poll() is None, "it ended"
        assert time.monotonic() < deadline, "nothing runs in the tree"
        time.sleep(0.1)
    return found


def test_a_measurement_that_is_terminated_leaves_nothing_running():
    if os.geteuid() != 0:
        pytest.skip("entering a root file system needs root")
    command = [sys.executable, "-m", "tests.bench.in_tree", SERVER, "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        started = serving(process)
        assert len(started) > 2
        process.terminate()
        assert process.wait(20) == 143
    assert gone(started, 20)
