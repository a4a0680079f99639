"""A version of the generator must prove itself before it speaks, and can be taken back.

`Versions` keeps what was taught on disk, `judge` holds it against the champion on briefs that
nothing is taught from; `bandit.generator_versions` says what may become of it.
"""

from generator.promotion.gate import GateConfig, judge
from generator.promotion.samples import Samples, SamplingConfig, Writer, held_out, take_samples
from generator.promotion.versions import Adopted, Versions

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
