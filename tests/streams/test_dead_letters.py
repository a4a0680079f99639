import pytest

from streams.dead_letters import (
    REPLAYED_FROM,
    REPLAYED_ORIGIN,
    dead_letter_message,
    find_dead_letter,
    latest,
    letter_of,
    origin_of,
    read_dead_letters,
    readable,
    replay,
)
from streams.errors import DeadLetterError, SchemaError, TopicError
from streams.events import DEAD_LETTER, INTERACTIONS, OUTCOMES, POLICIES, Outcome, Tick, encode
from streams.fold import scan_topic
from streams.logs.base import Message, Record, TopicPartition
from streams.topics import create_topics

CLICK = Outcome(event_id="e-1", outcome_id="o-1", kind="click", timestamp_ms=5)
HEADERS = (("traceparent", b"00-1"), ("reason", b"the shop's own"), ("\u00e4", b"\xff"))


@pytest.fixture
def log(empty_log):
    create_topics(empty_log, partitions=4)
    empty_log.create_topic("clicks", partitions=2)
    return empty_log


def lay_aside(log, value=b"{", *, topic="clicks", code="late", key=b"k", at=None, offset=7):
    record = Record(topic, 1, offset, 0, key, value, HEADERS)
    message = dead_letter_message(record, code, f"{code} indeed")
    (written,) = log.append([message._replace(timestamp_ms=at)])
    return find_dead_letter(log, f"{written.partition}-{written.offset}")


def only(log, topic):
    """The one record of the topic, whichever partition it is in."""
    (record,) = scan_topic(log, topic)
    return record


def test_a_letter_says_what_was_laid_aside_and_why(log):
    letter = lay_aside(log, b"\x00bytes")
    assert (letter.reason, letter.error) == ("late", "late indeed")
    assert letter.place == "clicks/1@7"
    assert (letter.key, letter.value, letter.headers) == (b"k", b"\x00bytes", HEADERS)


def test_the_latest_come_first_and_all_are_counted(log):
    for n in range(5):
        lay_aside(log, b"%d" % n, code="late" if n % 2 else "orphan", at=1000 + n // 2)
    letters, counts = latest(log, 3)
    assert [letter.value for letter in letters] == [b"4", b"3", b"2"]
    assert counts == {"orphan": 3, "late": 2}


def test_letters_can_be_picked_by_reason(log):
    for n in range(4):
        lay_aside(log, b"%d" % n, code="late" if n % 2 else "orphan")
    assert [letter.value for letter in read_dead_letters(log, reason="late")] == [b"1", b"3"]
    letters, counts = latest(log, 1, reason="late")
    assert [letter.value for letter in letters] == [b"3"]
    assert counts == {"orphan": 2, "late": 2}


@pytest.mark.parametrize("letter_id", ["0-1", "1-0", "0", "-1-0", "x-y", "", "0-0x", "0-²"])
def test_a_letter_that_is_not_there_is_an_error(log, letter_id):
    lay_aside(log)
    with pytest.raises(DeadLetterError, match="no dead letter"):
        find_dead_letter(log, letter_id)


def test_what_others_wrote_into_the_topic_is_shown_as_it_is(log):
    log.append([Message(DEAD_LETTER, b"k", b"v", (("offset", b"1"), ("note", b"n")))])
    (letter,) = read_dead_letters(log)
    assert (letter.reason, letter.place, letter.headers[1]) == ("", "unknown", ("note", b"n"))
    with pytest.raises(DeadLetterError, match="what topic"):
        replay(log, [letter])


def test_a_replay_appends_the_original_with_its_headers_and_where_it_is_from(log):
    letter = lay_aside(log, b"\xffraw")
    (written,) = replay(log, [letter])
    record = only(log, "clicks")
    assert written.offset == record.offset
    assert (record.key, record.value) == (b"k", b"\xffraw")
    added = ((REPLAYED_FROM, letter.id.encode()), (REPLAYED_ORIGIN, b"clicks/1@7"))
    assert record.headers == HEADERS + added
    assert origin_of(record) == "clicks/1@7"


def test_what_is_replayed_from_a_replay_still_knows_its_first_place(log):
    replay(log, [lay_aside(log)])
    again = only(log, "clicks")
    (written,) = log.append([dead_letter_message(again, "late", "still")])
    letter = find_dead_letter(log, f"0-{written.offset}")
    assert letter.place == f"clicks/{again.partition}@{again.offset}"
    (third,) = replay(log, [letter])
    (record,) = log.read(TopicPartition("clicks", third.partition), third.offset)
    assert origin_of(record) == "clicks/1@7"
    names = [name for name, _ in record.headers]
    assert names.count(REPLAYED_FROM) == names.count(REPLAYED_ORIGIN) == 1
    assert dict(record.headers)[REPLAYED_FROM] == letter.id.encode()


def test_an_outcome_is_replayed_to_where_its_decision_is(log):
    replay(log, [lay_aside(log, encode(CLICK), topic=OUTCOMES, key=b"user-9")])
    assert only(log, OUTCOMES).key == b"e-1"


def test_mended_bytes_go_by_the_key_that_they_now_have(log):
    letter = lay_aside(log, b"{", topic=OUTCOMES)
    replay(log, [letter], value=encode(CLICK))
    record = only(log, OUTCOMES)
    assert (record.key, record.value) == (b"e-1", encode(CLICK))


def test_bytes_that_are_still_no_event_are_refused_before_they_are_sent(log):
    letter = lay_aside(log, b"{", topic=OUTCOMES)
    with pytest.raises(SchemaError):
        replay(log, [letter], value=b'{"type":"outcome"}')
    assert log.end_offset(TopicPartition(OUTCOMES, 0)) == 0


def test_unreadable_bytes_and_other_events_keep_their_key(log):
    for n, value in enumerate([b"{", encode(Tick())]):
        replay(log, [lay_aside(log, value, topic=OUTCOMES, offset=n)])
    partitions = (TopicPartition(OUTCOMES, n) for n in range(4))
    assert {r.key for partition in partitions for r in log.read(partition, 0)} == {b"k"}


@pytest.mark.parametrize("topic", [INTERACTIONS, POLICIES])
def test_what_follows_from_other_records_is_not_replayed(log, topic):
    letters = [lay_aside(log), lay_aside(log, topic=topic)]
    with pytest.raises(DeadLetterError, match="follow from others"):
        replay(log, letters)
    assert log.end_offset(TopicPartition("clicks", 0)) == 0


def test_a_topic_that_is_gone_is_an_error_and_nothing_is_sent(log):
    letters = [lay_aside(log, topic=topic) for topic in ("clicks", "gone")]
    with pytest.raises(TopicError):
        replay(log, letters)
    assert log.end_offset(TopicPartition("clicks", 0)) == 0


def test_a_letter_can_be_shown_as_json_whatever_it_holds(log):
    shown = readable(letter_of(Record(DEAD_LETTER, 0, 3, 9, b"k", b"\xff", HEADERS)))
    assert shown["id"] == "0-3"
    assert shown["value"] == {"base64": "/w=="}
    assert shown["headers"][0] == {"name": "traceparent", "value": "00-1"}
