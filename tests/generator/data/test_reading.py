"""Refused texts come as the worse ones of pairs, where a gate read them by themselves."""

import pytest

from generator.data.evidence import Suspicion
from generator.data.reading import WEIGHT, Reading, with_refusals
from streams.catalogue.state import catalogue_message
from streams.events import Lineage
from tests.bandit.decisions import a_creative
from tests.generator.data.made_log import RATES, made_log

PRODUCTS = ("coffee", "tea", "cocoa", "juice", "soda")
REFUSED = {
    "Coffee coffee coffee": "repeats: 'coffee' comes twice",
    "Hot cups": "duplicate: says what 'Hot cup' says",
    "The words of a stranger": "off_topic: far from the brief",
    "A person's no": "person: not our tone",
}


def refused(text, reason, *, generation="g0"):
    lineage = Lineage(generation_id=generation)
    return a_creative(f"refused {text}", text, "rejected", reason=reason, lineage=lineage)


@pytest.fixture(scope="module")
def reading():
    log = made_log(products=PRODUCTS)
    rejected = [refused(text, reason) for text, reason in REFUSED.items()]
    late = refused("Soda soda", "repeats: 'soda' comes twice", generation="g4")
    unknown = refused("Nobody's words", "repeats: twice", generation="gone")
    log.append([catalogue_message(creative) for creative in (*rejected, late, unknown)])
    return Reading(log)


@pytest.fixture(scope="module")
def dataset(reading):
    return reading.dataset(refused=False)


def test_what_a_gate_refused_by_itself_is_worse_than_what_passed(reading, dataset):
    found = reading.dataset()
    assert found.prefer[: len(dataset.prefer)] == dataset.prefer
    added = found.prefer[len(dataset.prefer) :]
    assert [row.worse for row in added] == [
        "Coffee coffee coffee",
        "The words of a stranger",
        "Soda soda",
    ]
    assert {row.weight for row in added} == {WEIGHT}
    assert {row.better for row in added} <= set(RATES)
    assert added[0].better != added[1].better
    assert added[0].prompt == 'Product: coffee (fresh)\nHeadline: "'
    assert {row.refused for row in added} == {True}
    assert {row.refused for row in dataset.prefer} == {False}
    assert found.imitate == dataset.imitate


def test_they_keep_to_the_split_of_their_brief(reading, dataset):
    found = reading.dataset()
    added = found.prefer[len(dataset.prefer) :]
    splits = {row.worse: row.split for row in added}
    assert splits["Coffee coffee coffee"] == "train"
    assert splits["Soda soda"] == "test"


def test_a_suspicious_creative_is_no_example_of_what_passed(reading, dataset):
    doubted = Suspicion("home", "g4-0", "one_user", 0.9, 0.25, "bot")
    found = with_refusals(
        dataset._replace(suspicious=(doubted,)), reading.evidence, reading.refusals()
    )
    plain = reading.dataset()
    mine = {row.better for row in plain.prefer if row.worse == "Soda soda"}
    assert mine == {"Beans that wake you"}
    assert {row.better for row in found.prefer if row.worse == "Soda soda"} == {"Coffee, daily"}
