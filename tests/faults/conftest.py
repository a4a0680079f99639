"""What the tests of faults share: an empty log, and processes that they kill."""

from tests.streams.conftest import empty_log, start

__all__ = ["empty_log", "start"]
