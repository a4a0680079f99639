"""Which changes of the catalogue count is a fold: the log alone decides."""

import pytest

from streams.catalogue.changes import ABSENT, CHANGE, KEPT_MS, Change
from streams.catalogue.state import PARTITION, CatalogueReader, change_messages
from streams.events import Placement
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.decisions import a_creative


class Hand:
    """Writes changes at times of its own, and reads them back."""

    def __init__(self):
        self.now_ms = 1_000
        self.log = MemoryLog(clock=lambda: self.now_ms)
        create_topics(self.log)
        self.reader = CatalogueReader(self.log)

    def write(self, events, **change):
        self.log.append(change_messages(events, Change(size=len(events), **change)))
        self.reader.catch_up()
        return self.reader.changes.counted(change["id"])

    def learn(self):
        return self.reader.catalogue.placement("home").learn


HOME = "placement/home"


def home(learn="realtime"):
    return Placement(name="home", learn=learn)


@pytest.fixture
def hand():
    return Hand()


def test_a_change_that_came_too_late_does_not_count(hand):
    assert hand.write([home()], id="1", expects={HOME: ABSENT})
    seen = hand.reader.changes.stamp(HOME)
    assert hand.write([home("window")], id="2", expects={HOME: seen})
    assert hand.write([home("realtime")], id="3", expects={HOME: seen}) is False
    assert hand.learn() == "window"
    assert hand.write([home("realtime")], id="4"), "it demands nothing"


def test_a_change_counts_as_a_whole(hand):
    assert hand.write([a_creative("b")], id="1")
    late = {f"creative/home/{c}": ABSENT for c in "abc"}
    assert hand.write([a_creative(c) for c in "abc"], id="2", expects=late) is False
    assert [c.id for c in hand.reader.catalogue.creatives("home")] == ["b"]


def test_a_change_that_is_appended_again_counts_once(hand):
    made = change_messages([a_creative("a"), home()], Change(id="1", size=2, key="k", request="r"))
    hand.log.append(made)
    assert hand.write([home("window")], id="2")
    hand.log.append(made)
    hand.reader.catch_up()
    assert hand.learn() == "window"
    assert hand.reader.changes.kept("k").complete


def test_a_key_counts_once_a_day(hand):
    assert hand.write([home("window")], id="1", key="k", request="r")
    hand.now_ms += KEPT_MS
    assert hand.write([home("realtime")], id="2", key="k", request="r") is False
    assert hand.reader.changes.kept("k").change.id == "1"
    hand.now_ms += 1
    assert hand.write([home("realtime")], id="3", key="k", request="r")
    assert hand.reader.changes.kept("k").change.id == "3"
    assert hand.reader.changes.counted("1") is None, "who waited for it has heard long ago"


def test_a_kept_change_knows_all_that_it_wrote(hand):
    hand.write([a_creative("a"), a_creative("b")], id="1", key="k", request="r")
    kept = hand.reader.changes.kept("k")
    assert kept.complete
    assert len(kept.values) == 2


def test_what_is_no_change_of_ours_counts_as_it_is(hand):
    (message,) = change_messages([home("window")], Change(id="1", expects={HOME: "elsewhere"}))
    for odd in (b"", b"\xff", b"[]", b'{"id": 1}'):
        hand.log.append([message._replace(headers=((CHANGE, odd),))])
    assert hand.reader.catch_up()
    assert hand.learn() == "window"
    assert hand.reader.unreadable == []


def test_the_same_log_gives_the_same_verdicts(hand):
    for number in range(40):
        stamp = hand.reader.changes.stamp(HOME) if number % 3 else "stale"
        key = f"k{number % 7}"
        event = home(("window", "realtime")[number % 2])
        hand.write([event], id=str(number), expects={HOME: stamp}, key=key, request="r")
        hand.now_ms += KEPT_MS // 9
    again = CatalogueReader(hand.log)
    for record in hand.log.read(PARTITION, 0, limit=1000):
        again.take(record)
    assert again.changes.stamp(HOME) == hand.reader.changes.stamp(HOME)
    assert again.catalogue.placement_history("home") == hand.reader.catalogue.placement_history(
        "home"
    )
    assert 1 < len(again.catalogue.placement_history("home")) < 40
