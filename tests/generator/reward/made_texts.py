"""Texts with a taste that is known: what is tried and clicked in a made world."""

import numpy as np

from generator.reward.regression import Example

OPENINGS = ("Sleep well", "Wake up", "Drink less", "Run further", "Save money", "Learn Spanish")
TWISTS = ("for free", "with friends", "in silence", "before breakfast", "like a king", "by train")
ENDS = ("today", "this winter", "without effort", "at last", "in Oslo", "for good")
TASTE = {"for free": 0.5, "like a king": -0.4, "at last": 0.3, "without effort": -0.3}


def made_examples(n_groups, *, size=6, showings=20_000, level=0.02, seed=0, taste=TASTE):
    """Returns arms whose rates follow their words, with the noise of that many showings."""
    rng = np.random.default_rng(seed)
    examples = []
    for group in range(n_groups):
        opening = OPENINGS[group % len(OPENINGS)]
        base = level * rng.uniform(0.5, 2.0)
        for _ in range(size):
            twist, end = rng.choice(TWISTS), rng.choice(ENDS)
            rate = base * (1.0 + taste.get(twist, 0.0) + taste.get(end, 0.0))
            clicks = rng.binomial(showings, rate)
            examples.append(
                Example(
                    f"test-{group}",
                    f"{opening} {twist} {end}",
                    clicks / showings,
                    base * (1.0 - base) / showings,
                )
            )
    return examples
