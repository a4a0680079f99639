"""A decision with what a test does not care about filled in."""

import json

import numpy as np
from msgspec import Raw

from streams.events import EMPTY, Decision


def a_decision(event_id, actions, pmf, index, *, at_ms=0, context=EMPTY, placement="home", slot=0):
    """The decision for one of the actions; a context that is no JSON yet becomes it."""
    return Decision(
        event_id=str(event_id),
        placement=placement,
        timestamp_ms=at_ms,
        context=context if isinstance(context, Raw) else Raw(json.dumps(context).encode()),
        actions=tuple(actions),
        pmf=tuple(np.asarray(pmf).tolist()),
        index=index,
        policy_version="v",
        slot=slot,
    )
