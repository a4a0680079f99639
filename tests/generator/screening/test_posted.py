"""The gates over what is posted: with the placement's brief, and without one."""

import subprocess
import sys

import httpx
import msgspec
import pytest
from msgspec import Raw

from bandit.errors import RequestError
from generator.screening.posted import refusals
from generator.screening.settings import usual
from tests.running import copyloop_up

BRIEF = {
    "version": 2,
    "product": "light running shoes",
    "brand": "Ridgeway",
    "facts": ["198 g", "free returns"],
    "environment": {"channel": "google_rsa"},
    "constraints": {"never_use": ["cheap"], "competitors": ["Fleetfoot"]},
}
RAW = Raw(msgspec.json.encode(BRIEF))


def codes(brief, **parts):
    [found] = refusals(brief, [parts], usual())
    return {(each.part, each.code) for each in found}


def test_what_the_brief_rules_out_is_refused_by_part():
    found = codes(RAW, headline_1="Light running shoes", headline_2="Cheap running shoes")
    assert found == {("headline_2", "never_use")}
    assert codes(RAW, headline_1="Lighter than Fleetfoot") == {("headline_1", "never_use")}
    assert codes(RAW, headline_1="Running shoes of 150 g") == {("headline_1", "figures")}


def test_length_is_the_channel_s():
    assert codes(RAW, headline_1="Light running shoes for everyone") == {("headline_1", "length")}
    assert codes(RAW, description_1="Light running shoes for everyone") == set()


def test_required_claims_may_stand_in_any_part():
    brief = BRIEF | {"constraints": {"required_claims": ["Free returns."]}}
    raw = Raw(msgspec.json.encode(brief))
    assert codes(raw, headline_1="Light running shoes") == {("", "required_claims")}
    assert codes(raw, headline_1="Light running shoes", description_1="Run. Free returns.") == set()


def test_a_brief_that_cannot_be_read_holds_nothing_to_itself():
    with pytest.raises(RequestError, match="produkt: there is no such field") as caught:
        codes(Raw(b'{"produkt": "tea"}'), headline="Tea")
    assert (caught.value.status, caught.value.code) == (409, "brief_invalid")


def test_two_that_are_alike_may_both_be_tried():
    texts = [{"headline_1": "Light running shoes"}, {"headline_1": "Light running shoes!"}]
    assert [len(found) for found in refusals(RAW, texts, usual())] == [0, 0]


@pytest.mark.parametrize("text", ["Holy shit, what a shoe", "<b>Run</b> further"])
def test_without_a_brief_what_is_never_fit_to_show_is_refused(text):
    assert codes(None, headline=text)


@pytest.mark.parametrize(
    "text",
    ["轻如羽毛，说走就走", "Leicht wie ein Brief", "¿Corres mañana?", "Half the weight of 2023"],
)
def test_without_a_brief_nothing_is_asked_that_a_brief_would_say(text):
    assert codes(None, headline=text) == set()


def test_up_screens_what_is_posted_by_the_gates_that_it_is_given(tmp_path):
    gates = tmp_path / "gates.yaml"
    gates.write_text("profanity: {extra: [blorf], allowed: []}\n")
    with copyloop_up(tmp_path, "--no-generator", "--gates", str(gates)) as url:
        client = httpx.Client(base_url=url, timeout=60)
        client.put("/v1/placements/home", json={"posted": "screened"}).raise_for_status()
        path = "/v1/placements/home/creatives"
        refused = client.post(
            path,
            json=[{"parts": {"headline": "Warm feet"}}, {"parts": {"headline": "What a blorf"}}],
        )
        assert refused.status_code == 422, refused.text
        error = refused.json()["error"]
        assert (error["code"], error["target"]) == ("creative_refused", "1.parts.headline")
        assert "profanity" in error["message"]
        brief = BRIEF | {"environment": {}}
        asked = {"brief": brief, "n": 1, "seed": 1}
        client.post("/v1/placements/home/generations", json=asked).raise_for_status()
        ruled_out = client.post(path, json={"parts": {"headline": "Cheap running shoes"}})
        assert "never_use" in ruled_out.json()["error"]["message"]
        fine = client.post(path, json={"parts": {"headline": "Light running shoes"}})
        assert fine.json()["items"][0]["status"] == "live"
        client.close()


def test_a_file_of_gates_that_is_not_there_stops_the_start(tmp_path):
    words = ("-m", "bandit", "up", "--data", str(tmp_path / "d"), "--gates", "gone.yaml")
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "gone.yaml" in done.stderr
    assert not (tmp_path / "d").exists()


def test_serving_loads_no_gates_and_no_models():
    code = (
        "import sys, generator.commands.serve; from generator.screening.settings import usual; "
        "usual(); print([m for m in ('torch', 'transformers', 'harper', 'wordllama', "
        "'generator.screening.screen', 'generator.models') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
