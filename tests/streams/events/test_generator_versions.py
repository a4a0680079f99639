"""Versions of the generator in the log: their bytes, and what the catalogue makes of them."""

import msgspec
from msgspec import Raw

from streams.catalogue.state import Catalogue, catalogue_key
from streams.events import decode, encode
from streams.events.creatives import Canary, GateRow, GeneratorVersion

GOLDEN = (
    b'{"type":"generator_version","id":"0123456789abcdef","status":"canary","timestamp_ms":7,'
    b'"parent":"fedcba9876543210","replaces":null,"manifest":{"method":"dpo"},'
    b'"gate":[{"rule":"pass_rate","value":0.97,"bound":0.95,"passed":true,"why":"31 of 32"}],'
    b'"canary":{"since_ms":7,"share":0.1,"n":2,"low":0.0,"high":1.0,"champion_low":null,'
    b'"champion_high":null,"gain_low":-0.5,"gain_high":1.0},'
    b'"reason":"passed the gate","by":"generator","v":1}'
)
VERSION = GeneratorVersion(
    id="0123456789abcdef",
    status="canary",
    timestamp_ms=7,
    parent="fedcba9876543210",
    manifest=Raw(b'{"method":"dpo"}'),
    gate=(GateRow(rule="pass_rate", value=0.97, bound=0.95, passed=True, why="31 of 32"),),
    canary=Canary(since_ms=7, n=2, low=0.0, high=1.0, gain_low=-0.5, gain_high=1.0),
    reason="passed the gate",
    by="generator",
)


def version(name, status, at_ms=0):
    return GeneratorVersion(id=name, status=status, timestamp_ms=at_ms)


def folded(*events):
    catalogue = Catalogue()
    for at_ms, event in enumerate(events):
        catalogue.apply(event, at_ms)
    return catalogue


def test_its_bytes_stay_as_they_are():
    assert encode(VERSION) == GOLDEN
    assert decode(GOLDEN) == VERSION
    assert catalogue_key(VERSION) == "generator_version/0123456789abcdef"


def test_nothing_but_the_least_is_needed():
    least = decode(b'{"type":"generator_version","id":"v","status":"live","timestamp_ms":1}')
    assert least == GeneratorVersion(id="v", status="live", timestamp_ms=1)


def test_the_champion_is_the_one_that_became_live_last():
    assert folded().champion is None
    first = version("a", "live")
    catalogue = folded(version("b", "canary"), first)
    assert (catalogue.champion, catalogue.canary.id) == (first, "b")
    catalogue.apply(version("a", "retired"), 3)
    catalogue.apply(version("b", "live"), 3)
    assert (catalogue.champion.id, catalogue.canary) == ("b", None)
    assert [v.id for v in catalogue.generator_versions()] == ["b", "a"]


def test_taken_back_the_one_before_or_nobody_is_champion():
    catalogue = folded(version("a", "live"), version("b", "live"), version("b", "rolled_back"))
    assert catalogue.champion is None
    catalogue.apply(version("a", "live"), 4)
    assert catalogue.champion.id == "a"
    assert catalogue.generator_version("b").status == "rolled_back"
    assert catalogue.generator_version("c") is None


def test_steps_are_kept_and_how_a_trial_goes_on_is_one():
    going = [
        msgspec.structs.replace(VERSION, canary=Canary(since_ms=7, n=n), timestamp_ms=7 + n)
        for n in range(3)
    ]
    catalogue = folded(version(VERSION.id, "candidate"), *going, version(VERSION.id, "live", 20))
    steps = catalogue.generator_steps(VERSION.id)
    assert [(s.status, s.timestamp_ms) for s in steps] == [
        ("candidate", 0),
        ("canary", 9),
        ("live", 20),
    ]
    assert catalogue.generator_steps("unknown") == []
