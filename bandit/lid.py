"""A lid on what some actions get together, whatever the policy hopes of them.

The lid is a step between the policy and the draw, so the pmf that is logged is the one that was
drawn from; a decision says which lid it was made under, from which an audit derives the same pmf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandit.policy import Pmf
from streams.caps import Lid
from streams.catalogue import Catalogue
from streams.events import Action, Creative
from streams.generator_versions import CANARY_SHARE


def limited(pmf: Pmf, under: NDArray[np.bool_], share: float) -> Pmf:
    """Returns the pmf, scaled so that the actions `under` the lid keep to `share` together.

    Where all actions are, or the others have nothing to be scaled up, it stays as it is.

    Args:
        pmf: shape (n_actions,).
        under: which actions the lid is on, shape (n_actions,), of booleans.
        share: the most that they get together.

    >>> limited(np.array([0.2, 0.4, 0.4]), np.array([False, True, True]), 0.1).tolist()
    [0.9, 0.05, 0.05]
    """
    # exact sums, so that the order of the actions does not show in a rounding
    taken, left = math.fsum(pmf[under]), math.fsum(pmf[~under])
    if taken <= share or left <= 0.0:
        return pmf
    scaled = np.where(under, pmf * (share / taken), pmf)
    scaled[~under] *= (1.0 - share) / left
    return scaled / math.fsum(scaled)


def under_lid(pmf: Pmf, actions: Sequence[Action], lid: Lid | None) -> Pmf:
    """Returns the pmf that the lid leaves of a policy's, shape (n_actions,)."""
    if lid is None:
        return pmf
    below = frozenset(lid.actions)
    return limited(pmf, np.array([action.id in below for action in actions]), lid.share)


def lid_over(actions: Sequence[Action], lid: Lid | None) -> Lid | None:
    """Returns the lid over those of the actions that it is on; None if it is on none."""
    if lid is None:
        return None
    below = frozenset(lid.actions)
    found = tuple(action.id for action in actions if action.id in below)
    return Lid(lid.share, found) if found else None


def canary_lid(catalogue: Catalogue, live: Sequence[Creative]) -> Lid | None:
    """Returns the lid on those live creatives that are of the canary; None if none is."""
    canary = catalogue.canary
    if canary is None:
        return None
    ids = tuple(creative.id for creative in live if creative.written_by(canary.id))
    share = canary.canary.share if canary.canary else CANARY_SHARE
    return Lid(share, ids) if ids else None
