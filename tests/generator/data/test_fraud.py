"""A forged winner is named with the reason, and teaches nothing; honest winners stay."""

import json

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from generator.commands.main import app
from generator.data.dataset import (
    CARD,
    EvidenceThresholds,
    build_dataset,
    read_dataset,
    write_dataset,
)
from generator.data.evidence import ClickLook, departing
from generator.data.reading import Reading
from streams.events import INTERACTIONS, Outcome, encode
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.logs.opening import open_log
from tests.generator.data.made_log import interactions, made_log

PRODUCTS = ("coffee", "tea", "cocoa", "juice", "soda")
FORGED = "g0-2"
"""The worst text, `Brown water`."""
ALIKE = {f"Text {k}": 0.04 for k in range(9)}
"""Texts of one quality, for a placement of which one creative departs."""


def people(event):
    """Gives every showing a user of its own, and every click five seconds."""
    user = {"user": event.decision.event_id}
    return clicked(in_context(event, user), after_ms=5000)


def in_context(event, context):
    raw = msgspec.Raw(msgspec.json.encode(context))
    return replace(event, decision=replace(event.decision, context=raw))


def clicked(event, *, after_ms):
    return with_outcome(event, "click", after_ms) if event.reward else event


def with_outcome(event, kind, after_ms):
    event_id, at_ms = event.decision.event_id, event.decision.timestamp_ms + after_ms
    outcome = Outcome(event_id=event_id, outcome_id=kind, kind=kind, timestamp_ms=at_ms)
    return replace(event, outcomes=(outcome, *event.outcomes))


def changed(log, change, *, into=None):
    """Returns a log with the same catalogue, and interactions as `change` makes them."""
    target = made_log(products=PRODUCTS, shown=0, log=into or MemoryLog())
    events = [change(event) for event in interactions(log)]
    target.append([Message(INTERACTIONS, b"home", encode(event)) for event in events])
    return target


def by_one_user(event):
    if is_forged(event):
        event = in_context(replace(event, reward=1.0), {"user": "bot"})
        return clicked(event, after_ms=5000)
    return people(event)


def too_fast(event):
    if is_forged(event):
        user = {"user": event.decision.event_id}
        return clicked(in_context(replace(event, reward=1.0), user), after_ms=40)
    return people(event)


def is_forged(event):
    return event.decision.action.id == FORGED and event.sequence % 3 == 0


@pytest.fixture(scope="module")
def honest():
    return made_log(products=PRODUCTS)


def test_honest_logs_are_believed(honest):
    assert Reading(honest).suspicious == ()
    assert Reading(changed(honest, people)).suspicious == ()


def seen_at_once(event):
    """Gives every showing an impression as soon as it was decided, as pages report them."""
    return with_outcome(people(event), "impression", 20)


def test_an_impression_at_once_makes_no_click_too_fast(honest):
    assert Reading(changed(honest, seen_at_once)).suspicious == ()
    look = ClickLook()  # of a placement that nobody knows
    for _ in look.passing(seen_at_once(event) for event in interactions(honest)):
        pass
    assert look.suspicions() == []


@pytest.mark.parametrize(("forge", "rule"), [(by_one_user, "one_user"), (too_fast, "too_fast")])
def test_a_forged_creative_is_named_and_left_out(honest, tmp_path, forge, rule):
    reading = Reading(changed(honest, forge))
    found = [each for each in reading.suspicious if each.rule == rule]
    assert [(each.placement, each.creative_id) for each in found] == [("home", FORGED)]
    assert found[0].value > found[0].bound
    dataset = reading.dataset()
    assert dataset.left_out["suspicious"] == 1
    forged = [row for row in dataset.prefer if row.brief == brief_of(reading, FORGED)]
    assert forged
    assert "Brown water" not in {text for row in forged for text in (row.better, row.worse)}
    write_dataset(dataset, tmp_path, log=reading.log, thresholds=EvidenceThresholds())
    again, card = read_dataset(tmp_path)
    assert card.suspicious == reading.suspicious
    assert again.suspicious == reading.suspicious


def test_believed_the_forged_one_would_have_been_taught(honest):
    reading = Reading(changed(honest, by_one_user))
    believed = build_dataset(reading.evidence, reading.prompt_of)
    brief = brief_of(reading, FORGED)
    assert "Brown water" in {row.better for row in believed.prefer if row.brief == brief}


def test_a_creative_far_beyond_its_company_departs():
    rates = ALIKE | {"Too good": 0.4}
    reading = Reading(made_log(rates=rates, shown=12_000))
    [found] = reading.suspicious
    assert (found.rule, found.creative_id) == ("departs", "g0-9")
    assert "standard deviations" in found.why


def test_a_good_creative_among_good_and_bad_ones_does_not_depart():
    rates = {f"Text {k}": rate for k, rate in enumerate((0.02, 0.03, 0.04, 0.05, 0.07, 0.1))}
    assert departing(Reading(made_log(rates=rates, shown=12_000)).evidence) == []


def test_a_winner_three_times_as_good_as_texts_that_are_alike_is_believed():
    reading = Reading(made_log(rates=ALIKE | {"Good": 0.12}, shown=12_000))
    assert max(reading.evidence, key=lambda each: each.winner.estimate).creative.id == "g0-9"
    assert reading.suspicious == ()


def test_few_clicks_say_nothing():
    looks = []
    for shown in (40, 400):
        look = ClickLook()
        bots = [in_context(event, {"user": "bot"}) for event in interactions(made_log(shown=shown))]
        assert list(look.passing(bots)) == bots
        looks.append(look.suspicions())
    assert looks[0] == []
    assert {each.rule for each in looks[1]} == {"one_user"}


def test_contexts_that_name_no_user_cannot_show_one(honest):
    look = ClickLook()
    assert list(look.passing(interactions(honest)))
    assert look.suspicions() == []


def test_the_command_says_who_was_left_out(honest, tmp_path):
    url = f"sqlite:///{tmp_path}/log.db"
    log = open_log(url)
    changed(honest, by_one_user, into=log)
    log.close()
    result = CliRunner().invoke(
        app, ["generator", "dataset", str(tmp_path / "rows"), "--log", url, "--format", "json"]
    )
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "rows" / CARD).read_text())
    assert {each["creative_id"] for each in map(as_dict, card["suspicious"])} == {FORGED}


def as_dict(row):
    return dict(
        zip(("placement", "creative_id", "rule", "value", "bound", "why"), row, strict=True)
    )


def brief_of(reading, creative_id):
    return next(
        each.creative.lineage.brief for each in reading.evidence if each.creative.id == creative_id
    )
