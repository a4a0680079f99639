"""Briefs: what an advertiser says about a product, checked before a model sees it."""

from generator.brief.schema import (
    BRIEF_VERSION,
    LANGUAGES,
    Brief,
    Constraints,
    Environment,
    Material,
    Segment,
    Time,
    brief_from_json,
    brief_hash,
    brief_to_json,
    load_brief,
)

__all__ = [
    "BRIEF_VERSION",
    "LANGUAGES",
    "Brief",
    "Constraints",
    "Environment",
    "Material",
    "Segment",
    "Time",
    "brief_from_json",
    "brief_hash",
    "brief_to_json",
    "load_brief",
]
