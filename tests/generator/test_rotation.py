import itertools

import numpy as np
import pytest
from msgspec import Raw
from msgspec.structs import replace

from generator.refresh import CHECKPOINT, SPAN_MS, RotationState, Rotator, turn
from streams.catalogue.state import Catalogue, CatalogueReader, catalogue_message
from streams.checkpoint import Checkpoints
from streams.events import (
    INTERACTIONS,
    Generation,
    Placement,
    encode,
)
from streams.events.placement import Rotation
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.decisions import a_creative
from tests.generator.shown import interaction

BRIEF = Raw(b'{"version":2,"product":"coffee"}')
HOUR = 3_600_000


def made_placement(**settings):
    values = {"brief": BRIEF, "live": 3, "batch": 2, "showings": 100, **settings}
    return Placement(name="home", rotation=Rotation(**values))


def made_generation(number, status="done", **changes):
    values = {"accepted": 2, "timestamp_ms": 0, **changes}
    return Generation(
        id=f"g{number}", placement="home", brief=BRIEF, n=2, seed=1, status=status, **values
    )


def made_catalogue(placement, *events):
    catalogue = Catalogue()
    for event in (placement, *events):
        catalogue.apply(event, 0)
    return catalogue


def shown(rates, *, n=2000, start_ms=0, first=0, seed=0, hours=1.0):
    """Returns interactions of creatives with these click rates, shown evenly."""
    rng = np.random.default_rng(seed)
    names = list(rates)
    for number in range(first, first + n):
        index = number % len(names)
        at_ms = start_ms + int((number - first) * hours * HOUR / n)
        yield interaction(number, names, index, rng.random() < rates[names[index]], at_ms=at_ms)


def state_of(*streams):
    state = RotationState()
    for each in itertools.chain(*streams):
        state.add(each)
    return state


ABC = tuple(a_creative(name) for name in "abc")


def asked(*arguments):
    found = turn(*arguments)
    return next((event for event in found if isinstance(event, Generation)), None)


def test_a_placement_without_a_rotation_is_left_alone():
    placement = Placement(name="home")
    found = turn(made_catalogue(placement), placement, state_of(shown({"a": 0.5, "b": 0.01})))
    assert found == []


def test_what_is_missing_is_asked_for_a_batch_at_a_time():
    placement = made_placement()
    found = asked(made_catalogue(placement), placement, RotationState())
    assert found.n == 2
    assert found.reason == "0 of 3 are live"
    assert bytes(found.brief) == bytes(BRIEF)
    two = made_catalogue(placement, *ABC[:2])
    assert asked(two, placement, RotationState()).n == 1
    assert asked(made_catalogue(placement, *ABC), placement, RotationState()) is None


def test_what_waits_for_a_person_is_not_asked_for_again():
    placement = made_placement()
    proposed = [a_creative(name, status="proposed") for name in "cde"]
    assert asked(made_catalogue(placement, *proposed), placement, RotationState()) is None
    found = asked(made_catalogue(placement, ABC[0], proposed[0]), placement, RotationState())
    assert found.n == 1
    assert found.reason == "1 of 3 are live, 1 wait for a person"


def test_nothing_is_asked_for_while_a_request_is_under_way():
    placement = made_placement()
    catalogue = made_catalogue(placement, made_generation(0, "requested"))
    assert asked(catalogue, placement, RotationState()) is None


def test_after_a_failure_it_waits_an_hour():
    placement = made_placement()
    failed = made_generation(0, "failed", accepted=0, timestamp_ms=HOUR)
    catalogue = made_catalogue(placement, failed)
    early, late = RotationState(now_ms=HOUR + 1000), RotationState(now_ms=2 * HOUR)
    assert asked(catalogue, placement, early) is None
    assert asked(catalogue, placement, late) is not None


def test_requests_have_ids_of_their_own_that_come_again_the_same():
    placement = made_placement()
    first = asked(made_catalogue(placement), placement, RotationState())
    again = asked(made_catalogue(placement), placement, RotationState())
    second = asked(made_catalogue(placement, made_generation(0)), placement, RotationState())
    assert first == again
    assert first.id != second.id
    assert first.seed != second.seed


def test_who_is_surely_beaten_is_retired_with_the_reason():
    placement = made_placement()
    state = state_of(shown({"a": 0.3, "b": 0.05, "c": 0.28}, n=3000))
    b, request = turn(made_catalogue(placement, *ABC), placement, state)
    assert (b.id, b.status) == ("b", "retired")
    assert b.reason.startswith("beaten: earns 0.0")
    assert request.n == 1
    assert request.reason == "2 of 3 are live"
    assert set(request.winners) == {"a", "c"}


def test_nobody_is_retired_on_little_evidence_or_if_told_not_to():
    few = state_of(shown({"a": 0.9, "b": 0.0, "c": 0.9}, n=240))
    many = state_of(shown({"a": 0.9, "b": 0.0, "c": 0.9}, n=3000))
    for placement, state in ((made_placement(), few), (made_placement(retire=False), many)):
        assert turn(made_catalogue(placement, *ABC), placement, state) == []


def test_it_asks_when_nothing_new_came_for_long():
    placement = made_placement(every_seconds=7200)
    catalogue = made_catalogue(placement, made_generation(0), *ABC)
    assert asked(catalogue, placement, RotationState(now_ms=2 * HOUR - 1)) is None
    found = asked(catalogue, placement, RotationState(now_ms=2 * HOUR))
    assert found.reason == "nothing new came for 7200 seconds"
    assert found.n == 2


def test_what_was_written_before_anybody_came_is_new_to_the_first():
    placement = made_placement(every_seconds=7200.0, retire=False)
    catalogue = made_catalogue(placement, made_generation(0), *ABC)
    came = state_of(shown(dict.fromkeys("abc", 0.3), start_ms=90 * HOUR))
    assert asked(catalogue, placement, came) is None
    later = state_of(shown(dict.fromkeys("abc", 0.3), start_ms=90 * HOUR, hours=2.5))
    assert asked(catalogue, placement, later).reason.startswith("nothing new came")


def test_it_asks_when_the_best_declines():
    rates = dict.fromkeys("abc", 0.3)
    worn = dict.fromkeys("abc", 0.15)
    before = list(shown(rates, n=3000))
    later = list(shown(worn, n=3000, start_ms=10 * SPAN_MS, first=3000))
    steady = list(shown(rates, n=3000, start_ms=10 * SPAN_MS, first=3000))
    placement = made_placement(retire=False)
    catalogue = made_catalogue(placement, *ABC)
    assert asked(catalogue, placement, state_of(before, steady)) is None
    found = asked(catalogue, placement, state_of(before, later))
    assert found.reason.startswith("the best, ")
    calm = made_placement(retire=False, decline=False)
    assert asked(made_catalogue(calm, *ABC), calm, state_of(before, later)) is None


def test_it_asks_when_none_reaches_the_bar():
    state = state_of(shown(dict.fromkeys("abc", 0.05), n=6000))
    low, high = made_placement(bar=0.04, retire=False), made_placement(bar=0.1, retire=False)
    assert asked(made_catalogue(low, *ABC), low, state) is None
    found = asked(made_catalogue(high, *ABC), high, state)
    assert "the bar is at 0.1" in found.reason


def test_with_more_live_than_wanted_it_only_retires():
    placement = made_placement(live=2, every_seconds=1.0)
    catalogue = made_catalogue(placement, *ABC)
    assert asked(catalogue, placement, RotationState(now_ms=HOUR)) is None


def test_a_correction_replaces_a_reward():
    interactions = list(shown({"a": 1.0, "b": 1.0}, n=200))
    zero = [replace(i, reward=0.0, status="provisional") for i in interactions]
    later = [
        replace(i, previous_reward=0.0, status="corrected", sequence=i.sequence + 200)
        for i in interactions
    ]
    assert state_of(zero, later).total("a") == state_of(interactions).total("a")


def test_what_was_taken_in_place_of_the_policy_is_passed_over():
    taken = [
        replace(each, decision=replace(each.decision, fallback=True, v=2))
        for each in shown({"a": 1.0, "b": 1.0}, n=20)
    ]
    assert state_of(taken) == RotationState()


@pytest.fixture
def log():
    opened = MemoryLog()
    create_topics(opened)
    opened.append([catalogue_message(event) for event in (made_placement(), *ABC)])
    return opened


def append(log, interactions):
    log.append([Message(INTERACTIONS, b"home", encode(i)) for i in interactions])


def read(log):
    reader = CatalogueReader(log)
    reader.catch_up()
    return reader


def test_it_writes_to_the_log_and_goes_on_from_its_checkpoint(log, tmp_path):
    append(log, shown({"a": 0.3, "b": 0.05, "c": 0.28}, n=3000))
    rotator = Rotator(log, Checkpoints(tmp_path))
    reader = read(log)
    assert rotator.rotate(reader) == 2
    assert reader.catalogue.creative("home", "b").status == "retired"
    [request] = reader.catalogue.generations("home")
    assert request.status == "requested"
    assert rotator.rotate(reader) == 0
    rotator.save()
    assert Checkpoints(tmp_path).load(CHECKPOINT) is not None
    again = Rotator(log, Checkpoints(tmp_path))
    again.rotate(read(log))
    assert again._states == rotator._states


def test_what_a_person_changed_meanwhile_stays(log, tmp_path, monkeypatch):
    append(log, shown({"a": 0.3, "b": 0.05, "c": 0.28}, n=3000))
    reader = read(log)
    paused = replace(reader.catalogue.creative("home", "b"), status="paused")

    def crossed(*arguments):
        found = turn(*arguments)
        log.append([catalogue_message(paused)])
        return found

    monkeypatch.setattr("generator.refresh.turn", crossed)
    assert Rotator(log, Checkpoints(tmp_path)).rotate(reader) == 1, "creatives are asked for"
    assert read(log).catalogue.creative("home", "b").status == "paused"


def test_a_record_that_is_no_event_stops_nothing(log, tmp_path):
    log.append([Message(INTERACTIONS, b"home", b"{")])
    append(log, shown({"a": 0.3, "b": 0.05, "c": 0.28}, n=3000))
    assert Rotator(log, Checkpoints(tmp_path)).rotate(read(log)) == 2
