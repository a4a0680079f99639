"""Policies by their specs, for an evaluation that takes them by the words of a command line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bandit.ope.report import Evaluation
from streams.events import PolicySpec


class Candidate(NamedTuple):
    """A policy to be judged, and what to call it."""

    name: str
    spec: PolicySpec


FIRST_ACTION: Final = Candidate(
    "first action", {"name": "apprentice", "policy": {"name": "uniform"}}
)
"""What an application would show without a policy: the baseline, as Personalizer calls it."""


@contextmanager
def judged(candidates: Sequence[Candidate]) -> Iterator[dict[str, str]]:
    """Puts the specs where an evaluation reads them, for the block.

    Yields, in the order of the candidates, what the evaluation calls each, with its own name.
    """
    with tempfile.TemporaryDirectory(prefix="copyloop-") as folder:
        names = {}
        for number, candidate in enumerate(candidates):
            path = Path(folder) / f"{number}.json"
            path.write_bytes(msgspec.json.encode(candidate.spec))
            names[str(path)] = candidate.name
        yield names


def renamed(found: Evaluation, names: Mapping[str, str]) -> Evaluation:
    """Returns the evaluation with the candidates' own names."""
    policies = tuple(
        msgspec.structs.replace(one, policy=names.get(one.policy, one.policy))
        for one in found.policies
    )
    return found._replace(policies=policies)


def unmasked(policy: PolicySpec) -> PolicySpec:
    """Returns what an apprentice learns, which is what there is to judge of it."""
    while policy["name"] == "apprentice":
        policy = msgspec.convert(policy["policy"], dict[str, object])
    return policy
