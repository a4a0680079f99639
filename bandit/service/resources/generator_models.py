"""A version of the generator as the admin routes take and answer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Raw, Struct

from bandit.service.resource import Resource, view_of
from streams.fields import doc
from streams.generator_versions import GeneratorVersion, VersionStatus


class StepView(Struct, frozen=True, kw_only=True):
    """A status that it came to, and why."""

    status: VersionStatus
    timestamp_ms: int
    reason: str | None
    by: str | None


class GeneratorVersionView(GeneratorVersion, Resource, frozen=True, kw_only=True):
    """A version of the generator, and how far it has come."""

    steps: Annotated[list[StepView], doc("Every status that it came to, oldest first.")]
    etag: Annotated[str, doc("For `If-Match`.")]

    @classmethod
    def of(
        cls, version: GeneratorVersion, steps: Sequence[GeneratorVersion], tag: str
    ) -> GeneratorVersionView:
        """Returns the view of a version that took these steps, with this entity tag."""
        return view_of(
            cls,
            version,
            manifest=Raw(msgspec.json.encode(version.manifest_fields())),
            steps=[view_of(StepView, step) for step in steps],
            etag=tag,
        )


class WhyBody(Struct, Resource, frozen=True, kw_only=True):
    """Why; kept with the version."""

    examples: ClassVar[list[dict[str, Any]]] = [{"why": "reads as one voice"}]

    why: Annotated[str, Meta(min_length=1, max_length=1000)] = "by hand"


class ChampionView(Struct, Resource, frozen=True):
    """Which version writes now; null: the bare model."""

    champion: GeneratorVersionView | None
