"""How a few candidates are drawn from many creatives: a placement's setting, and a decision's note.

A decision holds every action that it chose from. Among thousands of creatives those are the ones
that a draw let in, and the note says what it takes to draw them again; `bandit.shortlist` does.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Shortlist(Struct, frozen=True, kw_only=True):
    """Where more than `size` creatives may be shown, a decision chooses from `size` of them.

    They are drawn without replacement, by the policy's pmf for no context, mixed with `floor`.
    """

    size: Annotated[int, Meta(ge=2, le=1000)] = 100
    floor: Annotated[
        float,
        Meta(ge=0.01, le=1.0, description="The share that is drawn evenly among all creatives."),
    ] = 0.2


class Shortlisted(Struct, frozen=True, kw_only=True):
    """How a decision's actions came to be drawn.

    `size` of `of` creatives were let in, by a rule with this `floor` and the pmf of the policy
    version `weights`: the decision's own, or one shortly before. `among` is a hash of all that
    were live (`bandit.shortlist.digest`), as the catalogue said before its offset `catalogue`.
    `inclusion` is the probability with which the chosen one was let in, given the draws of all
    others: divided by it, and by its propensity, a reward counts for all creatives.
    """

    size: int
    of: int
    floor: float
    weights: str
    among: str
    catalogue: int
    inclusion: Annotated[float, Meta(gt=0.0, le=1.0)]
