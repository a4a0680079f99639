"""A log that is out of reach at times, whatever it is asked."""

import random

from streams.errors import LogUnavailable

CALLS = {
    *("partitions", "append", "read", "start_offset", "end_offset", "end_offsets"),
    *("consumer", "committed"),
}


class AwayAtTimes:
    """Another log: the first call of each name fails, and half of the others.

    `failed` are the names of those that did.
    """

    def __init__(self, log, seed, calls=CALLS - {"consumer"}):
        self.failed = set()
        self._log = log
        self._random = random.Random(seed)
        self._calls = calls

    def stay(self):
        """Nothing fails from now on."""
        self._calls = frozenset()

    def __getattr__(self, name):
        found = getattr(self._log, name)
        if not callable(found):
            return found

        def call(*args, **options):
            if name in self._calls and (name not in self.failed or self._random.random() < 0.5):
                self.failed.add(name)
                raise LogUnavailable(f"{name}: away")
            return found(*args, **options)

        return call
