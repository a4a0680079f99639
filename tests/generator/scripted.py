"""A backend that writes what it is told to, for tests of what happens around a model."""

from generator.errors import BackendError
from generator.models.base import Completion, Usage


class Scripted:
    """Continues each prompt with the next of its lines, over and over; counts what it is asked."""

    name = "scripted"

    def __init__(self, lines, *, name="scripted"):
        self.name = name
        self.lines = lines
        self.asked = []
        self.seeds = []
        self.samplings = []
        self.usage = Usage()

    def complete(self, prompts, sampling, *, seed, adapter=None, progress=None):
        if self.lines is None:
            raise BackendError("out of memory")
        start = len(self.asked)
        self.asked += prompts
        self.seeds.append(seed)
        self.samplings.append(sampling)
        self.usage.requests += 1
        if progress is not None:
            progress(0.5)
        texts = [self.lines[(start + i) % len(self.lines)] for i in range(len(prompts))]
        return [Completion(text, self.name, adapter) for text in texts]
