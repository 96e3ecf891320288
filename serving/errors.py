"""Every error of the serving side, split by what happens next.

::

    ServingError
     ├ SelfCheckError   the system is not locked down; lists every failed check; the VM powers off
     ├ SealError        the boot order cannot be kept (a restart, a key with the wrong group); the VM powers off
     ├ TpmError         the TPM refused, or has not what is wanted; during boot the VM powers off
     │   ├ TpmBusyError   it says "not now"; a caller is told to come back
     │   └ TpmLostError   it is gone, failed, or no longer the one that was sealed; the VM powers off
     ├ GpuError         a GPU is missing, surplus, not confidential or lost; the VM powers off
     ├ EngineError      the engine is not there, not ready or talks nonsense; the caller may retry
     ├ AccessError      the image does not say who may ask, or says two things; the gateway does not start
     └ RequestError     the caller sent something that is not allowed; answered with its code, never logged

No message ever holds what a caller sent as a prompt, nor what the engine answered.
"""

from __future__ import annotations


class ServingError(Exception):
    """Base of everything that the serving side raises on purpose."""


class SelfCheckError(ServingError):
    """The system is not locked down; ``failures`` holds (check, reason) of each failed check."""

    def __init__(self, failures: tuple[tuple[str, str], ...]) -> None:
        self.failures = failures
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in failures))


class SealError(ServingError):
    """The boot sequence cannot be carried out in its order."""


class TpmError(ServingError):
    """The TPM refused a command or contradicted itself."""


class TpmBusyError(TpmError):
    """The TPM cannot do it now; nothing is wrong with it."""


class TpmLostError(TpmError):
    """The TPM is gone or failed, or its answer is not one of the sealed boot: nothing can be attested any more."""


class GpuError(ServingError):
    """The GPUs are not what the image states; ``code`` is NVML's error where it is NVML that refuses, else 0."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class EngineError(ServingError):
    """The engine is unreachable, not ready, or answered with nonsense."""


class AccessError(ServingError):
    """What the image says of access contradicts itself, or is missing."""


class RequestError(ServingError):
    """A request that is refused; ``status`` is the HTTP status, ``code`` and ``param`` are OpenAI's fields.

    ``retry_after`` is in seconds, where this refusal knows better than its status.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, param: str | None = None, retry_after: int | None = None
    ) -> None:
        self.code, self.message, self.status, self.param = code, message, status, param
        self.retry_after = retry_after
        super().__init__(f"{code}: {message}")
