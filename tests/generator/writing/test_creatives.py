import itertools
import string

import pytest

from generator.brief.channels import channel_names, load_channel
from generator.brief.schema import Brief, Constraints, Environment, brief_hash
from generator.errors import BriefError
from generator.models.base import Completion, Usage
from generator.screening.screen import Rejection, ScreenVerdict
from generator.writing.creatives import channel_of, generate_creatives, lineage, texts_by_piece

FACTS = ("fresh", "at your door")
KEYWORDS = ("coffee", "mornings", "beans", "cups")


def brief_for(channel, **constraints):
    return Brief(
        product="coffee beans by post",
        brand="Ridgeway",
        facts=FACTS,
        keywords=KEYWORDS,
        goals=("order a bag",),
        environment=Environment(channel=channel),
        constraints=Constraints(**constraints),
    )


class Varied:
    """Continues every prompt differently, and as short as it can: a made-up word."""

    name = "varied"

    def __init__(self):
        self.usage = Usage()
        letters = string.ascii_lowercase
        self.words = ("".join(w) for w in itertools.product(letters, "aeiou", letters, "aeiou"))

    def complete(self, prompts, sampling, *, seed, adapter=None, progress=None):
        return [Completion(f' {next(self.words)}"', "varied", adapter) for _ in prompts]


def screen_by(monkeypatch, rule):
    """Puts one rule in the place of all gates."""

    def judge(self, batch):
        return [ScreenVerdict(rule(written), {}) for written in batch]

    monkeypatch.setattr("generator.screening.screen.Screen.judge", judge)


@pytest.fixture
def anything_goes(monkeypatch):
    """Lets made-up words through: what is tested is how texts are put together."""
    screen_by(monkeypatch, lambda written: None)


@pytest.mark.parametrize("name", channel_names())
def test_a_creative_has_all_that_its_channel_asks_for(name, anything_goes):
    brief, channel = brief_for(name), load_channel(name)
    found = generate_creatives(brief, Varied(), n=2, seed=1)
    assert len(found.creatives) == 2
    for draft in found.creatives:
        counts = texts_by_piece(channel, [draft.parts])
        for asset in channel.assets:
            texts = counts[asset.name]
            assert asset.least <= len(texts) <= asset.most
            assert len(texts) == asset.write
            assert all(channel.units(text) <= asset.max_units for text in texts)
            if asset.one_within is not None:
                assert min(map(channel.units, texts)) <= asset.one_within
            if asset.form == "brand":
                assert texts == ["Ridgeway"]
    every = [text for d in found.creatives for c in d.written.values() for text in [c.text]]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("name", [None, *channel_names()])
def test_required_claims_stand_word_for_word_and_still_fit(name, anything_goes):
    # A text of 40 characters has room for one.
    claims = ("Cancel any time.", "Ends Friday.")[: 1 if name == "wechat_moments" else 2]
    claim = " ".join(claims)
    brief = brief_for(name, required_claims=claims)
    channel = channel_of(brief)
    [draft] = generate_creatives(brief, Varied(), n=1, seed=1).creatives
    [asset] = [asset for asset in channel.assets if asset.claims]
    texts = texts_by_piece(channel, [draft.parts])[asset.name]
    assert all(text.endswith(f" {claim}") for text in texts)
    assert all(channel.units(text) <= asset.max_units for text in texts)
    if asset.one_within is not None:
        assert min(map(channel.units, texts)) <= asset.one_within


def test_claims_that_leave_no_room_are_told(anything_goes):
    brief = brief_for("google_rsa", required_claims=("x" * 80,))
    with pytest.raises(BriefError, match="required_claims: take 81 of the 90 characters of a Goo"):
        generate_creatives(brief, Varied(), n=1, seed=1)


@pytest.mark.parametrize(
    ("brand", "message"),
    [(None, "brand: is missing; a Banner"), ("R" * 26, "brand: has 26 characters; at most 25")],
)
def test_a_brand_that_the_channel_shows_must_be_there_and_fit(brand, message):
    brief = Brief(product="tea", brand=brand, environment=Environment(channel="banner"))
    with pytest.raises(BriefError, match=message):
        generate_creatives(brief, Varied(), n=1, seed=1)


def test_too_few_texts_make_fewer_or_smaller_creatives(monkeypatch, anything_goes):
    class Tired(Varied):
        def complete(self, prompts, sampling, **rest):
            written = super().complete(prompts, sampling, **rest)
            return [c._replace(text=' "' if i > 9 else c.text) for i, c in enumerate(written)]

    def judge(written):
        bare = written.text == written.opening
        return Rejection("fragment", "nothing added") if bare else None

    screen_by(monkeypatch, judge)
    monkeypatch.setattr("generator.writing.texts.CANDIDATES_PER_TEXT", 1)
    found = generate_creatives(brief_for("google_rsa"), Tired(), n=1, seed=1)
    [draft] = found.creatives
    counts = texts_by_piece(load_channel("google_rsa"), [draft.parts])
    assert 3 <= len(counts["headline"]) <= 15
    assert found.rejected


def test_texts_that_are_in_no_whole_creative_are_left_over(monkeypatch):
    def judge(written):
        short = len(written.text) < 24
        return None if short else Rejection("length", "too long for this test")

    screen_by(monkeypatch, judge)
    brief = brief_for("push", required_claims=("y" * 20,))
    found = generate_creatives(brief, Varied(), n=3, seed=1)
    names = {candidate.piece.name for candidate in found.left_over}
    assert len(found.creatives) <= 3
    assert names <= {"title", "body"}
    assert "left over" in found.summary() or not found.left_over


def test_without_a_channel_a_creative_is_a_headline(anything_goes):
    brief = brief_for(None, max_characters=40)
    found = generate_creatives(brief, Varied(), n=3, seed=1)
    assert [set(draft.parts) for draft in found.creatives] == [{"headline"}] * 3


def test_the_lineage_of_one_part_is_that_of_the_whole(anything_goes):
    brief = brief_for(None)
    [draft] = generate_creatives(brief, Varied(), n=1, seed=7, adapter="v3").creatives
    whole = lineage(draft, brief, seed=7, parents={})
    assert (whole.brief, whole.seed, whole.model) == (brief_hash(brief), 7, "varied")
    assert whole.adapter == "v3"
    assert whole.frame
    assert whole.parts == {}


def test_several_parts_have_a_lineage_each(anything_goes):
    brief = brief_for("push")
    [draft] = generate_creatives(brief, Varied(), n=1, seed=7).creatives
    whole = lineage(draft, brief, seed=7, parents={})
    assert set(whole.parts) == {"title", "body"}
    assert all(part.prompt and part.frame for part in whole.parts.values())
    assert (whole.model, whole.prompt) == ("varied", None)


def test_what_opens_like_a_winner_has_it_for_a_parent(anything_goes):
    brief = brief_for(None)
    winner = "Keep your coffee hot"
    found = generate_creatives(
        brief, Varied(), n=12, seed=1, winners={"headline": [winner]}
    ).creatives
    lineages = [lineage(draft, brief, seed=1, parents={winner: "c-1"}) for draft in found]
    parents = {one.parent for one in lineages if one.frame == "winner"}
    assert parents == {"c-1"}
    assert {one.parent for one in lineages if one.frame != "winner"} == {None}


def test_progress_only_grows_to_the_whole(anything_goes):
    told = []
    generate_creatives(
        brief_for("email"), Varied(), n=2, seed=1, progress=lambda *where: told.append(where)
    )
    shares = [share for *_, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {piece for piece, *_ in told} == {"subject", "preheader"}
