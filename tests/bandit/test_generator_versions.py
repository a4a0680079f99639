"""What a version of the generator may become, and what comes along with it."""

import pytest
from msgspec import UNSET, Raw
from msgspec.structs import replace

from bandit.errors import GeneratorVersionError, GeneratorVersionUnknown
from bandit.generator_versions import TRANSITIONS, on_trial, promoted, rejected, rolled_back
from streams.catalogue.state import Catalogue
from streams.events import Creative, Generation, Lineage, Placement
from streams.events.creatives import GeneratorVersion

SAID = {"now_ms": 9, "by": "ann", "why": "because"}


def catalogue(*events):
    found = Catalogue()
    found.apply(Placement(name="home"), 0)
    return then(found, events)


def then(found, events):
    for event in events:
        found.apply(event, 1)
    return found


def version(name, status, replaces=None):
    return GeneratorVersion(id=name, status=status, timestamp_ms=1, replaces=replaces)


def creative(name, adapter, status="live", **values):
    lineage = Lineage(model="m", adapter=adapter, **values)
    return Creative(
        id=name, placement="home", parts={}, status=status, timestamp_ms=1, lineage=lineage
    )


def statuses(events):
    return {event.id: event.status for event in events}


def test_who_is_promoted_replaces_the_champion_whose_creatives_stay():
    found = catalogue(version("a", "live"), version("b", "canary"), creative("1", "a"))
    made = promoted(found, "b", **SAID)
    assert statuses(made) == {"a": "retired", "b": "live"}
    assert then(found, made).champion == GeneratorVersion(
        id="b", status="live", timestamp_ms=9, replaces="a", reason="because", by="ann"
    )
    assert promoted(found, "b", **SAID) == []


def test_a_rollback_goes_back_and_retires_the_creatives_in_one():
    found = catalogue(
        version("a", "retired"),
        version("b", "live", replaces="a"),
        creative("1", "a"),
        creative("2", "b"),
        creative("3", "b", status="screened"),
        creative("4", "b", status="rejected"),
        creative("5", None, parts={"headline": Lineage(adapter="b")}),
    )
    made = rolled_back(found, **SAID)
    assert statuses(made) == {
        "b": "rolled_back", "a": "live", "2": "retired", "3": "rejected", "5": "retired",
    }  # fmt: skip
    assert made[2].reason == "version_withdrawn: b: because"
    assert then(found, made).champion.id == "a"


def test_a_rollback_passes_over_versions_that_were_taken_back():
    found = catalogue(
        version("a", "retired"),
        version("b", "rolled_back", replaces="a"),
        version("c", "live", replaces="b"),
    )
    assert statuses(rolled_back(found, **SAID)) == {"c": "rolled_back", "a": "live"}


def test_two_versions_that_replaced_each_other_end_at_the_bare_model():
    found = catalogue(version("a", "rolled_back", replaces="b"), version("b", "live", replaces="a"))
    assert statuses(then(found, rolled_back(found, **SAID)).generator_versions()) == {
        "a": "rolled_back", "b": "rolled_back",
    }  # fmt: skip
    with pytest.raises(GeneratorVersionError, match="the bare model writes already"):
        rolled_back(found, **SAID)


def test_a_candidate_goes_on_trial_in_place_of_the_one_before():
    found = catalogue(version("a", "canary"), version("b", "candidate"), creative("1", "a"))
    asked = Generation(
        id="g", placement="home", brief=Raw(b'{"product":"tea"}'), n=3, seed=5, status="done",
        timestamp_ms=1, winners=("w",), accepted=3,
    )  # fmt: skip
    made = on_trial(then(found, [asked]), "b", share=0.2, creatives=6, **SAID)
    assert statuses(made[:3]) == {"a": "rejected", "1": "retired", "b": "canary"}
    assert (made[2].canary.share, made[2].canary.since_ms) == (0.2, 9)
    beside, request = made[3:]
    assert request == replace(
        asked, id="canary-b-0", n=6, status="requested", timestamp_ms=9, winners=(), accepted=0,
        reason="version b is on trial", version="b",
    )  # fmt: skip
    # The champion is asked for as many, and not with the seed of what it wrote last.
    assert beside == replace(
        request, id="beside-b-0", seed=4, version=UNSET,
        reason="to hold version b against, which is on trial",
    )  # fmt: skip


def test_who_is_rejected_never_speaks_again():
    found = then(catalogue(version("a", "candidate")), [version("b", "live")])
    then(found, rejected(found, "a", **SAID))
    with pytest.raises(GeneratorVersionError, match="'a' is rejected and cannot become live"):
        promoted(found, "a", **SAID)
    with pytest.raises(GeneratorVersionError, match="it may become retired, rolled_back"):
        rejected(found, "b", **SAID)
    with pytest.raises(GeneratorVersionUnknown, match="'c'; the latest are: a, b"):
        rejected(found, "c", **SAID)


def test_every_status_that_may_be_come_to_may_be_left_or_is_the_end():
    assert {status for after in TRANSITIONS.values() for status in after} < set(TRANSITIONS)
