"""A Vowpal Wabbit model that predicts and learns, and is saved and restored without a trace."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from bandit.errors import PolicySpecError, PolicyStateError
from bandit.policies.vw.binding import Workspace, open_workspace
from bandit.policies.vw.options import is_forgetful, listed_options, split_options

REBASE_EVERY: Final = 32


class Line(NamedTuple):
    """One line of Vowpal Wabbit's text format, and what it is parsed to."""

    text: str
    example: Any


class _Saved(NamedTuple):
    """A saved model, and what was learned since: the lines of each example."""

    model: bytes
    journal: list[list[str]]


_decoder = msgspec.msgpack.Decoder(_Saved)


class VwModel:
    """A model that chooses among the actions of a multi-line example.

    A model that predicted is no longer, byte for byte, the one that learned, so one workspace
    learns and another, taught the same, predicts.

    Where a loaded model goes on otherwise than the saved one (`is_forgetful`), it is saved and
    loaded after every 32 examples, by everyone, and the examples since are part of the state:
    what is restored is then always what would have been there anyway.

    Args:
        args: Vowpal Wabbit's own.
        state: what `to_bytes` gave.
        hash_all: hash names that are numbers, too, unless `args` say how to hash; otherwise a
            number is an index, and so another number's as well.
    """

    def __init__(self, args: str, state: bytes | None = None, *, hash_all: bool = False) -> None:
        words = split_options(args)
        self._args = args
        self._forgetful = is_forgetful(words)
        if hash_all and all(option != "--hash" for option, _ in listed_options(words)):
            words += ["--hash", "all"]
        # Without the second, a loaded model has lost its counters, and its bytes differ.
        self._words = ["--quiet", "--preserve_performance_counters", *words]
        self._parser = self._workspace(None)
        try:
            known = None if state is None else _decoder.decode(state)
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of a vw policy: {error}") from error
        self._saved = known or _Saved(self._parser.to_bytes(), [])
        # For whichever is wanted first: most processes only predict, or only learn.
        self._spare: Workspace | None = self._restored()
        self._learner: Workspace | None = None
        self._predictor: Workspace | None = None

    def parse(self, text: str) -> Line:
        """Returns the line; it may be used in any number of examples."""
        # By a workspace of its own: parsing, too, moves a model's counters.
        return Line(text, self._parser.parse(text))

    def predict(self, lines: list[Line]) -> list[tuple[int, float]]:
        """Returns position and probability of each action, as 32 bits have it."""
        if self._predictor is None:
            self._predictor = self._take_spare()
        return self._predictor.predict([line.example for line in lines])

    def learn(self, lines: list[Line]) -> None:
        """Learns the example, one line of which is labelled."""
        learner = self._learner = self._learner or self._take_spare()
        examples = [line.example for line in lines]
        learner.learn(examples)
        if self._predictor is not None:
            self._predictor.learn(examples)
        if self._forgetful:
            self._saved.journal.append([line.text for line in lines])
            if len(self._saved.journal) == REBASE_EVERY:
                # It goes on from the model as it is once saved and loaded.
                self._saved = _Saved(learner.to_bytes(), [])
                self._learner = self._restored()
                self._predictor = None

    def to_bytes(self) -> bytes:
        """Returns the model, and the examples since it was last saved where they are needed."""
        if self._learner is None or self._forgetful:
            return msgspec.msgpack.encode(self._saved)
        return msgspec.msgpack.encode(_Saved(self._learner.to_bytes(), []))

    def _take_spare(self) -> Workspace:
        taken = self._spare
        self._spare = None
        if taken is not None:
            return taken
        if self._learner is not None and not self._forgetful:
            return self._workspace(self._learner.to_bytes())
        return self._restored()

    def _restored(self) -> Workspace:
        workspace = self._workspace(self._saved.model)
        for texts in self._saved.journal:
            workspace.learn([self.parse(text).example for text in texts])
        return workspace

    def _workspace(self, model: bytes | None) -> Workspace:
        try:
            workspace = open_workspace(self._words, model)
        except (RuntimeError, ValueError) as error:
            raise PolicySpecError(f"policy 'vw': args {self._args!r}: {error}") from error
        if not workspace.explores:
            raise PolicySpecError(
                "policy 'vw': args do not make it explore among actions; add --cb_explore_adf"
            )
        return workspace
