"""What a brief is understood to say, and what is refused or warned of before texts are written."""

import pytest
import yaml

from generator.brief.schema import Brief, Constraints, Environment, Material, load_brief
from generator.errors import BriefError
from generator.writing.briefs import check_usable, understood, warnings


def read(tmp_path, text):
    path = tmp_path / "brief.yaml"
    path.write_text(text, encoding="utf-8")
    return load_brief(path)


def test_entries_are_printed_one_by_one(tmp_path):
    brief = read(tmp_path, 'product: shoes\nfacts: ["rated 4.8 by 2,300 runners", 198 g]\n')
    said = understood(brief)
    assert 'facts: 2: "rated 4.8 by 2,300 runners", "198 g"' in said
    assert 'figures: 3: "4.8", "2,300", "198"' in said
    assert "pieces: headline up to 60, counted in characters" in said
    assert list(warnings(brief)) == []


@pytest.mark.parametrize(
    "facts",
    [
        "[Rated 4.8 by 2,300 runners]",
        "[solo 9,95 € la botella]",
        "[nur 11,90 €]",
        "[for 1,000 nights, 2 beds]",
    ],
)
def test_a_number_that_yaml_cut_at_its_comma_is_told(tmp_path, facts):
    [warning] = warnings(read(tmp_path, f"product: shoes\nfacts: {facts}\n"))
    assert warning.startswith("facts: ")
    assert "are two entries" in warning


@pytest.mark.parametrize(
    "facts",
    [
        '[was $249 now $199, "12,000 reviews"]',
        '["was $249, now $199", 12 reviews]',
        '[now $199, "12 reviews"]',
        "[now $199, 12 reviews]",
        "\n  - now $199\n  - 12 reviews",
    ],
)
def test_two_entries_that_were_written_as_two_are_let_be(tmp_path, facts):
    brief = read(tmp_path, f"product: shoes\nfacts: {facts}\n")
    assert not any("two entries" in each for each in warnings(brief, tmp_path / "brief.yaml"))


def test_a_quoted_entry_with_a_comma_is_let_be_without_the_file(tmp_path):
    facts = '[was $249 now $199, "12,000 reviews"]'
    found = warnings(read(tmp_path, f"product: shoes\nfacts: {facts}\n"))
    assert not any("two entries" in each for each in found)


def test_what_the_file_cut_is_told_with_the_file_too(tmp_path):
    brief = read(tmp_path, "product: shoes\nfacts: [nur 11,90 €, for 1,000 nights]\n")
    told = list(warnings(brief, tmp_path / "brief.yaml"))
    assert ["are two entries" in each for each in told] == [True, True]


def test_entries_that_end_on_units_are_let_be(tmp_path):
    assert list(warnings(read(tmp_path, "product: shoes\nfacts: [198 g, 2 colours]\n"))) == []


@pytest.mark.parametrize(
    ("brief", "told"),
    [
        ({"product": "男士轻量跑鞋"}, "the product is written in han letters"),
        ({"product": "跑鞋", "language": "zh", "facts": ["国家级品质"]}, "article 9 (3)"),
        ({"product": "tea", "facts": ["better than other brands"]}, "3.33 to 3.38"),
        ({"product": "cheap tea", "constraints": {"never_use": ["cheap"]}}, "rules out"),
        ({"product": "tea", "facts": ["Headline: drink"]}, "labels its answer"),
    ],
)  # fmt: skip
def test_what_would_have_texts_refused_is_warned_of(tmp_path, brief, told):
    found = list(warnings(read(tmp_path, yaml.safe_dump({"version": 2, **brief}))))
    assert any(told in warning for warning in found), found


def test_names_in_latin_letters_are_no_other_language():
    for language, product in (("zh", "iPhone"), ("ja", "東京の朝"), ("de", "Laufschuhe")):
        assert list(warnings(Brief(product=product, language=language))) == []


@pytest.mark.parametrize(
    ("brief", "told"),
    [
        (Brief(product="tea", environment=Environment(channel="banner")), "brand: is missing"),
        (
            Brief(
                product="tea", constraints=Constraints(required_claims=("so long a claim " * 5,))
            ),
            "constraints.required_claims: take",
        ),
        (
            Brief(
                product="tee",
                language="de",
                constraints=Constraints(required_claims=("Günstiger Tee",), never_use=("günstig",)),
            ),
            "the brief rules out 'günstig'; change one of both",
        ),
        (Brief(product="tea", material=(Material(kind="image", file="no.jpg"),)), "is no file"),
    ],
)
def test_what_generate_would_refuse_is_refused(tmp_path, brief, told):
    with pytest.raises(BriefError) as caught:
        check_usable(brief, tmp_path)
    assert told in str(caught.value)
