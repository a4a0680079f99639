"""Posted creatives: what goes with the text, what is refused and where, and who must approve."""

import pytest

from bandit.service.screening import PostedRefusal
from streams.errors import SchemaVersionError
from streams.events import Placement, decode, encode
from streams.events.fields import POSTED_VERSION
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import code_of, running

AD = {
    "final_url": "https://example.org/shoes",
    "display_path": ["shoes"],
    "call_to_action": "SHOP_NOW",
    "image": "shoe.png",
    "pins": {"headline": 1},
    "booked": {"Campaign": "Spring"},
}


def post(api, name, body):
    return api.client.post(f"/v1/placements/{name}/creatives", json=body)


def target_of(answer):
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "body_invalid"
    return answer.json()["error"]["target"]


def test_what_goes_with_a_text_is_kept_and_answered_with_it(api):
    name = api.placement("with-ads", [])
    made = post(api, name, {"id": "a", "parts": {"headline": "Run far"}, "ad": AD})
    assert made.status_code == 201
    assert made.json()["items"][0]["ad"]["booked"] == {"Campaign": "Spring"}
    shown = api.rank(name).json()["action"]
    assert shown["parts"] == {"headline": "Run far"}
    # Where it is booked is not for those who are shown it.
    assert shown["ad"] == {field: value for field, value in AD.items() if field != "booked"}
    path = f"/v1/placements/{name}/creatives/a"
    changed = api.client.patch(path, json={"ad": {"final_url": "https://example.org/b"}}).json()
    assert (changed["ad"]["final_url"], changed["status"]) == ("https://example.org/b", "live")


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000"])
def test_an_empty_text_is_refused(api, text):
    name = api.placement("no-blanks", [])
    assert target_of(post(api, name, {"parts": {"headline": text}})) == "parts.headline"
    both = [{"parts": {"headline": "Hi"}}, {"parts": {"headline": "Ho", "body": text}}]
    assert target_of(post(api, name, both)) == "1.parts.body"
    assert api.pages(f"/v1/placements/{name}/creatives", 100) == []


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        ({}, "parts"),
        ({"parts": {}}, "parts"),
        ({"parts": {"headline": 1}}, "parts.headline"),
        ({"parts": {"headline": "a"}, "statsu": "live"}, "statsu"),
        ({"parts": {"headline": "a"}, "status": "shown"}, "status"),
        ({"parts": {"headline": "a"}, "ad": {"pins": {"headline": 0}}}, "ad.pins.headline"),
        ({"parts": {"headline": "a"}, "ad": {"final_url": "javascript:x"}}, "ad.final_url"),
        ({"parts": {"headline": "a"}, "ad": {"url": "https://a.b"}}, "ad.url"),
        ({"parts": {"headline": "a"}, "id": ".."}, "id"),
    ],
)
def test_a_bad_creative_is_told_by_field_and_in_a_list_by_its_place(api, bad, where):
    name = api.placement("told", [])
    for body, target in (
        (bad, where),
        ([bad], f"0.{where}"),
        ([{"parts": {"headline": "Hi"}}, bad], f"1.{where}"),
    ):
        error = post(api, name, body).json()["error"]
        assert error["target"] == target
        assert "CreativeBody" not in str(error)
    assert api.pages(f"/v1/placements/{name}/creatives", 100) == []


@pytest.mark.parametrize("body", ["text", 7, [1], ["x"], None])
def test_what_is_no_creative_names_no_class_of_ours(api, body):
    answer = post(api, api.placement("told", []), body)
    assert answer.status_code == 422
    assert "CreativeBody" not in answer.text


def test_one_of_a_list_that_is_there_already_is_told_by_its_place(api):
    name = api.placement("twice", ["a"])
    answer = post(
        api, name, [{"parts": {"headline": "b"}}, {"id": "a", "parts": {"headline": "a"}}]
    )
    assert code_of(answer) == (409, "creative_exists")
    assert answer.json()["error"]["target"] == "1.id"


def test_a_placement_that_reviews_keeps_posted_creatives_back(api):
    name = api.placement("reviewed", [], posted="review")
    assert api.client.get(f"/v1/placements/{name}").json()["posted"] == "review"
    bodies = [{"id": s, "parts": {"headline": s}, "status": s} for s in ("live", "proposed")]
    made = post(api, name, bodies).json()["items"]
    assert [item["status"] for item in made] == ["screened", "proposed"]
    assert code_of(api.rank(name)) == (409, "no_live_creatives")
    path = f"/v1/placements/{name}/creatives/live/review"
    assert api.client.post(path, json={"verdict": "approve"}).json()["status"] == "live"
    assert api.rank(name).json()["action"]["id"] == "live"


def test_a_server_without_a_screen_adds_nothing_to_a_placement_that_screens(api):
    name = api.placement("unscreened", [], posted="screened")
    assert code_of(post(api, name, {"parts": {"headline": "Hi"}})) == (503, "screen_unavailable")
    assert api.pages(f"/v1/placements/{name}/creatives", 100) == []


def test_an_older_reader_refuses_what_it_would_show_unscreened():
    plain, kept = Placement(name="a"), Placement(name="a", posted="review", v=POSTED_VERSION)
    assert b"posted" not in encode(plain)
    assert decode(encode(kept)) == kept
    with pytest.raises(SchemaVersionError):
        decode(encode(kept).replace(b'"v":6', b'"v":99'))


def screen(brief, creatives):
    """Refuses every text with an exclamation mark."""
    return [
        [
            PostedRefusal(part, "loud", f"{text!r} shouts")
            for part, text in parts.items()
            if "!" in text
        ]
        for parts in creatives
    ]


@pytest.fixture(scope="module")
def screened(tmp_path_factory):
    log = SqliteLog(tmp_path_factory.mktemp("screened") / "log.db")
    with running(log, screen=screen) as api:
        yield api
    log.close()


def test_what_breaks_the_rules_comes_back_with_each_reason_and_nothing_is_added(screened):
    name = screened.placement("quiet", [], posted="screened")
    bodies = [
        {"parts": {"headline": "Calm"}},
        {"parts": {"headline": "Loud!", "body": "Louder!"}},
        {"parts": {"headline": "Hey!"}},
    ]
    answer = post(screened, name, bodies)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "creative_refused")
    assert error["target"] == "1.parts.headline"
    for told in ("1.parts.headline: loud: 'Loud!' shouts", "1.parts.body: ", "2.parts.headline: "):
        assert told in error["message"]
    assert screened.pages(f"/v1/placements/{name}/creatives", 100) == []
    one = post(screened, name, {"parts": {"headline": "Hey!"}}).json()["error"]
    assert one["target"] == "parts.headline"
    made = post(screened, name, bodies[:1]).json()["items"]
    assert made[0]["status"] == "live"


def test_an_edited_text_is_screened_too(screened):
    name = screened.placement("edited", [], posted="screened")
    body = {"id": "a", "parts": {"headline": "Calm"}, "status": "proposed"}
    post(screened, name, body).raise_for_status()
    path = f"/v1/placements/{name}/creatives/a/review"
    edit = {"verdict": "edit", "parts": {"headline": "Now!"}}
    assert code_of(screened.client.post(path, json=edit)) == (422, "creative_refused")
    edit["parts"]["headline"] = "Now"
    assert screened.client.post(path, json=edit).json()["status"] == "live"


def test_other_placements_are_as_they_were(screened):
    name = screened.placement("loud", [])
    assert post(screened, name, {"parts": {"headline": "Hey!"}}).status_code == 201
