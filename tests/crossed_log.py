"""A log for tests of changes that cross."""

from streams.events import CATALOGUE


class CrossedLog:
    """A log into which somebody else's change comes between a look and the next write."""

    def __init__(self, log):
        self._log = log
        self.crossing = []

    def append(self, messages):
        if any(message.topic == CATALOGUE for message in messages):
            crossing, self.crossing = self.crossing, []
            self._log.append(crossing)
        return self._log.append(messages)

    def close(self):
        """Stays open for the test."""

    def __getattr__(self, name):
        return getattr(self._log, name)
