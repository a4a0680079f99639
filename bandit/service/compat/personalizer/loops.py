"""Which placement a request is about, and what each request finds to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from bandit.service.api.editor import Editor
from bandit.service.auth.caller import Caller
from bandit.service.compat.personalizer.configuration import new_placement
from bandit.service.compat.personalizer.wire import PersonalizerError, check_id
from bandit.service.decide import Decider
from bandit.service.errors import check_reachable
from bandit.service.evaluations.jobs import Jobs
from bandit.service.ops.metrics import Metrics
from bandit.service.record import Recorder
from bandit.service.settings import Settings
from bandit.service.state import ServingPlacement, Snapshots
from streams.catalogue.state import catalogue_key
from streams.events import Placement

DEFAULT: Final = "default"
"""The placement of a client whose endpoint names none; it is made when it is first asked for."""


class LoopRequest(NamedTuple):
    """One request: what its address and headers say, and its body."""

    placement: str
    version: str
    ids: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    caller: Caller
    traceparent: str | None
    request_id: str | None


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json; charset=utf-8"


class Loops(NamedTuple):
    """What the routes work with: the loops of Personalizer are the placements of this log."""

    snapshots: Snapshots
    editor: Editor
    decider: Decider
    recorder: Recorder
    metrics: Metrics
    settings: Settings
    jobs: Jobs
    clock_ms: Callable[[], int]

    async def serving(self, call: LoopRequest) -> ServingPlacement:
        """Returns what the placement is served with; makes `default` if it is not there.

        Raises:
            PersonalizerError: `placement_not_found`.
        """
        found = self.snapshots.placement(call.placement)
        if found is not None:
            return found
        if call.placement != DEFAULT:
            raise PersonalizerError(
                "ResourceNotFound",
                "placement_not_found",
                f"there is no placement {call.placement!r}; PUT its configurations/service, or "
                f"/v1/placements/{call.placement}",
                target="placement",
                status=404,
            )
        await self.change(call, lambda before: before)
        return self.editor.serving(call.placement)

    async def change(self, call: LoopRequest, make: Callable[[Placement], Placement]) -> Placement:
        """Changes the placement, made as a new loop was if it is not there; returns what it is."""
        name = call.placement
        check_id(name, "placement_name_invalid", "placement", "BadRequest")
        if self.editor.catalogue.placement(name) is None:
            check_reachable(name, "placement", "placement_name_invalid", as_flag=True)
        found: list[Placement] = []

        def changed() -> list[Placement]:
            before = self.editor.catalogue.placement(name)
            found[:] = [make(before or new_placement(name, self.clock_ms()))]
            return [] if found[0] == before else found

        key = catalogue_key(Placement(name=name))
        await self.editor.on_behalf_of(call.caller).change([key], changed)
        return found[0]
