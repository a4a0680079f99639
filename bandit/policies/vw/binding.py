"""The two Python bindings of Vowpal Wabbit, behind one set of methods.

`vowpal-wabbit-next` serves where it has a wheel, the official `vowpalwabbit` elsewhere: on Python
3.13 and newer, and on Linux on arm64. Each reads the models of the other. Both raise `RuntimeError`
or `ValueError` for options or a model that Vowpal Wabbit refuses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, cast


class NextWorkspace:
    """A workspace of `vowpal-wabbit-next`."""

    package: ClassVar[str] = "vowpal-wabbit-next"

    def __init__(self, options: Sequence[str], model: bytes | None = None) -> None:
        # The public wrapper checks every example anew, at twice the cost; the version is pinned.
        from vowpal_wabbit_next import _core

        self._core = _core
        self._workspace = _core.Workspace(list(options), model_data=model)

    @property
    def explores(self) -> bool:
        """Whether the model answers with a probability for each action."""
        return self._workspace.get_prediction_type() == self._core.PredictionType.ActionProbs

    def parse(self, text: str) -> Any:
        """Returns the line as an example, which workspaces with the same options can use."""
        return self._core._parse_line_text(self._workspace, text)

    def predict(self, examples: list[Any]) -> list[tuple[int, float]]:
        """Returns position and probability of each action, in any order."""
        return cast(list[tuple[int, float]], self._workspace.predict_multi_ex_one(examples))

    def learn(self, examples: list[Any]) -> None:
        """Learns one multi-line example."""
        self._workspace.learn_multi_ex_one(examples)

    def to_bytes(self) -> bytes:
        """Returns the model, which either binding can load."""
        return self._workspace.serialize()


class OfficialWorkspace:
    """A workspace of the official binding, which loads and saves models as files."""

    package: ClassVar[str] = "vowpalwabbit"

    def __init__(self, options: Sequence[str], model: bytes | None = None) -> None:
        import pylibvw

        self._native = pylibvw.vw
        if model is None:
            self._workspace = self._native(list(options))
            return
        with tempfile.NamedTemporaryFile() as file:
            file.write(model)
            file.flush()
            self._workspace = self._native([*options, "--initial_regressor", file.name])

    @property
    def explores(self) -> bool:
        """Whether the model answers with a probability for each action."""
        return bool(self._workspace._get_prediction_type() == self._native.pACTION_PROBS)

    def parse(self, text: str) -> str:
        """Returns the line as it is: parsed examples serve once, within this workspace."""
        return text

    def predict(self, lines: list[str]) -> list[tuple[int, float]]:
        """Returns position and probability of each action."""
        with self._parsed(lines) as examples:
            self._workspace.predict_multi(examples)
            return list(enumerate(examples[0].get_action_scores()))

    def learn(self, lines: list[str]) -> None:
        """Learns one multi-line example."""
        with self._parsed(lines) as examples:
            self._workspace.learn_multi(examples)

    @contextmanager
    def _parsed(self, lines: list[str]) -> Iterator[list[Any]]:
        examples = self._workspace._parse("\n".join(lines))
        yield examples
        # Their memory goes back to the workspace, which nothing else does.
        self._workspace._finish_example_multi_ex(examples)

    def to_bytes(self) -> bytes:
        """Returns the model, which either binding can load."""
        with tempfile.NamedTemporaryFile() as file:
            self._workspace.save(file.name)
            return Path(file.name).read_bytes()


Workspace: TypeAlias = NextWorkspace | OfficialWorkspace

open_workspace: type[Workspace] = (
    NextWorkspace if find_spec("vowpal_wabbit_next") else OfficialWorkspace
)


def binding_name() -> str:
    """Returns the package in use and its version.

    >>> binding_name().startswith("vowpal")
    True
    """
    return f"{open_workspace.package} {metadata.version(open_workspace.package)}"
