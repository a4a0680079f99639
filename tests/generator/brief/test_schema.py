import msgspec
import pytest
from msgspec import Raw

from generator.brief.schema import (
    Brief,
    Constraints,
    Environment,
    Material,
    Segment,
    Time,
    brief_from_json,
    brief_hash,
    brief_to_json,
    load_brief,
)
from generator.errors import BriefError
from tests.generator.conftest import BRIEFS

GOOD = """\
version: 2
product: coffee beans by post
facts:
  - freshly roasted
  - at your door every two weeks
constraints:
  max_characters: 30
"""


def written(tmp_path, text, name="brief.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_brief_is_read_from_yaml(tmp_path):
    assert load_brief(written(tmp_path, GOOD)) == Brief(
        product="coffee beans by post",
        facts=("freshly roasted", "at your door every two weeks"),
        constraints=Constraints(max_characters=30),
    )


def test_a_brief_is_read_from_json(tmp_path, brief):
    path = written(tmp_path, bytes(brief_to_json(brief)).decode(), "brief.json")
    assert load_brief(path) == brief


@pytest.mark.parametrize("path", sorted(BRIEFS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_packaged_briefs_are_read_and_go_through_the_log(path):
    brief = load_brief(path)
    assert len(brief.keywords) >= 3
    assert brief_from_json(brief_to_json(brief)) == brief


def test_there_are_three_packaged_briefs():
    assert len(list(BRIEFS.glob("*.yaml"))) == 3


FULL = """\
version: 2
product: coffee beans by post
brand: Ridgeway
facts: [freshly roasted]
attributes: {roast: medium, weight_g: 250, organic: true}
voice: warm
segments:
  - name: home office
    who: people who work from home
    interests: [quiet mornings]
    behaviour: [bought beans twice]
    context: {device: mobile, visits: 3}
  - {name: gifts, who: people with a present to buy}
time: {weekdays: [monday, friday], hours: 7-11, season: winter, holiday: Christmas}
environment: {channel: google_rsa, device: mobile, site: a news site, position: top}
language: de
goals: [order a bag]
keywords: [coffee]
material:
  - kind: image
    file: bag.jpg
    attributes: {colour: brown}
  - {kind: sound, description: a slow guitar}
constraints:
  max_characters: 30
  required_claims: [Cancel any time.]
  allowed_claims: ["rated 4.8 by 2,000 customers"]
  never_use: [cheap]
  competitors: [Beanco]
"""


def test_everything_that_a_brief_may_say_is_read(tmp_path):
    assert load_brief(written(tmp_path, FULL)) == Brief(
        product="coffee beans by post",
        brand="Ridgeway",
        facts=("freshly roasted",),
        attributes={"roast": "medium", "weight_g": 250, "organic": True},
        voice="warm",
        segments=(
            Segment(
                name="home office",
                who="people who work from home",
                interests=("quiet mornings",),
                behaviour=("bought beans twice",),
                context={"device": "mobile", "visits": 3},
            ),
            Segment(name="gifts", who="people with a present to buy"),
        ),
        time=Time(
            weekdays=("monday", "friday"), hours="7-11", season="winter", holiday="Christmas"
        ),
        environment=Environment(
            channel="google_rsa", device="mobile", site="a news site", position="top"
        ),
        language="de",
        goals=("order a bag",),
        keywords=("coffee",),
        material=(
            Material(kind="image", file="bag.jpg", attributes={"colour": "brown"}),
            Material(kind="sound", description="a slow guitar"),
        ),
        constraints=Constraints(
            max_characters=30,
            required_claims=("Cancel any time.",),
            allowed_claims=("rated 4.8 by 2,000 customers",),
            never_use=("cheap",),
            competitors=("Beanco",),
        ),
    )


def test_what_a_brief_says_is_all_there_but_for_what_is_ruled_out(tmp_path):
    brief = load_brief(written(tmp_path, FULL))
    said = "\n".join(brief.texts())
    for text in ("weight_g 250", "bought beans twice", "7 to 11 h", "colour: brown", "2,000"):
        assert text in said
    assert not {"cheap", "Beanco"} & set(said.split())
    assert brief.unsaid() == ("warm", "a news site", "mobile", "top")
    assert "Cancel any time." in brief.claims()


def test_the_hash_tells_briefs_apart():
    one, same, other = (Brief(product=product) for product in ("tea", "tea", "coffee"))
    assert brief_hash(one) == brief_hash(same) != brief_hash(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("version: 2", "version: 3"), ":1: version: is 3; this copyloop reads"),
        (GOOD.replace("version: 2", "version: 1"), ":1: version: is 1; this copyloop reads"),
        (GOOD.replace("version: 2", "version: two"), ":1: version: is 'two'; this copyloop"),
        (GOOD.replace("product:", "produkt:"), ":2: produkt: there is no such field"),
        ("version: 2\n", ":1: product: is missing"),
        (GOOD.replace("  - freshly roasted", "  - 7"), ":4: facts[0]: Expected `str`, got `int`"),
        (GOOD.replace("coffee beans by post", "' '"), ":2: product: is blank; write something"),
        (GOOD.replace("freshly roasted", "''"), ":4: facts[0]: Expected `str` of length >= 1"),
        (GOOD.replace("freshly roasted", "' '"), ":4: facts[0]: is blank; write something"),
        (GOOD.replace("30", "3"), ":7: constraints.max_characters: Expected `int` >= 15"),
        (GOOD.replace("30", "'30'"), ":7: constraints.max_characters: Expected `int`, got `str`"),
        (GOOD + "  never: x\n", ":8: constraints.never: there is no such field"),
        (GOOD + "  never_use: ['', a]\n", ":8: constraints.never_use[0]: Expected `str`"),
        (GOOD + "  never_use: [a, ' ']\n", ":8: constraints.never_use[1]: is blank"),
        (GOOD + "language: tlh\n", ":8: language: is 'tlh'; expected one of ar, cs"),
        (GOOD + "language: no\n", ":8: language: Expected `str`, got `bool`"),
        (GOOD + "product: tea\n", ":8: product: is there twice"),
        (GOOD + "segments:\n- {name: a, name: b}\n", ":9: name: is there twice"),
        (GOOD + "voice: [warm\n", ":9: not YAML"),
        (GOOD + "voice: \x07\n", ": not YAML: "),
        (GOOD + "segments:\n- name: a\n", ":9: segments[0].who: is missing"),
        (
            GOOD + "segments:\n- {name: a, who: x}\n- {name: a,\n   who: y}\n",
            ":10: segments[1].name: is 'a', as an earlier one is",
        ),
        (GOOD + "time: {weekdays: [montag]}\n", ":8: time.weekdays[0]: Invalid enum value"),
        (GOOD + "time: {hours: 9am}\n", ":8: time.hours: Expected `str` matching regex"),
        (GOOD + "time: mornings\n", ":8: time: Expected `object`, got `str`"),
        (
            GOOD + "environment:\n  channel: tv\n",
            ":9: environment.channel: is 'tv'; expected one of baidu_search, banner",
        ),
        (GOOD + "attributes: {size: [1]}\n", ":8: attributes"),
        (GOOD + "material:\n- kind: image\n", ":9: material[0]: has neither a file nor"),
        (GOOD + "tone: warm\n", ":8: tone: there is no such field"),
        ("- a\n- b\n", ":1: Expected `object`, got `array`"),
        ("", ":1: Expected `object`, got `null`"),
    ],
)
def test_a_bad_brief_is_told_by_file_line_and_field(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(BriefError) as caught:
        load_brief(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert caught.value.code == "brief_invalid"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 2,\n "product": 7}', ":2: product: Expected `str`, got `int`"),
        ('{"product": "tea",\n\n "product": "tea"}', ":3: product: is there twice"),
        ('{"product": "tea"', ": not JSON: Input data was truncated"),
        ('{\t"product": 7}', ":1: product: Expected `str`, got `int`"),
    ],
)
def test_a_bad_json_file_is_told_by_line_too(tmp_path, text, message):
    path = written(tmp_path, text, "brief.json")
    with pytest.raises(BriefError) as caught:
        load_brief(path)
    assert str(caught.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"product": 7}', "product: Expected `str`, got `int`"),
        (b"{}", "product: is missing"),
        (b'{"product": "tea", "version": 9}', "version: is 9"),
        (b'{"product": "tea", "facts": [" "]}', "facts[0]: is blank"),
        (b'{"product": "tea", "voice": " "}', "voice: is blank"),
        (b'{"product": "tea"', "Input data was truncated"),
        (b'{"product": "\xff"}', "UTF-8"),
        (b"7", "Expected `object`, got `int`"),
    ],
)
def test_a_bad_brief_in_the_log_is_told_by_field(data, message):
    with pytest.raises(BriefError) as caught:
        brief_from_json(Raw(data))
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "brief.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BriefError, match=r"brief\.yaml: cannot be read"):
        load_brief(path)


def test_a_brief_of_the_api_s_least_form_is_enough():
    assert brief_from_json(Raw(msgspec.json.encode({"product": "wool socks"}))).version == 2


def test_a_brief_says_what_goes_with_its_ads(tmp_path):
    file = tmp_path / "brief.yaml"
    head = "product: tea\nenvironment: {channel: google_rsa}\n"
    file.write_text(f"{head}ad: {{final_url: 'https://example.org', display_path: [tea, green]}}\n")
    assert load_brief(file).ad.display_path == ("tea", "green")
    file.write_text(f"{head}ad: {{image: tea.png}}\n")
    with pytest.raises(BriefError, match="3: ad: has image, which a Google responsive search ad"):
        load_brief(file)
    file.write_text("product: tea\nad: {final_url: 'javascript:x'}\n")
    with pytest.raises(BriefError, match="2: ad: final_url is 'javascript:x'"):
        load_brief(file)


def test_a_brief_without_an_ad_has_the_hash_that_it_had():
    assert brief_hash(Brief(product="tea")) == "f4ea3d67f81f7d89"


@pytest.mark.parametrize(
    ("content", "one"),
    [
        ("product: beans\nfacts: [1,5 kg bags]\n", '"1,5 kg bags"'),
        ("product: beans\nfacts: [fresh, up to 1,500]\n", '"up to 1,500"'),
        ("product: beans\nconstraints: {allowed_claims: [1,000 nights]}\n", '"1,000 nights"'),
    ],
)
def test_a_number_that_yaml_cut_at_its_comma_is_told_as_such(tmp_path, content, one):
    file = tmp_path / "brief.yaml"
    file.write_text(content)
    with pytest.raises(BriefError, match="YAML parts a list at each comma") as caught:
        load_brief(file)
    assert str(caught.value).endswith(f"write {one}")


@pytest.mark.parametrize("facts", ["[5, fresh]", "[1, 5 kg]", '[5,"5 kg"]', "\n  - 5\n  - 5 kg"])
def test_a_number_that_stands_alone_is_not(tmp_path, facts):
    file = tmp_path / "brief.yaml"
    file.write_text(f"product: beans\nfacts: {facts}\n")
    with pytest.raises(BriefError, match="Expected `str`, got `int`") as caught:
        load_brief(file)
    assert "comma" not in str(caught.value)
