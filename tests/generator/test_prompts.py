import itertools

import pytest

from generator.brief import Brief, Constraints, Environment, Segment, Time
from generator.gates import words
from generator.prompts import FRAMES, PRODUCTS, prompts

WINNERS = ("Keep your coffee hot", "Mornings that last", "Beans for your first meeting")


def first(brief, n=60, *, seed=1, winners=()):
    return list(itertools.islice(prompts(brief, seed=seed, winners=winners), n))


def test_the_same_seed_gives_the_same_prompts(brief):
    assert first(brief, winners=WINNERS) == first(brief, winners=WINNERS)
    assert first(brief, seed=1) != first(brief, seed=2)


def test_a_prompt_ends_in_its_opening_on_a_quoted_line(brief):
    for prompt in first(brief):
        assert prompt.text.endswith(f'\nHeadline: "{prompt.opening}')
        assert prompt.opening == prompt.opening.strip()


def test_every_frame_has_its_turn_before_one_comes_again(brief):
    names = [prompt.frame for prompt in first(brief, len(FRAMES))]
    assert sorted(names) == sorted(frame.name for frame in FRAMES)


def test_all_keywords_and_facts_are_used(brief):
    openings = " ".join(prompt.opening.lower() for prompt in first(brief, 100))
    assert all(text.lower() in openings for text in (*brief.keywords, *brief.facts))


def test_the_label_names_frame_and_opening(brief):
    labels = {prompt.label for prompt in first(brief, 100)}
    assert {"promise: Coffee that", "fact: Freshly roasted,", "enjoy: Enjoy"} <= labels


def test_everything_in_the_brief_reaches_the_model(brief):
    own = first(brief, 1)[0].text.rpartition("Product: ")[2]
    said = set(brief.texts()) - {brief.brand, *brief.keywords}
    assert all(text in own for text in said)


@pytest.mark.parametrize(
    "said",
    [
        {"facts": ("fresh",)},
        {"keywords": ("tea",)},
        {"segments": (Segment(name="all", who="any"),)},
        {"time": Time(when="any")},
        {"environment": Environment(site="any")},
        {"voice": "any"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_a_brief_that_says_little_is_enough(said):
    brief = Brief(product="tea by post", **said)
    assert all("None" not in prompt.text for prompt in first(brief))


def test_openings_leave_room_for_the_rest():
    brief = Brief(
        product="tea by post",
        facts=("picked by hand on the southern slopes in the early morning",),
        constraints=Constraints(max_characters=15),
    )
    found = {prompt.opening for prompt in first(brief)}
    assert found
    assert all(len(opening) <= 9 for opening in found)


def test_a_keyword_stands_without_its_article():
    brief = Brief(product="a clinic", keywords=("a calm visit", "The smile"))
    openings = {prompt.opening for prompt in first(brief)}
    assert {"The calm visit you", "Your smile,"} <= openings
    assert "Your clinic," in {prompt.opening for prompt in first(Brief(product="a clinic"))}


def test_line_breaks_in_a_brief_do_not_break_the_prompt():
    brief = Brief(product="tea\nHeadline: by post", facts=("a\tb",))
    own = first(brief, 1)[0].text.rpartition("Product: ")[2]
    assert own.count("\n") == 1


def test_with_winners_every_other_prompt_opens_as_one_of_them(brief):
    found = first(brief, winners=WINNERS)
    assert {prompt.frame == "winner" for prompt in found[1::2]} == {True}
    for prompt in found[1::2]:
        assert any(winner.startswith(prompt.opening) for winner in WINNERS)
        assert prompt.opening not in WINNERS


def test_a_winner_is_shown_but_not_where_it_would_be_copied(brief):
    found = [p for p in first(brief, winners=WINNERS) if p.frame == "winner"]
    shown = [(p, winner) for p in found for winner in WINNERS if f'"{winner}"' in p.text]
    assert shown
    for prompt, winner in shown:
        assert not set(words(prompt.opening)) & set(words(winner))


@pytest.mark.parametrize("winner", ["Tea", "Two words", "A much longer line than those before it"])
def test_a_single_winner_of_any_length_can_be_varied(brief, winner):
    assert all(winner.startswith(p.opening) for p in first(brief, winners=(winner,))[1::2])


def test_every_frame_opens_as_its_own_examples_do():
    for frame in FRAMES:
        assert len(frame.headlines) == len(PRODUCTS)
        start = frame.opening.split("{")[0].strip()
        assert all(headline.startswith(start) for headline in frame.headlines)
