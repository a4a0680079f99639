import msgspec
import pytest
from msgspec import Raw

from generator.brief import Brief, Constraints, brief_from_json, brief_to_json, load_brief
from generator.errors import BriefError
from tests.generator.conftest import BRIEFS

GOOD = """\
version: 1
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("version: 1", "version: 2"), ":1: version: is 2; this copyloop reads"),
        (GOOD.replace("product:", "produkt:"), ":2: produkt: there is no such field"),
        ("version: 1\n", ":1: product: is missing"),
        (GOOD.replace("  - freshly roasted", "  - 7"), ":4: facts[0]: Expected `str`, got `int`"),
        (
            GOOD.replace("coffee beans by post", "' '"),
            ":2: product: is blank, or has a blank entry",
        ),
        (GOOD.replace("freshly roasted", "''"), ":4: facts[0]: Expected `str` of length >= 1"),
        (GOOD.replace("freshly roasted", "' '"), ":3: facts: is blank, or has a blank entry"),
        (GOOD.replace("30", "3"), ":7: constraints.max_characters: Expected `int` >= 15"),
        (GOOD.replace("30", "'30'"), ":7: constraints.max_characters: Expected `int`, got `str`"),
        (GOOD + "  never: x\n", ":8: constraints.never: there is no such field"),
        (GOOD + "  never_use: ['', a]\n", ":8: constraints.never_use[0]: Expected `str`"),
        (GOOD + "  never_use: [' ']\n", ":8: constraints.never_use: is blank, or has"),
        (GOOD + "language: fr\n", ":8: language: is 'fr'; expected one of en"),
        (GOOD + "language: no\n", ":8: language: Expected `str`, got `bool`"),
        (GOOD + "product: tea\n", ":8: product: is there twice"),
        (GOOD + "tone: [warm\n", ":9: not YAML"),
        (GOOD + "tone: \x07\n", ": not YAML: "),
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
    ("data", "message"),
    [
        (b'{"product": 7}', "product: Expected `str`, got `int`"),
        (b"{}", "product: is missing"),
        (b'{"product": "tea", "version": 9}', "version: is 9"),
        (b'{"product": "tea", "facts": [" "]}', "facts: is blank, or has a blank entry"),
        (b'{"product": "tea"', "Input data was truncated"),
        (b'{"product": "\xff"}', "'utf-8' codec can't decode"),
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
    assert brief_from_json(Raw(msgspec.json.encode({"product": "wool socks"}))).version == 1
