import threading

import pytest

from generator.brief.schema import Brief, load_brief
from generator.errors import BackendError
from generator.screening.screen import CandidateText, Screen
from generator.writing.texts import (
    CANDIDATES_PER_TEXT,
    PROMPTS_PER_BATCH,
    STALE_ROUNDS,
    Piece,
    Sampler,
    SamplingConfig,
    Style,
    generate,
    summary,
    take_samples,
)
from tests.generator.conftest import BRIEFS
from tests.generator.scripted import Scripted

NONSENSE = [' www.x"\n', " the\n", ' and and"\n']


@pytest.fixture(scope="module")
def written(backend):
    """Returns what the model makes of the coffee brief, and how far it said it was."""
    told = []
    result = generate(
        load_brief(BRIEFS / "coffee.yaml"),
        backend,
        n=6,
        seed=3,
        progress=lambda *where: told.append(where),
    )
    return result, told


@pytest.mark.model
def test_as_many_as_asked_for_are_accepted(written):
    result, _ = written
    assert len(result.accepted) == 6
    assert all(candidate.rejection is None for candidate in result.accepted)
    assert all(candidate.rejection is not None for candidate in result.rejected)


@pytest.mark.model
def test_what_is_accepted_passes_the_screen_anew(written, brief):
    result, _ = written
    screen = Screen(brief)
    verdicts = screen.judge([CandidateText(candidate.text) for candidate in result.accepted])
    assert [verdict.rejection for verdict in verdicts] == [None] * 6


@pytest.mark.model
def test_progress_only_grows(written):
    _, told = written
    accepted, shares = zip(*told, strict=True)
    assert list(accepted) == sorted(accepted)
    assert list(shares) == sorted(shares)
    assert accepted[-1] == 6
    assert 0 < shares[-1] <= 1


@pytest.mark.model
def test_the_same_seed_writes_the_same_and_another_does_not(written, brief, backend):
    result, _ = written
    assert generate(brief, backend, n=6, seed=3) == result
    assert generate(brief, backend, n=1, seed=4).accepted[0] != result.accepted[0]


@pytest.mark.model
def test_what_exists_is_not_written_again(written, brief, backend):
    existing = [candidate.text for candidate in written[0].accepted]
    again = generate(brief, backend, n=3, seed=3, existing=existing)
    assert not {candidate.text for candidate in again.accepted} & set(existing)
    assert any(c.rejection.code == "duplicate" for c in again.rejected)


def test_it_stops_at_the_number_asked_for(brief):
    lines = [f' {word} and rested"' for word in ("calm", "warm", "slow", "bright", "kind")]
    result = generate(brief, Scripted(lines), n=2, seed=1)
    assert len(result.accepted) == 2


def test_it_gives_up_when_the_budget_is_spent_and_says_why(brief):
    backend = Scripted(NONSENSE)
    result = generate(brief, backend, n=5, seed=1)
    assert result.accepted == []
    budget = CANDIDATES_PER_TEXT * 5
    assert budget <= len(backend.asked) < budget + PROMPTS_PER_BATCH
    assert len(result.rejected) == len(backend.asked)
    assert summary(len(result.accepted), result.rejected).startswith(
        f"0 of {len(backend.asked)} accepted; refused: "
    )
    assert {"markup", "fragment"} <= {c.rejection.code for c in result.rejected}


def test_every_batch_has_a_seed_of_its_own(brief):
    first, second = Scripted(NONSENSE), Scripted(NONSENSE)
    generate(brief, first, n=9, seed=1)
    generate(brief, second, n=9, seed=2)
    seeds = first.seeds + second.seeds
    assert len(first.seeds) > 2
    assert len(set(seeds)) == len(seeds)


def test_stop_ends_it_after_the_batch(brief):
    stop = threading.Event()
    backend = Scripted(NONSENSE)
    generate(brief, backend, n=9, seed=1, stop=stop, progress=lambda *_: stop.set())
    assert len(backend.seeds) == 1


def test_each_candidate_says_which_prompt_it_came_from(brief):
    result = generate(brief, Scripted(NONSENSE), n=2, seed=1)
    for candidate in result.rejected:
        assert candidate.prompt.frame
        assert candidate.text.startswith(candidate.prompt.opening)
        assert (candidate.model, candidate.adapter) == ("scripted", None)


def test_a_piece_s_own_length_counts_and_wide_characters_count_twice(brief):
    piece = Piece("headline", "line", 12, "double_width")
    lines = [' 寝袋寝袋寝袋"', ' and rest well in the morning"']
    result = generate(brief, Scripted(lines), n=2, seed=1, piece=piece)
    reasons = {c.rejection.words for c in result.rejected if c.rejection.code == "length"}
    counted = "units as the channel counts; at most 12"
    assert reasons
    assert all(counted in words for words in reasons)


def test_the_style_reaches_the_model(brief):
    backend = Scripted(NONSENSE)
    generate(brief, backend, n=1, seed=1, style=Style(1.2, 0.8, 0.1, 0.5), adapter="v1")
    assert backend.samplings[0][2:] == (1.2, 0.8, 0.1, 0.5)


def test_a_failing_model_is_not_swallowed(brief):
    with pytest.raises(BackendError, match="out of memory"):
        generate(brief, Scripted(None), n=1, seed=1)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "A headline in plain English words, as long as it may be"),
        ("de", "Rindfleischetikettierungsgesetz, Donaudampfschifffahrt"),
        ("el", "Ελαφριά παπούτσια για τρέξιμο που αγαπούν τον δρόμο σου"),
        ("zh", "轻盈如风的男士跑鞋，让每一个周末都值得早起出发去江边跑步吧朋友"),
        ("ja", "静かな朝に届く焙煎コーヒーで、毎日の一杯をもっと楽しく豊かに"),
        ("ko", "가벼운 러닝화로 주말마다 강변을 달려보세요 지금 바로 시작해요"),
    ],
)
def test_a_text_of_any_script_has_tokens_enough(language, text):
    """A byte of UTF-8 takes a token at most; words of Latin letters are known, and take fewer."""
    needed = {"en": len(text) // 4, "de": len(text) // 2}.get(language, len(text.encode()))
    brief = Brief(product="x", language=language)
    written, sampled = Scripted(['"\n']), Scripted(['"\n'])
    generate(brief, written, n=1, seed=1, piece=Piece("headline", "line", len(text)))
    assert written.samplings[0].max_new_tokens >= needed
    take_samples(Sampler(sampled), [brief], SamplingConfig(samples=1))
    assert sampled.samplings[0].max_new_tokens >= needed


def test_chinese_is_put_in_order_by_what_it_says():
    brief = Brief(product="男士轻量跑鞋", language="zh", keywords=("跑鞋", "周末"))
    lines = [
        f'{text}"\n'
        for text in ("轻盈如风，周末开跑", "透气网面，跑得更久", "轻量跑鞋陪你跑遍城市")
    ]
    result = generate(brief, Scripted(lines), n=3, seed=1)
    assert sorted(each.text for each in result.accepted) == sorted(line[:-2] for line in lines)


class Whole(Scripted):
    """Answers with whole texts, as a model does that converses."""

    def complete(self, prompts, sampling, **rest):
        return [c._replace(whole=True) for c in super().complete(prompts, sampling, **rest)]


def test_a_model_that_only_repeats_itself_is_asked_no_more(brief):
    repeating = Whole([f"Slow mornings {word}" for word in ("rest", "www.a", "and", "calm")])
    result = generate(brief, repeating, n=60, seed=1)
    assert result.repeated
    assert len(repeating.seeds) == 1 + STALE_ROUNDS
    assert len(repeating.asked) < CANDIDATES_PER_TEXT * 60 / 2
    endless = Whole([f"Slow mornings www.a{number}" for number in range(2000)])
    result = generate(brief, endless, n=60, seed=1)
    assert not result.repeated
    assert len(endless.asked) >= CANDIDATES_PER_TEXT * 60


def test_a_round_with_something_new_begins_the_count_anew(brief):
    lines = [f"Slow mornings www.{k // 80}" for k in range(600)]
    repeating = Whole(lines)
    result = generate(brief, repeating, n=70, seed=1)
    assert len({candidate.text for candidate in result.rejected}) == 7
    assert not result.repeated
