"""Vowpal Wabbit's text format with `cb_adf` labels: a block of lines an event, a line an action.

A line means here what it means to Vowpal Wabbit, or is refused. Where Vowpal Wabbit takes half a
word for a number, or a label for a tag, nobody meant that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from bandit.errors import FeatureError
from bandit.features.flatten import flatten
from bandit.ope.readers.events import LoggedEvent, spread
from bandit.ope.readers.lines import Line, read_lines
from bandit.ope.readers.rows import KindRefused, RowCounts
from streams.events import Action, Decision

READ: Final = (
    "read are cb_adf labels: a line an action, of which the chosen one begins with "
    "action:cost:probability, and an empty line after each event"
)
NO_EVENT: Final = "is no cb_adf event"
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE](?:[+-]?[0-9]+)?)?")
_HEX: Final = re.compile(
    r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?"
)
_HALF_A_NUMBER: Final = re.compile(
    # what begins as a number does, what Vowpal Wabbit takes for 0, and what is no finite number
    r"[+-]?\.?[0-9].*|-?\.?(?:[eE]-?[0-9]*)?|[+-]?(?:inf|nan).*",
    re.IGNORECASE | re.DOTALL,
)
_BLANKS: Final = re.compile(r"[ \t]+")


class _Row(NamedTuple):
    """A line of an event: what stands before the first bar, and the features by namespace."""

    shared: bool
    label: tuple[float, float] | None
    tag: str
    features: Raw


def read_vw_text(path: Path, counts: RowCounts) -> Iterator[LoggedEvent]:
    """Yields the events of a file with `cb_adf` labels, rewards being negated costs.

    An event is a block of lines that an empty line ends: `shared |…` if it has a context, then a
    line an action, of which the chosen one begins with `action:cost:probability`. The rest of the
    pmf is not known. An action's id is its tag, or else its place. Features keep their namespaces,
    the default one as ` `.

    Events without a label, which are only to be predicted, are left out (`no_label`).

    Raises:
        ReaderError: the file is no text, or an event that cannot be read is to stop the reader.
    """
    events = _Events(counts)
    for line in read_lines(path):
        if line.text:
            events.take(line)
        elif (event := events.end()) is not None:
            yield event
    if (event := events.end()) is not None:
        yield event


class _Events:
    """Puts lines together to events; no more than one event is held."""

    def __init__(self, counts: RowCounts) -> None:
        self._counts = counts
        self._number = 0
        self._where = ""
        self._rows: list[_Row] = []
        self._refused = False

    def take(self, line: Line) -> None:
        """Takes in one line of an event; what follows a refused line belongs to it."""
        self._where = self._where or line.where
        if self._refused:
            return
        try:
            self._rows.append(_row(line.text))
            _check_rows(self._rows)
        except (ValueError, OverflowError, FeatureError) as error:
            self._refuse(line.where, error)

    def end(self) -> LoggedEvent | None:
        """Returns the event that the lines since the last one make, if it is a decision."""
        if not self._where:
            return None
        where, rows, refused = self._where, self._rows, self._refused
        number = self._number
        self._number, self._where, self._rows, self._refused = number + 1, "", [], False
        if refused:
            return None
        if all(row.label is None for row in rows):
            self._counts.leave_out("no_label", where, "an event without a label, to be predicted")
            return None
        try:
            return _event(rows, number)
        except (ValueError, FeatureError) as error:
            self._refuse(where, error)
            self._refused = False
            return None

    def _refuse(self, where: str, error: Exception) -> None:
        reason = error.reason if isinstance(error, KindRefused) else "event_invalid"
        self._counts.refuse(reason, where, str(error), verdict=NO_EVENT)
        self._refused, self._rows = True, []


def _check_rows(rows: list[_Row]) -> None:
    """Raises if the last of these lines cannot belong to the same event."""
    if rows[-1].shared and len(rows) > 1:
        raise ValueError("only the first line of an event may be shared")
    if rows[-1].label is None:
        return
    labels = sum(row.label is not None for row in rows)
    if labels > 1:
        raise KindRefused(
            "several_labels",
            f"{labels} of its actions have a label; expected one. Text for --cb, with a line an "
            f"event, is not read, since it does not hold the actions; {READ}",
        )


def _event(rows: list[_Row], number: int) -> LoggedEvent:
    shared = [row for row in rows if row.shared]
    lines = [row for row in rows if not row.shared]
    chosen = next(place for place, row in enumerate(lines) if row.label is not None)
    cost, propensity = lines[chosen].label or (0.0, 1.0)
    if len(lines) == 1 and propensity < 1.0:
        raise KindRefused(
            "one_action",
            f"its only action has the probability {propensity}; expected 1. Text for --cb, with a "
            f"line an event, is not read, since it does not hold the actions; {READ}",
        )
    decision = Decision(
        event_id=(shared[0].tag if shared and shared[0].tag else str(number)),
        placement="vw",
        timestamp_ms=number,
        context=shared[0].features if shared else Raw(b"{}"),
        actions=tuple(
            Action(row.tag or f"action {place}", row.features) for place, row in enumerate(lines)
        ),
        pmf=spread(propensity, chosen, len(lines)),
        index=chosen,
        policy_version="vw",
    )
    return LoggedEvent(decision, 0.0 - cost, whole=len(lines) == 1)


def _row(line: bytes) -> _Row:
    text = line.decode()
    if "\r" in text:
        raise ValueError(
            "a carriage return within a line is no line break; end lines by a line feed"
        )
    if not text.strip():
        raise ValueError(
            "a line of white space alone is an action without features to Vowpal Wabbit; leave "
            "the line between two events empty"
        )
    head, bar, rest = text.partition("|")
    if not bar:
        raise ValueError("a line without '|' has no features")
    shared, label, tag = _head(head)
    return _Row(shared, label, tag, _namespaces(rest))


def _head(head: str) -> tuple[bool, tuple[float, float] | None, str]:
    """Returns whether the line is shared, its label and its tag."""
    words = head.split(" ")
    if any(word != word.strip() for word in words):
        raise ValueError(f"{head!r} has white space before the bar that is no space")
    # a tag has an apostrophe, or touches the bar
    last = words.pop()
    words = [word for word in words if word]
    if not last.startswith("'") and (last == "shared" or ":" in last):
        raise ValueError(f"{last!r} touches the bar, which makes it a tag; put a space between")
    tag = last
    if not last and words and words[-1].startswith("'"):
        tag = words.pop()
    if words and words[0] in ("ccb", "slates", "ca"):
        raise KindRefused(f"{words[0]}_text", f"text for {words[0]} is not read; {READ}")
    if len(words) > 1 or (words and words[0] != "shared" and ":" not in words[0]):
        raise ValueError(f"{head.strip()!r} is no label; {READ}")
    shared = words == ["shared"]
    label = _label(words[0]) if words and not shared else None
    return shared, label, tag.removeprefix("'")


def _label(word: str) -> tuple[float, float]:
    parts = word.split(":")
    if parts[0] in ("shared", "ca"):
        raise ValueError(f"{word!r} is no label of an action; {READ}")
    if len(parts) == 2:
        raise ValueError(
            f"{word!r} has a cost without a probability, from which nothing can be learned; "
            "expected action:cost:probability"
        )
    if len(parts) != 3:
        raise ValueError(f"{word!r} is no label; expected action:cost:probability")
    cost, propensity = _number("the cost", parts[1]), _number("the probability", parts[2])
    if not 0.0 < propensity <= 1.0:
        raise ValueError(f"the probability is {propensity}; expected above 0 and at most 1")
    return cost, propensity


@lru_cache(maxsize=4096)
def _namespaces(text: str) -> Raw:
    """Returns the features after the first bar by namespace, as one JSON object.

    The same actions come again and again. A feature has a number, 1 if none is given, or a text;
    the numbers of one name are added up.
    """
    found: dict[str, dict[str, float | str | list[str]]] = {}
    spaces = text.split("|")
    for place, space in enumerate(spaces):
        # what touches the bar is the namespace, with a factor for all its values
        name, factor = " ", 1.0
        words = [word for word in _BLANKS.split(space) if word]
        if words and space[0] not in " \t":
            name, separator, scale = words.pop(0).partition(":")
            if not name:
                raise ValueError(f"the namespace in {space!r} has no name")
            factor = _number(f"the factor of namespace {name!r}", scale) if separator else 1.0
        features = found.setdefault(name, {})
        for word in words:
            last = place < len(spaces) - 1 and space.endswith(word)
            _add(features, word, factor, before_bar=last and word is words[-1])
    encoded = msgspec.json.encode({name: held for name, held in found.items() if held})
    flatten(Raw(encoded), namespace="features")
    return Raw(encoded)


def _add(
    features: dict[str, float | str | list[str]], word: str, factor: float, *, before_bar: bool
) -> None:
    """Adds one feature, `NAME`, `NAME:NUMBER` or `NAME:TEXT`."""
    name, separator, text = word.partition(":")
    if not name or (separator and not text):
        raise ValueError(f"the feature {word!r} has no {'value' if name else 'name'}")
    if not separator or _is_number(text):
        value = factor * (_number(f"the value of {name!r}", text) if separator else 1.0)
        known = features.get(name, 0.0)
        if not isinstance(known, float):
            raise ValueError(f"the feature {name!r} has a number and a text")
        features[name] = known + value
        return
    if _HALF_A_NUMBER.fullmatch(text):
        raise ValueError(
            f"the value of {name!r} is {text!r}, which Vowpal Wabbit takes for half a number; "
            "expected a finite number or a text"
        )
    if before_bar:
        raise ValueError(f"{word!r} touches a bar, which would belong to its text; put a space")
    if factor != 1.0:
        raise ValueError(f"{word!r} is a text in a namespace with a factor")
    known = features.setdefault(name, [])
    if not isinstance(known, list):
        raise ValueError(f"the feature {name!r} has a number and a text")
    known.append(text)


def _is_number(text: str) -> bool:
    return bool(_DECIMAL.fullmatch(text) or _HEX.fullmatch(text))


def _number(name: str, text: str) -> float:
    """Returns a number as Vowpal Wabbit writes them: decimal or hexadecimal, `1e` being 1."""
    if not _is_number(text):
        raise ValueError(f"{name} is {text!r}; expected a finite number")
    digits = text.rstrip("eE") if _DECIMAL.fullmatch(text) else text
    value = float(digits) if _DECIMAL.fullmatch(text) else float.fromhex(text)
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text!r}; expected a finite number")
    return value
