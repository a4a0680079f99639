"""What was shown and what it earned, as the joiner writes it."""

from streams.events import EMPTY, INTERACTIONS, Action, Interaction, encode
from streams.logs.base import Message
from tests.bandit.decisions import a_decision


def interaction(
    number, names, index, reward, *, pmf=None, placement="home", context=EMPTY, at_ms=None,
    status="closed",
):  # fmt: skip
    """Returns an interaction in which the creative at `index` was shown, of these names."""
    at_ms = number if at_ms is None else at_ms
    pmf = (1 / len(names),) * len(names) if pmf is None else pmf
    told = {"at_ms": at_ms, "context": context, "placement": placement, "version": "p@0"}
    decision = a_decision(f"e{number}", map(Action, names), pmf, index, **told)
    return Interaction(
        source=0,
        sequence=number,
        decision=decision,
        reward=float(reward),
        status=status,
        timestamp_ms=at_ms,
    )


def message(event):
    """Returns the message that puts an interaction into the log."""
    return Message(INTERACTIONS, event.decision.placement.encode(), encode(event), partition=0)
