"""What a text that the model wrote is worth: to the reward model, the gates, and its group.

Rows hold prompts, not briefs, so the gates read a brief that says what the prompt says: what it
leaves out cannot be told from what a text makes up, and is refused as that. Likeness is left to the
group, as in the gate for versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from msgspec.structs import replace

from generator.brief.prompts import brief_said
from generator.models.base import ended
from generator.reward.contrasts import Floats
from generator.screening import ALIKE, HARMFUL, STOP, Screen, Thresholds, Written, clean, usual
from generator.screening.gates import similarity
from generator.training.config import GrpoConfig

NAMES: Final = ("promise", "format", "diversity", "policy")
"""The rewards, as they are logged and weighted."""
Promise: TypeAlias = Callable[[Sequence[str]], Floats]
"""Returns of each text the chance of doing better than its company, shape (n_texts,)."""


class Told(NamedTuple):
    """What each reward says of texts, each of shape (n_texts,)."""

    promise: Floats
    format: Floats
    diversity: Floats
    policy: Floats


class Rewards:
    """Rewards texts; the trainer asks for one after the other of the same texts.

    Args:
        settings: how long texts may be, in which language, and how many are a group.
        promise: of the reward model.
        eos: the token by which the model ends a text itself.
        thresholds: of the gates, None for the usual ones.
    """

    def __init__(
        self,
        settings: GrpoConfig,
        promise: Promise,
        *,
        eos: int,
        thresholds: Thresholds | None = None,
    ) -> None:
        self._settings, self._promise, self._eos = settings, promise, eos
        limits = thresholds or usual()
        # A group's texts are measured against each other, which the gates would do with refusals.
        self._limits = replace(limits, skip=(*limits.skip, *ALIKE))
        self._last: tuple[tuple[str, ...], Told] | None = None

    def functions(self) -> list[Callable[..., list[float]]]:
        """Returns the rewards in the order of `NAMES`, as TRL calls them."""
        return [self._function(name) for name in NAMES]

    def tell(
        self, prompts: Sequence[str], completions: Sequence[str], tokens: Sequence[Sequence[int]]
    ) -> Told:
        """Returns all rewards of completions.

        Args:
            prompts: of each; a group's stand side by side.
            completions: as the model wrote them, up to and with what ends them.
            tokens: of each, to tell by whom it was ended.
        """
        key = (*prompts, *completions)
        if self._last is None or self._last[0] != key:
            written = [
                Written(*_cleaned(text, by_itself=bool(ids) and ids[-1] == self._eos))
                for text, ids in zip(completions, tokens, strict=True)
            ]
            self._last = key, self._told(prompts, written)
        return self._last[1]

    def _function(self, name: str) -> Callable[..., list[float]]:
        def reward(
            prompts: list[str],
            completions: list[str],
            completion_ids: list[list[int]],
            **_: Any,
        ) -> list[float]:
            found: Floats = getattr(self.tell(prompts, completions, completion_ids), name)
            return [float(value) for value in found]

        reward.__name__ = name
        return reward

    def _told(self, prompts: Sequence[str], written: Sequence[Written]) -> Told:
        texts = [each.text for each in written]
        passed, harmful = np.zeros(len(texts), dtype=bool), np.zeros(len(texts), dtype=bool)
        for prompt in dict.fromkeys(prompts):
            rows = [row for row, each in enumerate(prompts) if each == prompt]
            own = [written[row] for row in rows]
            brief = brief_said(
                prompt,
                language=self._settings.language,
                max_characters=self._settings.most_characters,
            )
            passed[rows] = _passed(Screen(brief, thresholds=self._limits), own)
            others = [code for code in Screen(brief).gates if code not in HARMFUL]
            strict = replace(self._limits, skip=(*self._limits.skip, *others))
            # A text that another gate refuses may do harm as well.
            alone = [Written(each.text) for each in own]
            harmful[rows] = np.logical_not(_passed(Screen(brief, thresholds=strict), alone))
        promise = np.zeros(len(texts))
        if passed.any():
            # Of a text without words a reader may make nothing at all.
            promise[passed] = self._promise([texts[row] for row in np.flatnonzero(passed)])
        return Told(
            promise=promise,
            format=passed.astype(np.float64),
            diversity=np.where(passed, _diversity(texts, self._settings.group), 0.0),
            policy=-harmful.astype(np.float64),
        )


def _cleaned(completion: str, *, by_itself: bool) -> tuple[str, str, bool]:
    text, finished = clean(ended(completion, STOP, by_itself=by_itself))
    return text, "", finished


def _passed(screen: Screen, written: Sequence[Written]) -> list[bool]:
    return [verdict.rejection is None for verdict in screen.judge(written)]


def _diversity(texts: Sequence[str], group: int) -> Floats:
    """Returns 1 less the cosine to the nearest other text of the group, in [0, 1].

    Twice the same says nothing new, with words or without.
    """
    found = np.zeros(len(texts))
    for start in range(0, len(texts), group):
        own = texts[start : start + group]
        directions = similarity.vectors(own)
        alike = np.asarray(directions @ directions.T, dtype=np.float64)
        alike[np.array([[one == other for other in own] for one in own])] = 1.0
        np.fill_diagonal(alike, -1.0)
        found[start : start + group] = 1.0 - np.clip(alike.max(axis=1), 0.0, 1.0)
    return found
