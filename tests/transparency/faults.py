"""A file system that fails at one operation: with an error that the process sees, or by the end of the process."""

from __future__ import annotations

import errno
import os

OPERATIONS = ("open", "write", "fsync", "close", "replace", "rename", "unlink", "mkdir", "rmdir", "link", "ftruncate")


class KilledError(BaseException):
    """The process is gone: nothing that it would have done afterwards happens."""


class Faults:
    """Counts operations on files; the one with the number ``at`` fails, a kill with every later one.

    ``how`` is the number of an error, or None for a kill. A write that fails has written half of its bytes.
    """

    def __init__(self, monkeypatch, *, at=None, how=None):
        self.count, self._at, self._how, self._dead = 0, at, how, False
        self.log = []
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name, real):
        def operation(*args, **kwargs):
            if self._dead:
                if name == "close":  # the kernel does that for a dead process
                    real(*args, **kwargs)
                raise KilledError
            self.count += 1
            self.log.append(name)
            if self.count != self._at:
                return real(*args, **kwargs)
            if name == "write":
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            if name == "close":
                real(*args, **kwargs)
            if self._how is None:
                self._dead = True
                raise KilledError
            raise OSError(self._how, os.strerror(self._how))

        return operation


HOWS = {"disk full": errno.ENOSPC, "disk fails": errno.EIO, "killed": None}
