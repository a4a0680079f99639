"""Private fields of contexts and signed event ids, alone and through a real server."""

import json

import pytest
from msgspec import Raw

from bandit.errors import RequestError, SettingError
from bandit.service.auth.privacy import LONGEST_ID, PrivacyFilter, signature
from bandit.service.settings import Secret, Settings
from streams.events import DECISIONS, OUTCOMES, Placement
from streams.events.access import Protection
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running


def loads(raw):
    return json.loads(bytes(raw))


SALT, SIGNING = Secret("salt of the earth"), Secret("new-secret-0123456789 old-secret-0123456789")


def placed(*private, signed=False):
    return Placement(name="home", protection=Protection(private=private, signed_rewards=signed))


def hidden(context, *private, salt=SALT):
    shield = PrivacyFilter(salt, Secret())
    return loads(shield.hidden(placed(*private), Raw(json.dumps(context).encode())))


def test_equal_values_stay_equal_and_others_do_not():
    one = hidden({"user": "ada", "hour": 9}, "user")
    assert one["hour"] == 9
    assert one["user"].startswith("hidden:")
    assert one == hidden({"hour": 9, "user": "ada"}, "user")
    assert one != hidden({"user": "bob", "hour": 9}, "user")
    assert one != hidden({"user": "ada", "hour": 9}, "user", salt=Secret("another salt entirely"))
    assert hidden({"n": 1}, "n") != hidden({"n": "1"}, "n")
    escaped = PrivacyFilter(SALT, Secret()).hidden(placed("user"), Raw(b'{"user": "\\u0061da"}'))
    assert loads(escaped)["user"] == one["user"]


def test_a_path_goes_into_objects_and_lists_and_hides_all_that_is_there():
    context = {"FromUrl": [{"geo": {"zip": "10115", "town": "B"}}, {"geo": 3}], "tags": ["x", "y"]}
    found = hidden(context, "FromUrl.geo", "tags", "not.there")
    text = json.dumps(found)
    assert "10115" not in text
    assert set(found["FromUrl"][0]["geo"]) == {"zip", "town"}, "its shape is kept"
    assert found["FromUrl"][1]["geo"].startswith("hidden:")
    assert len(set(found["tags"])) == 2
    assert hidden({"a": None}, "a") == {"a": None}


@pytest.mark.parametrize(
    "context",
    [
        b'{"user":{"mail":"ada"},"user":{"mail":"bob"}}',
        b'{"user":{"mail":"ada"},"user":5}',
        b'{"\\u0075ser":{"mail":"ada"},"user":{}}',
        b'{"user":{"mail":"ada","m\\u0061il":null}}',
    ],
)
def test_a_private_field_does_not_hide_behind_a_key_that_stands_twice(context):
    found = PrivacyFilter(SALT, Secret()).hidden(placed("user.mail"), Raw(context))
    assert b"ada" not in bytes(found)


def test_a_context_without_private_fields_is_left_as_it_came():
    context = Raw(b'{"user" : "ada"}')
    assert PrivacyFilter(SALT, Secret()).hidden(Placement(name="home"), context) is context


@pytest.mark.parametrize(
    ("salt", "signing", "named"),
    [("short", "", "PRIVATE_SALT"), ("", "long-enough-for-anyone short", "REWARD_SECRET")],
)
def test_secrets_that_could_be_guessed_stop_the_start(salt, signing, named):
    with pytest.raises(SettingError, match=f"COPYLOOP_{named}") as raised:
        PrivacyFilter(Secret(salt), Secret(signing))
    assert "short" not in str(raised.value)


def test_a_server_without_the_secrets_refuses_rather_than_logs():
    shield = PrivacyFilter(Secret(), Secret())
    for placement, code in (
        (placed("user"), "private_salt_missing"),
        (placed(signed=True), "reward_secret_missing"),
    ):
        with pytest.raises(RequestError) as raised:
            shield.check(placement)
        assert (raised.value.status, raised.value.code) == (503, code)
    with pytest.raises(RequestError):
        shield.hidden(placed("user"), Raw(b"{}"))
    shield.check(Placement(name="plain"))


def test_only_signed_ids_of_the_same_placement_are_taken():
    shield = PrivacyFilter(Secret(), SIGNING)
    placement = placed(signed=True)
    signed = shield.event_id(placement, None, "e1")
    shield.check_signed(placement, signed)
    assert shield.event_id(placement, signed, "unused") == signed, "asked again"
    other = Placement(name="other", protection=Protection(signed_rewards=True))
    for wrong in ("e1", "e1~", "~", "", "e2~" + signed[3:], signed[:-1], signed + "A", "é~é"):
        with pytest.raises(RequestError) as raised:
            shield.check_signed(placement, wrong)
        assert (raised.value.status, raised.value.code) == (403, "reward_unsigned")
    with pytest.raises(RequestError):
        shield.check_signed(other, signed)
    with pytest.raises(RequestError) as raised:
        shield.event_id(placement, "chosen", "made")
    assert raised.value.code == "event_id_unsigned"


def test_a_secret_is_replaced_by_adding_one_in_front():
    placement = placed(signed=True)
    old = f"e~{signature(b'old-secret-0123456789', 'home', 'e')}"
    assert len(old) <= 256
    assert LONGEST_ID + len(old) - 1 == 256
    PrivacyFilter(Secret(), SIGNING).check_signed(placement, old)
    made = PrivacyFilter(Secret(), SIGNING).event_id(placement, None, "e")
    with pytest.raises(RequestError):
        PrivacyFilter(Secret(), Secret("old-secret-0123456789")).check_signed(placement, made)


@pytest.fixture(scope="module")
def api():
    settings = Settings(private_salt=SALT, reward_secret=SIGNING)
    with running(MemoryLog(), settings) as api:
        yield api


def test_what_is_private_reaches_neither_log_nor_answer(api):
    name = api.placement(
        "private", protection={"private": ["user", "device.id"]}, policy={"name": "uniform"}
    )
    context = {"user": "ada@example.org", "device": {"id": "ABC-123", "kind": "phone"}}
    first = api.rank(name, context=context, slots=[{"id": "s"}])
    second = api.rank(name, context=context)
    assert first.status_code == second.status_code == 200
    bulk = b"".join(record.value for record in api.records(DECISIONS))
    assert b"ada@" not in bulk
    assert b"ABC-123" not in bulk
    logged = loads(api.decision(second.json()["event_id"]).context)
    assert logged["device"]["kind"] == "phone"
    assert logged["user"].startswith("hidden:")
    seen = loads(api.decision(first.json()["event_id"]).context)
    assert seen["user"] == logged["user"]
    assert api.client.get(f"/v1/placements/{name}").json()["protection"]["private"] == [
        "user",
        "device.id",
    ]


def test_strangers_cannot_activate_a_signed_decision_nor_hide_among_others(api):
    name = api.placement("signed", protection={"signed_rewards": True})
    event_id = api.rank(name).json()["event_id"]
    for wrong in (event_id[:-1], "made-up"):
        assert code_of(api.event(name, wrong, "activate", {})) == (403, "reward_unsigned")
    assert api.event(name, event_id, "activate", {}).status_code == 204
    bulk = [{"placement": name, "event_id": one, "kind": "click"} for one in (event_id, "made-up")]
    told = api.client.post("/v1/outcomes", json=bulk).json()
    assert told["accepted"] == 1
    assert [refused["code"] for refused in told["refused"]] == ["reward_unsigned"]
    assert {outcome.event_id for outcome in api.logged(OUTCOMES)} == {event_id}


def test_a_placement_that_cannot_be_protected_is_not_made():
    with running(MemoryLog()) as bare:
        for protection, code in (
            ({"private": ["user"]}, "private_salt_missing"),
            ({"signed_rewards": True}, "reward_secret_missing"),
        ):
            refused = bare.client.put("/v1/placements/p", json={"protection": protection})
            assert code_of(refused) == (503, code)
        assert bare.client.get("/v1/placements").json()["items"] == []
