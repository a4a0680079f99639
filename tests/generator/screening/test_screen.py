import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.brief.prompts import EXAMPLES
from generator.brief.schema import Brief, Constraints
from generator.errors import ThresholdsError
from generator.screening.screen import STOP, CandidateText, Screen, clean
from generator.screening.settings import CODES, load_thresholds, usual

BRIEF = Brief(
    product="coffee beans by post",
    keywords=("coffee", "mornings"),
    constraints=Constraints(max_characters=40, never_use=("decaf",)),
)


def judge(screen, text, **written):
    [verdict] = screen.judge([CandidateText(text, **written)])
    return verdict.rejection


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
        ("platform", "Unbeatable coffee"),
        ("harm", "Coffee, not for tourists"),
        ("figures", "Coffee for 9 euros"),
        ("grammar", "Cofee that comes by post"),
        ("language", "Kaffee kommt frisch ins haus"),
        ("profanity", "Fucking good coffee"),
    ],
)
def test_each_gate_refuses_under_its_code(screen, code, text):
    rejection = judge(screen, text)
    assert rejection.code == code
    assert str(rejection) == f"{code}: {rejection.words}"


def test_good_headlines_pass(screen):
    for text in ("Coffee that comes by post", "Mornings made easy", "Fresh beans, every week"):
        assert judge(screen, text) is None


def test_what_winners_speak_of_is_on_topic(screen):
    socks = "Warmer feet by winter"
    assert judge(screen, socks).code == "off_topic"
    assert judge(Screen(BRIEF, winners=["Warm feet, happy days"]), socks) is None


def test_what_passed_once_is_a_duplicate_then(screen):
    assert judge(screen, "Mornings made easy") is None
    assert judge(screen, "Made easy: mornings").code == "duplicate"


def test_what_was_refused_is_not_held_against_others(screen):
    assert judge(screen, "Mornings made easy with decaf").code == "never_use"
    assert judge(screen, "Mornings made easy") is None


def test_a_text_that_the_model_did_not_end_is_cut_off(screen):
    assert judge(screen, "Coffee that comes to you", ended=False).code == "cut_off"


def test_a_bare_opening_is_a_fragment(screen):
    assert judge(screen, "Make mornings!", opening="Make mornings").code == "fragment"
    assert judge(screen, "Make mornings easy", opening="Make mornings") is None


@pytest.mark.parametrize(
    "text", ["Coffee with oral wit", "Coffee on a gay old morning", "Coffee for a virgin forest"]
)
def test_plain_words_are_not_profane(screen, text):
    assert judge(screen, text) is None


@given(st.text(max_size=60) | st.text(alphabet="coffe mrnigs,.!?'-()", max_size=50))
def test_any_text_is_judged_and_what_passes_keeps_to_the_brief(screen_of_long_life, text):
    cleaned, _ = clean(text)
    if judge(screen_of_long_life, cleaned) is None:
        assert 0 < len(cleaned) <= 40
        assert "\n" not in cleaned
        assert judge(screen_of_long_life, cleaned).code == "duplicate"


def test_a_batch_is_judged_in_order_and_scored():
    texts = ["Coffee that comes by post", "www.coffee", "By post comes the coffee"]
    verdicts = Screen(BRIEF).judge([CandidateText(text) for text in texts])
    codes = [verdict.rejection and verdict.rejection.code for verdict in verdicts]
    assert codes == [None, "markup", "duplicate"]
    first, second, _ = verdicts
    assert first.scores["length"] == len(texts[0])
    assert {"language", "off_topic", "grammar", "duplicate"} <= set(first.scores)
    assert "grammar" not in second.scores


def test_the_reader_is_asked_only_of_what_the_cheaper_gates_let_through():
    class Reader:
        def __init__(self):
            self.asked = []

        def surprise(self, texts, *, after):
            self.asked += texts
            return [2.0 if "coffee" in text.lower() else 20.0 for text in texts]

    reader = Reader()
    found = Screen(BRIEF, reader=reader)
    verdicts = found.judge(
        [
            CandidateText("Fresh coffee, by post"),
            CandidateText("Mornings post"),
            CandidateText("www."),
        ]
    )
    assert [v.rejection and v.rejection.code for v in verdicts][:2] == [None, "nonsense"]
    assert reader.asked == ["Fresh coffee, by post", "Mornings post"]
    assert "nonsense" in found.gates
    assert "nonsense" not in Screen(BRIEF).gates


def test_whole_creatives_must_say_the_required_claims():
    brief = Brief(product="coffee", constraints=Constraints(required_claims=("Ends Friday.",)))
    assert judge(Screen(brief, whole=True), "Coffee by post").code == "required_claims"
    assert judge(Screen(brief, whole=True), "Coffee by post. Ends Friday.") is None
    assert judge(Screen(brief), "Coffee by post") is None


def test_claims_that_the_brief_makes_may_be_superlative():
    brief = Brief(
        product="coffee", constraints=Constraints(allowed_claims=("Unbeatable coffee since May",))
    )
    assert judge(Screen(brief), "Unbeatable coffee, all year") is None


def test_other_languages_are_not_judged_by_english_gates():
    brief = Brief(product="Kaffee per Post", language="de")
    screen = Screen(brief)
    assert judge(screen, "Frischer Kaffee jeden Morgen im Briefkasten") is None
    assert judge(screen, "Fresh coffee every morning in your letterbox").code == "language"
    assert {"grammar", "platform"}.isdisjoint(screen.gates)


def test_a_file_changes_some_thresholds_and_leaves_the_others(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text("skip: [grammar]\nlength: {least_words: 3}\n")
    found = load_thresholds(path)
    assert found.length.least_words == 3
    assert found.duplicate == usual().duplicate
    screen = Screen(BRIEF, thresholds=found)
    assert judge(screen, "Cofee that comes by post") is None
    assert judge(screen, "Fresh coffee").code == "length"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("length: {least_words: 0}", "least_words"),
        ("lenght: {}", "lenght"),
        ("skip: [spelling]", "'spelling' is no gate; expected cut_off, empty"),
        ("platform: {themes: [weather]}", "'weather'; expected finance"),
        ("[1]", "expected thresholds by gate"),
        ("skip: [", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_thresholds_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(ThresholdsError, match=message):
        load_thresholds(path)


def test_every_gate_that_can_run_has_its_place_in_the_order():
    everything = Screen(BRIEF, whole=True, reader=type("R", (), {"surprise": list})()).gates
    assert everything == CODES
