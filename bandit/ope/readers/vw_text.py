"""Vowpal Wabbit's text format with `cb_adf` labels: what `--cb_explore_adf` learns from.

An event is a block of lines: `shared |…` if it has a context, then a line an action, of which the
chosen one begins with `action:cost:probability`. An empty line ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from bandit.errors import ReaderError
from bandit.ope.readers.events import LoggedEvent, spread
from streams.events import Action, Decision

PLACEMENT: Final = "vw"


class _Line(NamedTuple):
    """A line of an event: what stands before the first bar, and the features by namespace."""

    shared: bool
    label: tuple[float, float] | None
    tag: str | None
    features: Raw


def read_vw_text(path: Path) -> Iterator[LoggedEvent]:
    """Yields the events of a file, rewards being negated costs; the rest of the pmf is not known.

    Events without a label, which are only to be predicted, are left out. An action's id is its
    tag, or else its place. Features keep their namespaces, the default one as ` `.

    Raises:
        ReaderError: a line that is not of the format, or an event that has several labels.
    """
    block: list[_Line] = []
    started, count = 1, 0
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, text in enumerate(file, start=1):
            try:
                if text.strip():
                    started = number if not block else started
                    block.append(_line(text))
                    continue
                event = _event(block, count)
            except ValueError as error:
                raise ReaderError(f"{path}:{number} is no cb_adf event: {error}") from error
            if event is not None:
                yield event
            count, block = count + bool(block), []
    try:
        last = _event(block, count)
    except ValueError as error:
        raise ReaderError(f"{path}:{started} is no cb_adf event: {error}") from error
    if last is not None:
        yield last


def _event(block: list[_Line], count: int) -> LoggedEvent | None:
    shared = [line for line in block if line.shared]
    lines = [line for line in block if not line.shared]
    if len(shared) > 1 or (shared and not block[0].shared):
        raise ValueError("only the first line of an event may be shared")
    chosen = [place for place, line in enumerate(lines) if line.label is not None]
    if not chosen:
        return None
    if len(chosen) > 1:
        raise ValueError(f"{len(chosen)} of its actions have a label; expected one")
    cost, propensity = lines[chosen[0]].label or (0.0, 1.0)
    decision = Decision(
        event_id=(shared[0].tag if shared and shared[0].tag else str(count)),
        placement=PLACEMENT,
        timestamp_ms=count,
        context=shared[0].features if shared else Raw(b"{}"),
        actions=tuple(
            Action(line.tag or f"action {place}", line.features) for place, line in enumerate(lines)
        ),
        pmf=spread(propensity, chosen[0], len(lines)),
        index=chosen[0],
        policy_version="vw",
    )
    return LoggedEvent(decision, 0.0 - cost, whole=len(lines) == 1)


def _line(text: str) -> _Line:
    head, *spaces = text.strip("\n\r").split("|")
    if not spaces:
        raise ValueError("a line without '|' has no features")
    words = head.split()
    tag = next((word[1:] for word in words if word.startswith("'")), None)
    words = [word for word in words if not word.startswith("'")]
    # without an apostrophe, a tag is what touches the first bar
    if (
        words
        and not head[-1:].isspace()
        and head
        and words[-1] != "shared"
        and ":" not in words[-1]
    ):
        tag = words.pop()
    shared = words == ["shared"]
    if len(words) > 1 or (words and not shared and ":" not in words[0]):
        raise ValueError(f"{head.strip()!r} is no label; expected action:cost:probability")
    label = _label(words[0]) if words and not shared else None
    return _Line(shared, label, tag, _features(spaces))


def _label(word: str) -> tuple[float, float]:
    parts = word.split(":")
    if len(parts) != 3:
        raise ValueError(f"{word!r} is no label; expected action:cost:probability")
    cost, propensity = float(parts[1]), float(parts[2])
    if not 0.0 < propensity <= 1.0:
        raise ValueError(f"the probability is {propensity}; expected above 0 and at most 1")
    return cost, propensity


def _features(spaces: list[str]) -> Raw:
    """Returns the features by namespace, as one JSON object."""
    found: dict[str, dict[str, float]] = {}
    for space in spaces:
        # what touches the bar is the namespace, with a factor for all its values
        words = space.split()
        name, factor = " ", 1.0
        if words and not space[:1].isspace():
            name, _, scale = words.pop(0).partition(":")
            factor = float(scale) if scale else 1.0
        features = found.setdefault(name, {})
        for word in words:
            feature, separator, value = word.rpartition(":")
            if not separator:
                feature, value = word, "1"
            features[feature] = features.get(feature, 0.0) + factor * float(value)
    return Raw(msgspec.json.encode(found))
