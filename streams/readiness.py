"""How a process tells who started it that it is ready: its settings hold, and it has begun.

The supervisor names a file descriptor in the environment, and the process writes a byte to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Final

VARIABLE: Final = "COPYLOOP_READY_FD"
_READY: Final = b"1"


def nobody() -> None:
    """Tells nobody: what a process calls when it is ready, and was not asked to say so."""


def ready_teller(environment: MutableMapping[str, str] = os.environ) -> Callable[[], None]:
    """Returns what says that this process is ready; calls after the first do nothing.

    The variable is taken out of the environment, so that children do not speak for this process.
    """
    number = environment.pop(VARIABLE, "")
    if not number.isdecimal():
        return nobody
    descriptors = [int(number)]
    os.set_inheritable(descriptors[0], False)

    def tell() -> None:
        while descriptors:
            descriptor = descriptors.pop()
            # Who started us may be gone.
            with suppress(OSError):
                os.write(descriptor, _READY)
            os.close(descriptor)

    return tell


class ReadyPipe:
    """The supervisor's side, for one start of one process."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        os.set_blocking(self._read, False)
        self.environment = {VARIABLE: str(self.write)}

    def started(self) -> None:
        """Leaves the writing to the process, which has the descriptor by now."""
        os.close(self.write)

    def is_ready(self) -> bool:
        """Returns whether the process has said since the last call that it is ready."""
        try:
            return os.read(self._read, 1) == _READY
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Closes the descriptor."""
        os.close(self._read)
