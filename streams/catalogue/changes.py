"""Which changes of the catalogue count, where several writers meet.

A change may say on what it rests: the state of each thing that it changes, as its writer saw it,
and a key by which it is the same request as another. Who folds the catalogue leaves out a change
that came too late or came again. So all readers agree, without a word between the writers.
"""

from __future__ import annotations

import hashlib
from itertools import takewhile
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from streams.logs.base import Headers, Record

CHANGE: Final = "copyloop-change"
"""The header of a record of the catalogue that says what its change rests on, as JSON."""
KEPT_MS: Final = 24 * 3_600_000
"""For how long, by the log's time, a key is known again."""
ABSENT: Final = ""
"""The stamp of what has never been there."""

_encode = msgspec.json.Encoder().encode


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes with each record of one change.

    `id` is this attempt's own, `size` how many records it has. The first has `expects`: for each
    catalogue key that the change touches, the stamp that its writer saw. `key` is the
    requester's, `request` a hash of what was asked, by which another request under the same key
    is told apart.
    """

    id: str
    size: int = 1
    expects: dict[str, str] = {}
    key: str | None = None
    request: str = ""

    def headers(self, *, first: bool) -> Headers:
        """Returns the headers of the change's first record, or of a later one."""
        said = self if first else msgspec.structs.replace(self, expects={})
        return ((CHANGE, _encode(said)),)


class Kept(NamedTuple):
    """A change that counted, with the log's time at its first record, and what it wrote."""

    change: Change
    at_ms: int
    values: list[bytes]

    @property
    def complete(self) -> bool:
        """Whether all of it has been read."""
        return len(self.values) == self.change.size


class _Verdict(NamedTuple):
    """Whether a change counts, the log's time at its first record, and what it wrote so far."""

    at_ms: int
    counts: bool
    written: set[str]


_Dated = TypeVar("_Dated", Kept, _Verdict)


class Changes:
    """The stamps of everything in the catalogue, and the changes of the last day.

    It is a fold like the catalogue: the same records give the same verdicts.

    >>> changes = Changes()
    >>> changes.admits(Record("catalogue", 0, 0, 5, b"", b"{}"), "placement/home")
    True
    >>> changes.stamp("placement/home")
    '1-b4b8bf78e9ad'
    """

    def __init__(self) -> None:
        self._stamps: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._verdicts: dict[str, _Verdict] = {}
        self._kept: dict[str, Kept] = {}

    def stamp(self, name: str) -> str:
        """Returns what tells the present state of a catalogue key from all others it was in."""
        return self._stamps.get(name, ABSENT)

    def kept(self, key: str) -> Kept | None:
        """Returns the change of the last day that a requester's key led to."""
        return self._kept.get(key)

    def counted(self, change_id: str) -> bool | None:
        """Returns whether a change of the last day counted; None while it was not read."""
        found = self._verdicts.get(change_id)
        return None if found is None else found.counts

    def admits(self, record: Record, name: str) -> bool:
        """Takes in one record, of this catalogue key; returns whether it counts."""
        change = _change_of(record)
        if change is not None:
            _forget(self._verdicts, record.timestamp_ms - KEPT_MS)
            _forget(self._kept, record.timestamp_ms - KEPT_MS)
            verdict = self._verdicts.get(change.id) or self._judge(change, record.timestamp_ms)
            if not verdict.counts or name in verdict.written:  # too late, or appended again
                return False
            verdict.written.add(name)
            if change.key is not None:
                self._kept[change.key].values.append(record.value)
        count = self._counts[name] = self._counts.get(name, 0) + 1
        digest = hashlib.blake2b(record.value, digest_size=6).hexdigest()
        self._stamps[name] = f"{count:x}-{digest}"
        return True

    def _judge(self, change: Change, at_ms: int) -> _Verdict:
        counts = all(self.stamp(name) == stamp for name, stamp in change.expects.items())
        if change.key is not None:
            counts = counts and change.key not in self._kept
            if counts:
                self._kept[change.key] = Kept(change, at_ms, [])
        verdict = self._verdicts[change.id] = _Verdict(at_ms, counts, set())
        return verdict


def _forget(dated: dict[str, _Dated], before_ms: int) -> None:
    """Drops what is older; it is in the order of the log, whose time never goes back."""
    for name in list(takewhile(lambda name: dated[name].at_ms < before_ms, dated)):
        del dated[name]


def _change_of(record: Record) -> Change | None:
    """Returns what a record says of its change; a header that is none of ours says nothing."""
    for name, value in record.headers:
        if name == CHANGE:
            try:
                return msgspec.json.decode(value, type=Change)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
    return None
