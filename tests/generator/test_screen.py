import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.brief import Brief, Constraints
from generator.prompts import EXAMPLES
from generator.screen import STOP, Screen, clean

BRIEF = Brief(
    product="coffee beans by post",
    keywords=("coffee", "mornings"),
    constraints=Constraints(max_characters=40, never_use=("decaf",)),
)


@pytest.fixture(scope="module")
def screen_of_long_life():
    return Screen(BRIEF)


@pytest.fixture
def screen():
    return Screen(BRIEF, existing=["Coffee worth waking up for"], winners=["The slow cup"])


@pytest.mark.parametrize(
    ("completion", "text", "ended"),
    [
        (' Fresh  beans"\nProduct: tea', "Fresh beans", True),
        ("Fresh beans\nand more", "Fresh beans", True),
        ("Fresh\tbeans", "Fresh beans", False),
        ("'Fresh beans'\"", "Fresh beans", True),
        ('"', "", True),
        ("", "", False),
    ],
)
def test_clean_takes_the_first_line_without_quotes_and_runs_of_space(completion, text, ended):
    assert clean(completion) == (text, ended)


@given(st.text())
def test_clean_leaves_one_line_that_is_clean_already(completion):
    text, ended = clean(completion)
    assert not set(text) & set(STOP)
    assert clean(text) == (text, False)
    assert ended == any(mark in completion for mark in STOP)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("empty", "..."),
        ("length", "Coffee " * 8),
        ("fragment", "Coffee for the"),
        ("leaked", "Headline: coffee"),
        ("markup", "Coffee at www.beans"),
        ("characters", "Coffee ☕ time"),
        ("never_use", "Decaf mornings"),
        ("repeats", "Coffee and coffee"),
        ("against", "Mornings without coffee"),
        ("unfounded", "The best coffee"),
        ("duplicate", "Coffee worth waking up for!"),
        ("copied", EXAMPLES[0]),
        ("copied", "The slow cup"),
        ("off_topic", "A brand new bicycle"),
        ("profanity", "Fucking good coffee"),
    ],
)
def test_each_gate_refuses_under_its_code(screen, code, text):
    rejection = screen.judge(text)
    assert rejection.code == code
    assert str(rejection) == f"{code}: {rejection.words}"


def test_good_headlines_pass(screen):
    for text in ("Coffee that comes by post", "Mornings made easy", "Fresh beans, every week"):
        assert screen.judge(text) is None


def test_what_winners_speak_of_is_on_topic(screen):
    socks = "Warm feet all winter"
    assert screen.judge(socks).code == "off_topic"
    assert Screen(BRIEF, winners=["Warm feet, happy days"]).judge(socks) is None


def test_what_passed_once_is_a_duplicate_then(screen):
    assert screen.judge("Mornings made easy") is None
    assert screen.judge("Made easy: mornings").code == "duplicate"


def test_what_was_refused_is_not_held_against_others(screen):
    assert screen.judge("Mornings made easy with decaf").code == "never_use"
    assert screen.judge("Mornings made easy") is None


def test_a_text_that_the_model_did_not_end_is_cut_off(screen):
    assert screen.judge("Coffee that comes to you", ended=False).code == "cut_off"


def test_a_bare_opening_is_a_fragment(screen):
    assert screen.judge("Make mornings!", opening="Make mornings").code == "fragment"
    assert screen.judge("Make mornings easy", opening="Make mornings") is None


@pytest.mark.parametrize(
    "text", ["Coffee with oral wit", "A gay old coffee morning", "Coffee for a virgin forest"]
)
def test_plain_words_are_not_profane(screen, text):
    assert screen.judge(text) is None


@given(st.text(max_size=60) | st.text(alphabet="coffe mrnigs,.!?'-()", max_size=50))
def test_any_text_is_judged_and_what_passes_keeps_to_the_brief(screen_of_long_life, text):
    cleaned, _ = clean(text)
    if screen_of_long_life.judge(cleaned) is None:
        assert 0 < len(cleaned) <= 40
        assert "\n" not in cleaned
        assert screen_of_long_life.judge(cleaned).code == "duplicate"
