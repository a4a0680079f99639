"""The one writer of the catalogue: what a change rests on, who made it, and whether it counts.

A change carries the state of everything that it changes, as its writer saw it. Of two changes that
cross, the log lets only the first count, whichever process or replica made them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from streams.catalogue.audit_log import catalogue_act, superseded
from streams.catalogue.changes import ABSENT, Change, Changes
from streams.catalogue.state import Catalogue, CatalogueReader, catalogue_key, change_messages
from streams.errors import ChangeRefused
from streams.events import Catalogued, decode
from streams.logs.base import Log, Message
from streams.logs.embedded import wall_clock_ms

ATTEMPTS: Final = 10
"""How often a change without a condition is made anew because another one came first."""


class Condition(NamedTuple):
    """What a change demands of the thing that it changes.

    `tags` are those of which one must be its present one, `any_tag` that it must be there;
    `absent` that it must not.
    """

    tags: frozenset[str] = frozenset()
    any_tag: bool = False
    absent: bool = False

    def check(self, followed: Followed, name: str) -> None:
        """Refuses the change if what has this catalogue key is not as demanded.

        Raises:
            ChangeRefused: `precondition_failed`.
        """
        tag, present = tag_of(followed.changes, name), is_present(followed, name)
        met = not present if self.absent else present and (self.any_tag or tag in self.tags)
        if met:
            return
        now = f"it has the tag {tag} now" if present else "it is not there now"
        raise ChangeRefused(
            "precondition_failed", f"{name} is not as it was seen: {now}; look at it again"
        )


class Repeatable(NamedTuple):
    """A requester's key, by which a request that is sent again is known, and the request's hash."""

    key: str
    request: str


class Followed(Protocol):
    """A catalogue that is kept up to date, with what tells its states apart."""

    catalogue: Catalogue
    changes: Changes


@dataclass
class Committing:
    """A change under way: yields what to append next, until it counts.

    Whoever iterates appends the messages and has the catalogue read them back, then goes on.

    Attributes:
        followed: the catalogue that the change is made in.
        names: the catalogue keys of what may be changed.
        make: looks at the catalogue, and refuses or returns what to write; nothing if nothing
            changes. It is called again where another change of the same things came first.
        by: who makes the change, as recorded in the audit log; None for a process that acts on
            what the log says already.
        now_ms: the time of the record.
        condition: on the first of the names.
        repeatable: answers a request that was made before with what that wrote.
        written: the events that were written, once the iteration ends.

    Raises:
        ChangeRefused: `precondition_failed`, `idempotency_key_reused`, `catalogue_behind` or
            `contended`; nothing that others changed was overwritten.
    """

    followed: Followed
    names: Sequence[str]
    make: Callable[[], Sequence[Catalogued]]
    by: str | None
    now_ms: int
    condition: Condition | None = None
    repeatable: Repeatable | None = None
    written: list[Catalogued] = field(default_factory=list)

    def __iter__(self) -> Iterator[list[Message]]:
        changes = self.followed.changes
        for _ in range(ATTEMPTS):
            if self.repeatable and (before := _repeated(changes, self.repeatable)):
                self.written = before
                return
            # Looked at before `make` looks: what comes between makes the change count not.
            stamps = {name: changes.stamp(name) for name in self.names}
            if self.condition is not None:
                self.condition.check(self.followed, self.names[0])
            made = list(self.make())
            if not made:
                return
            written = {catalogue_key(event) for event in made}
            key, request = self.repeatable or (None, "")
            change = Change(
                id=secrets.token_hex(12),
                size=len(made),
                expects={name: stamp for name, stamp in stamps.items() if name in written},
                key=key,
                request=request,
            )
            acts = [
                catalogue_act(self.by, self.followed.catalogue.as_it_is(event), event, self.now_ms)
                for event in made
                if self.by is not None
            ]
            yield [*acts, *change_messages(made, change)]
            if changes.counted(change.id):
                self.written = made
                return
            if acts:
                yield [superseded(act) for act in acts]
        raise ChangeRefused(
            "contended",
            f"others changed {self.names[0]} {ATTEMPTS} times meanwhile; try again",
        )


class CatalogueWriter:
    """Changes a log's catalogue, and waits until each change can be read back.

    Attributes:
        catalogue: as it was after the last change or look; to be read only.
    """

    def __init__(
        self,
        log: Log,
        *,
        reader: CatalogueReader | None = None,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._log = log
        self._reader = reader or CatalogueReader(log)
        self._clock_ms = clock_ms
        self._reader.catch_up()
        self.catalogue: Catalogue = self._reader.catalogue

    def as_seen(self, name: str) -> Condition:
        """Returns the condition that the thing is still what it was at the last look."""
        if not is_present(self._reader, name):
            return Condition(absent=True)
        return Condition(frozenset({tag_of(self._reader.changes, name)}))

    def commit(
        self,
        names: Sequence[str],
        change: Callable[[], Sequence[Catalogued]],
        by: str | None,
        condition: Condition | None = None,
    ) -> list[Catalogued]:
        """Writes what `change` returns, all or none, and returns it; see `Committing`.

        Raises:
            ChangeRefused: as `Committing`.
            LogUnavailable: the log is out of reach.
        """
        self._reader.catch_up()
        committing = Committing(self._reader, names, change, by, self._clock_ms(), condition)
        for messages in committing:
            self._log.append(messages)
            self._reader.catch_up()
        return committing.written


def tag_of(changes: Changes, name: str) -> str:
    """Returns the entity tag of what has this catalogue key: another for every change."""
    return f'"{changes.stamp(name)}"'


def is_present(followed: Followed, name: str) -> bool:
    """Returns whether there is anything of this catalogue key; a deleted placement is not."""
    kind, _, rest = name.partition("/")
    if kind == "placement":
        return followed.catalogue.placement(rest) is not None
    return followed.changes.stamp(name) != ABSENT


def _repeated(changes: Changes, repeatable: Repeatable) -> list[Catalogued]:
    """Returns what an earlier request under the key wrote, nothing if there was none."""
    kept = changes.kept(repeatable.key)
    if kept is None:
        return []
    if kept.change.request != repeatable.request:
        raise ChangeRefused(
            "idempotency_key_reused",
            f"Idempotency-Key {repeatable.key!r} came with another request within a day; "
            "take a new key for a new request",
        )
    if not kept.complete:
        raise ChangeRefused(
            "catalogue_behind",
            "the earlier request under this key is still being read back; try again",
        )
    events = [decode(value) for value in kept.values]
    return [event for event in events if isinstance(event, Catalogued)]
