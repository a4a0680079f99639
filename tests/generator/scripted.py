"""A backend that writes what it is told to, for tests of what happens around a model."""

from generator.errors import BackendError


class Scripted:
    """Continues each prompt with the next of its lines, over and over; counts what it is asked."""

    name = "scripted"

    def __init__(self, lines):
        self.lines = lines
        self.asked = []
        self.seeds = []

    def complete(self, prompts, *, seed, progress=None, **_):
        if self.lines is None:
            raise BackendError("out of memory")
        start = len(self.asked)
        self.asked += prompts
        self.seeds.append(seed)
        if progress is not None:
            progress(0.5)
        return [self.lines[(start + i) % len(self.lines)] for i in range(len(prompts))]
