"""Decisions and creatives with what a test does not care about filled in."""

import json

import numpy as np
from msgspec import Raw

from streams.events import EMPTY, Creative, Decision


def a_decision(
    event_id, actions, pmf, index, *, at_ms=0, context=EMPTY, placement="home", version="v", **more
):
    """The decision for one of the actions; a context that is no JSON yet becomes it."""
    return Decision(
        event_id=str(event_id),
        placement=placement,
        timestamp_ms=at_ms,
        context=context if isinstance(context, Raw) else Raw(json.dumps(context).encode()),
        actions=tuple(actions),
        pmf=tuple(np.asarray(pmf).tolist()),
        index=index,
        policy_version=version,
        **more,
    )


def a_creative(name, text=None, status="live", *, placement="home", at_ms=1, **more):
    """A creative of one headline, which is its name unless another is given."""
    parts = {"headline": name if text is None else text}
    return Creative(
        id=name, placement=placement, parts=parts, status=status, timestamp_ms=at_ms, **more
    )
