"""A Vowpal Wabbit model that can be asked, taught, saved and restored without a trace.

All that is known of the binding is in here. A model that predicted is no longer, byte for byte,
the one that learned, so one workspace learns and another, taught the same, predicts. A saved
model goes on exactly as the one that was saved, for the explorers that forget something too.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias, cast

import msgspec

# The public wrapper checks every example anew, at twice the cost; the version is pinned.
from vowpal_wabbit_next import _core

from bandit.errors import PolicySpecError, PolicyStateError
from bandit.policies.vw_options import is_forgetful, split_options

REBASE_EVERY: Final = 32

Example: TypeAlias = _core.Example


class Line(NamedTuple):
    """One line of Vowpal Wabbit's text format, and what it is parsed to."""

    text: str
    example: Example


class _Saved(NamedTuple):
    """A saved model, and what was learned since: the lines of each example."""

    model: bytes
    journal: list[list[str]]


_decoder = msgspec.msgpack.Decoder(_Saved)


class VwModel:
    """A model that chooses among the actions of a multi-line example.

    Where a loaded model goes on otherwise than the saved one (`is_forgetful`), it is saved and
    loaded after every 32 examples, by everyone, and the examples since are part of the state:
    what is restored is then always what would have been there anyway.
    """

    def __init__(self, args: str, state: bytes | None = None) -> None:
        words = split_options(args)
        self._args = args
        self._forgetful = is_forgetful(words)
        # Without the second, a loaded model has lost its counters, and its bytes differ.
        self._words = ["--quiet", "--preserve_performance_counters", *words]
        self._parser = self._workspace(None)
        self._saved = _Saved(self._parser.serialize(), []) if state is None else _read(state)
        # For whichever is wanted first: most processes only predict, or only learn.
        self._spare: _core.Workspace | None = self._restored()
        self._learner: _core.Workspace | None = None
        self._predictor: _core.Workspace | None = None

    def parse(self, text: str) -> Line:
        """Returns the line; it may be used in any number of examples."""
        # By a workspace of its own: parsing, too, moves a model's counters.
        return Line(text, _core._parse_line_text(self._parser, text))

    def predict(self, lines: list[Line]) -> list[tuple[int, float]]:
        """Returns position and probability of each action, as 32 bits have it."""
        if self._predictor is None:
            self._predictor = self._take_spare()
        found = self._predictor.predict_multi_ex_one([line.example for line in lines])
        return cast(list[tuple[int, float]], found)

    def learn(self, lines: list[Line]) -> None:
        """Learns the example, one line of which is labelled."""
        learner = self._learner = self._learner or self._take_spare()
        examples = [line.example for line in lines]
        learner.learn_multi_ex_one(examples)
        if self._predictor is not None:
            self._predictor.learn_multi_ex_one(examples)
        if self._forgetful:
            self._saved.journal.append([line.text for line in lines])
            if len(self._saved.journal) == REBASE_EVERY:
                self._rebase(learner)

    def to_bytes(self) -> bytes:
        """Returns the model, and the examples since it was last saved where they are needed."""
        if self._learner is None or self._forgetful:
            return msgspec.msgpack.encode(self._saved)
        return msgspec.msgpack.encode(_Saved(self._learner.serialize(), []))

    def _rebase(self, learner: _core.Workspace) -> None:
        """Goes on from the model as it is once saved and loaded."""
        self._saved = _Saved(learner.serialize(), [])
        self._learner = self._restored()
        self._predictor = None

    def _take_spare(self) -> _core.Workspace:
        taken = self._spare
        self._spare = None
        if taken is not None:
            return taken
        if self._learner is not None and not self._forgetful:
            return self._workspace(self._learner.serialize())
        return self._restored()

    def _restored(self) -> _core.Workspace:
        workspace = self._workspace(self._saved.model)
        for texts in self._saved.journal:
            workspace.learn_multi_ex_one([self.parse(text).example for text in texts])
        return workspace

    def _workspace(self, model: bytes | None) -> _core.Workspace:
        try:
            workspace = _core.Workspace(self._words, model_data=model)
        except (RuntimeError, ValueError) as error:
            raise PolicySpecError(f"policy 'vw': args {self._args!r}: {error}") from error
        if workspace.get_prediction_type() != _core.PredictionType.ActionProbs:
            raise PolicySpecError(
                "policy 'vw': args do not make it explore among actions; add --cb_explore_adf"
            )
        return workspace


def _read(state: bytes) -> _Saved:
    try:
        return _decoder.decode(state)
    except msgspec.DecodeError as error:
        raise PolicyStateError(f"not the state of a vw policy: {error}") from error
