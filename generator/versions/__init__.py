"""A version of the generator must prove itself before it speaks, and can be taken back.

`Versions` keeps what was taught on disk, `judge` holds it against the champion on briefs that
nothing is taught from; `bandit.generator_versions` says what may become of it.
"""

from generator.versions.gate import GateConfig, judge
from generator.versions.store import Adopted, Versions
from generator.writing.samples import Samples, SamplingConfig, Writer, held_out, take_samples

__all__ = [
    "Adopted",
    "GateConfig",
    "Samples",
    "SamplingConfig",
    "Versions",
    "Writer",
    "held_out",
    "judge",
    "take_samples",
]
