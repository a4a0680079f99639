"""Keys by themselves: what opens, for how long, and what is kept of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.errors import RequestError
from bandit.service.auth.caller import including
from bandit.service.auth.keys import (
    KeyRing,
    described,
    is_active,
    key_messages,
    make_key,
    revoked,
    rotated,
    verified,
)
from streams.errors import LogUnavailable
from streams.events import Placement, encode
from streams.events.access import SCOPES
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics

NOW_MS = 1_000_000


def opens(key, text, now_ms=NOW_MS):
    return verified(text.encode(), {key.id: key}, now_ms) is not None


def test_a_key_opens_and_nothing_near_it_does():
    key, text = make_key("site", ["rank"], NOW_MS)
    assert opens(key, text)
    for position in range(len(text)):
        other = "A" if text[position] != "A" else "B"
        assert not opens(key, text[:position] + other + text[position + 1 :])
    assert not opens(key, text + "A")
    assert not opens(key, "")


@given(st.binary(max_size=80))
def test_what_is_no_key_opens_nothing(presented):
    key, _ = make_key("site", ["rank"], NOW_MS)
    assert verified(presented, {key.id: key}, NOW_MS) is None


def test_nothing_that_is_kept_or_told_has_the_secret_in_it():
    key, text = make_key("site", ["rank"], NOW_MS)
    secret = text.split("_", 2)[2].encode()
    assert secret not in encode(key)
    assert secret.decode() not in repr(described(key))
    assert "secrets" not in described(key)
    messages = key_messages("cli:me", "created", None, key, NOW_MS)
    assert not any(secret in message.value for message in messages)
    assert key.secrets[0].digest.hex() not in messages[0].value.decode()


def test_two_keys_of_one_secret_would_be_kept_differently():
    one, other = (make_key("site", ["rank"], NOW_MS)[0] for _ in range(2))
    assert one.secrets[0].salt != other.secrets[0].salt


def test_a_key_ends_at_its_time_and_not_before():
    key, text = make_key("site", ["rank"], NOW_MS, lasts_seconds=1)
    assert opens(key, text, NOW_MS + 999)
    assert not opens(key, text, NOW_MS + 1000)


def test_a_revoked_key_opens_nothing_and_is_not_rotated():
    key, text = make_key("site", ["rank"], NOW_MS)
    gone = revoked(key, NOW_MS)
    assert not opens(gone, text)
    assert revoked(gone, NOW_MS + 5) is gone
    with pytest.raises(RequestError, match="revoked") as raised:
        rotated(gone, NOW_MS)
    assert raised.value.code == "key_revoked"


def test_rotation_lets_the_old_secret_work_for_the_grace_only():
    key, old = make_key("site", ["rank"], NOW_MS)
    turned, new = rotated(key, NOW_MS, grace_seconds=10)
    assert opens(turned, new)
    assert opens(turned, old, NOW_MS + 9_999)
    assert not opens(turned, old, NOW_MS + 10_000)
    assert opens(turned, new, NOW_MS + 10_000)
    again, newest = rotated(turned, NOW_MS + 10_000, grace_seconds=0)
    assert len(again.secrets) == 2, "the first secret is over and goes"
    assert opens(again, newest, NOW_MS + 10_000)
    assert not opens(again, new, NOW_MS + 10_000)


def test_scopes_include_those_below_them():
    assert including(["admin"]) == set(SCOPES)
    assert including(["operate"]) == {"operate", "review", "view"}
    assert including(["rank", "reward"]) == {"rank", "reward"}
    assert including([]) == set()


@pytest.fixture
def log():
    opened = MemoryLog()
    create_topics(opened)
    return opened


class Clock:
    now_ms = NOW_MS

    def __call__(self):
        return self.now_ms


def test_a_ring_follows_the_log_and_forgets_what_it_had_found_right(log):
    ring = KeyRing(log, Clock())
    ring.catch_up()
    assert not ring.has_keys
    key, text = make_key("site", ["rank"], NOW_MS)
    log.append(key_messages("me", "created", None, key, NOW_MS))
    ring.catch_up()
    assert ring.has_keys
    found = ring.caller(text.encode())
    assert found.id == f"key:{key.id}"
    assert ring.caller(text.encode()) is found, "remembered"
    log.append(key_messages("me", "revoked", key, revoked(key, NOW_MS), NOW_MS))
    ring.catch_up()
    assert ring.caller(text.encode()) is None
    assert ring.has_keys, "the end of the last key does not open the door"
    assert ring.active() == []


def test_a_ring_forgets_a_key_whose_time_is_over(log):
    clock = Clock()
    ring = KeyRing(log, clock)
    key, text = make_key("site", ["rank"], NOW_MS, lasts_seconds=1)
    log.append(key_messages("me", "created", None, key, NOW_MS))
    ring.catch_up()
    assert ring.caller(text.encode())
    clock.now_ms += 1000
    ring.catch_up()
    assert ring.caller(text.encode()) is None
    assert not is_active(key, clock.now_ms)


def test_keys_that_were_read_before_the_log_went_away_are_not_lost(log, monkeypatch):
    keys = [make_key("site", ["rank"], NOW_MS)[0] for _ in range(1001)]
    for key in keys:
        log.append(key_messages("me", "created", None, key, NOW_MS))
    ring, read = KeyRing(log, Clock()), log.read

    def away_at_the_end(partition, offset, *, limit):
        if offset > 1:
            raise LogUnavailable("away")
        return read(partition, offset, limit=limit)

    monkeypatch.setattr(log, "read", away_at_the_end)
    with pytest.raises(LogUnavailable):
        ring.catch_up()
    monkeypatch.undo()
    ring.catch_up()
    assert {key.id for key in ring.every()} == {key.id for key in keys}


def test_a_record_that_is_no_key_is_left_out(log, caplog):
    key, text = make_key("site", ["rank"], NOW_MS)
    _, message = key_messages("me", "created", None, key, NOW_MS)
    log.append([message._replace(key=b"x", value=b"{nonsense"), message])
    ring = KeyRing(log, Clock())
    ring.catch_up()
    assert ring.caller(text.encode())
    assert "is no key" in caplog.text


@pytest.mark.parametrize(
    "value",
    [b"{nonsense", b"", b'{"type":"api_key","v":99,"id":"x"}', encode(Placement(name="p"))],
)
def test_records_that_cannot_be_read_keep_the_door_shut(log, value):
    ring = KeyRing(log, Clock())
    log.append([Message("access", b"0123456789ab", value, partition=0)])
    ring.catch_up()
    assert ring.has_keys
    assert (ring.unreadable, ring.active()) == (1, [])
    ring.catch_up()
    assert ring.has_keys, "also at the next look"


def test_a_key_whose_latest_record_cannot_be_read_opens_nothing_until_one_can(log):
    ring = KeyRing(log, Clock())
    key, text = make_key("site", ["rank"], NOW_MS)
    _, message = key_messages("me", "created", None, key, NOW_MS)
    log.append([message])
    ring.catch_up()
    assert ring.caller(text.encode())
    log.append([message._replace(value=b"{")])
    ring.catch_up()
    assert ring.caller(text.encode()) is None, "it may have said that the key was revoked"
    log.append([message])
    ring.catch_up()
    assert ring.caller(text.encode())
    assert ring.unreadable == 0


def test_the_log_keeps_the_last_of_each_key(log):
    key, _ = make_key("site", ["rank"], NOW_MS)
    for after in (key, rotated(key, NOW_MS)[0], revoked(key, NOW_MS)):
        log.append(key_messages("me", "changed", key, after, NOW_MS))
    assert len(log.read(TopicPartition("access", 0), 0)) == 1
