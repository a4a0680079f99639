"""How the admin routes read and change the catalogue.

The log is the only truth, so a change is an append; the answer waits until what this replica
serves has read it back, so that whoever makes a placement can ask it for a rank next. What two
replicas change at once is settled by the log too: a change counts only if what it rests on
still holds where it lands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Final, NamedTuple

from bandit.errors import RequestError
from bandit.service.appender import Appender
from bandit.service.ids import new_id
from bandit.service.refusals import placement_not_found
from bandit.service.security.acts import act_message, catalogue_act, superseded
from bandit.service.security.caller import OPEN, Caller
from bandit.service.snapshots import ServingPlacement, Snapshots
from streams.catalogue import Catalogue, catalogue_key, change_messages
from streams.changes import ABSENT, Change
from streams.events import Catalogued, Creative, Generation, Placement, decode
from streams.generator_versions import GeneratorVersion
from streams.log import Log, Message

READ_BACK_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.005
ATTEMPTS: Final = 10
"""How often a change without a condition is made anew because another one came first."""


class Condition(NamedTuple):
    """What a request demands of the thing that it changes, by its `If-Match` and `If-None-Match`.

    `tags` are those of which one must be its present one, `any_tag` that it must be there;
    `absent` that it must not.
    """

    tags: frozenset[str] = frozenset()
    any_tag: bool = False
    absent: bool = False

    def met_by(self, tag: str, *, present: bool) -> bool:
        """Returns whether a thing with this tag is as demanded."""
        if self.absent:
            return not present
        return present and (self.any_tag or tag in self.tags)


class Repeatable(NamedTuple):
    """A requester's key, by which a request that is sent again is known, and the request's hash."""

    key: str
    request: str


class Editor:
    """Reads and changes one log's catalogue, from one event loop.

    Attributes:
        catalogue: to be read only.
        log: to be read beyond what is served, in a thread of its own.
        clock_ms: the time that changes carry.
    """

    def __init__(
        self, log: Log, snapshots: Snapshots, appender: Appender, clock_ms: Callable[[], int]
    ) -> None:
        self.log = log
        self._snapshots = snapshots
        self._changes = snapshots.changes
        self._appender = appender
        self.catalogue: Catalogue = snapshots.catalogue
        self.clock_ms = clock_ms
        # Held from looking until having written, so that no two changes cross in this process.
        self._turn = asyncio.Lock()
        self._who = OPEN

    def on_behalf_of(self, caller: Caller) -> Editor:
        """Returns the same editor, whose changes are recorded as acts of the caller."""
        theirs = copy(self)
        theirs._who = caller
        return theirs

    @property
    def who(self) -> str:
        """Who is recorded as having made the changes."""
        return self._who.id

    def placement(self, name: str) -> Placement:
        """Returns the placement.

        Raises:
            RequestError: `placement_not_found`.
        """
        found = self.catalogue.placement(name)
        if found is None:
            raise placement_not_found(name)
        return found

    def serving(self, name: str) -> ServingPlacement:
        """Returns what the placement is served with.

        Raises:
            RequestError: `placement_not_found`.
        """
        found = self._snapshots.placement(name)
        if found is None:
            raise placement_not_found(name)
        return found

    def creative(self, placement: str, creative_id: str) -> Creative:
        """Returns the placement's creative.

        Raises:
            RequestError: `placement_not_found` or `creative_not_found`.
        """
        self.placement(placement)
        found = self.catalogue.creative(placement, creative_id)
        if found is None:
            message = f"placement {placement!r} has no creative {creative_id!r}"
            raise RequestError(404, "creative_not_found", message, target="creative")
        return found

    def generation(self, placement: str, generation_id: str) -> Generation:
        """Returns the placement's generation.

        Raises:
            RequestError: `placement_not_found` or `generation_not_found`.
        """
        self.placement(placement)
        found = self.catalogue.generation(generation_id)
        if found is None or found.placement != placement:
            message = f"placement {placement!r} has no generation {generation_id!r}"
            raise RequestError(404, "generation_not_found", message, target="generation")
        return found

    def generator_version(self, version_id: str) -> GeneratorVersion:
        """Returns the version of the generator.

        Raises:
            RequestError: `generator_version_not_found`.
        """
        found = self.catalogue.generator_version(version_id)
        if found is None:
            message = f"there is no version {version_id!r} of the generator"
            raise RequestError(404, "generator_version_not_found", message, target="version")
        return found

    def tag(self, name: str) -> str:
        """Returns the entity tag of what has this catalogue key: another for every change."""
        return f'"{self._changes.stamp(name)}"'

    async def change(
        self,
        names: Sequence[str],
        make: Callable[[], Sequence[Catalogued]],
        *,
        condition: Condition | None = None,
        repeatable: Repeatable | None = None,
    ) -> list[Catalogued]:
        """Writes what `make` returns, all or none, and returns it once it is read back.

        Where another change of the same things came first, `make` is called again, with the
        catalogue as it is by then; a request with a condition is refused instead.

        Args:
            names: the catalogue keys of what is changed.
            make: looks at the catalogue, and refuses or returns what to write; nothing if
                nothing changes.
            condition: on the first of the names.
            repeatable: answers a request that was made before with what that wrote.

        Who did it, and what it was before, is recorded along with them.

        Raises:
            RequestError: what `make` refuses; `precondition_failed`; `idempotency_key_reused`;
                `log_unavailable` or `overloaded`: nothing was written, as far as can be told;
                `catalogue_behind`: it was, but does not show here yet; `contended`.
        """
        for _ in range(ATTEMPTS):
            async with self._turn:
                if repeatable is not None and (written := self._written(repeatable)):
                    return written
                # Looked at before `make` looks: what comes between makes the change count not.
                expects = {name: self._changes.stamp(name) for name in names}
                if condition is not None:
                    self._check(condition, names[0])
                made = list(make())
                if not made or await self._counted(made, expects, repeatable):
                    return made
        raise RequestError(
            503, "contended", f"others changed {names[0]} {ATTEMPTS} times meanwhile; try again"
        )

    async def record(self, what: str, target: str) -> None:
        """Records an act of the caller that changes nothing in the catalogue.

        Raises:
            RequestError: `log_unavailable` or `overloaded`.
        """
        act = act_message(self._who.id, what, target, self.clock_ms())
        await self._appender.append_through([act])

    def _check(self, condition: Condition, name: str) -> None:
        kind, _, rest = name.partition("/")
        present = self._changes.stamp(name) != ABSENT
        if kind == "placement":  # a deleted one has a stamp, and is not there
            present = self.catalogue.placement(rest) is not None
        tag = self.tag(name)
        if not condition.met_by(tag, present=present):
            now = f"it has the tag {tag} now" if present else "it is not there"
            raise RequestError(
                412, "precondition_failed", f"{name} is not as the request demands: {now}"
            )

    def _written(self, repeatable: Repeatable) -> list[Catalogued]:
        """Returns what an earlier request under the key wrote, nothing if there was none."""
        kept = self._changes.kept(repeatable.key)
        if kept is None:
            return []
        if kept.change.request != repeatable.request:
            raise RequestError(
                422,
                "idempotency_key_reused",
                f"Idempotency-Key {repeatable.key!r} came with another request within a day; "
                "take a new key for a new request",
                target="Idempotency-Key",
            )
        if not kept.complete:
            message = "the earlier request under this key is still being read back; try again"
            raise RequestError(503, "catalogue_behind", message)
        events = [decode(value) for value in kept.values]
        return [e for e in events if isinstance(e, Catalogued)]

    async def _counted(
        self, made: Sequence[Catalogued], expects: dict[str, str], repeatable: Repeatable | None
    ) -> bool:
        """Appends the events; returns whether they count, once they are read back."""
        names = {catalogue_key(event) for event in made}
        change = Change(
            id=new_id(self.clock_ms()),
            size=len(made),
            expects={name: stamp for name, stamp in expects.items() if name in names},
            key=None if repeatable is None else repeatable.key,
            request="" if repeatable is None else repeatable.request,
        )
        acts = [self._act(event) for event in made]
        written = await self._appender.append_through([*acts, *change_messages(made, change)])
        last = written[-1].offset
        deadline = time.monotonic() + READ_BACK_SECONDS
        while self._snapshots.catalogue_offset <= last:
            if time.monotonic() > deadline:
                raise RequestError(
                    503,
                    "catalogue_behind",
                    f"the change is in the log at offset {last}, but could not be read back in "
                    f"{READ_BACK_SECONDS} seconds; it shows once the log can be read",
                )
            await asyncio.sleep(POLL_SECONDS)
        counted = self._changes.counted(change.id) is True
        if not counted:
            await self._appender.append_through([superseded(act) for act in acts])
        return counted

    def _act(self, event: Catalogued) -> Message:
        before: Catalogued | None
        match event:
            case Placement():
                before = self.catalogue.placement(event.name)
            case Creative():
                before = self.catalogue.creative(event.placement, event.id)
            case Generation():
                before = self.catalogue.generation(event.id)
            case GeneratorVersion():
                before = self.catalogue.generator_version(event.id)
        return catalogue_act(self._who.id, before, event, self.clock_ms())
