import msgspec
import pytest
from msgspec.structs import replace
from pyarrow import parquet

from generator.data.dataset import (
    CARD,
    Dataset,
    EvidenceThresholds,
    Prefer,
    build_dataset,
    read_dataset,
    rows_file,
    write_dataset,
)
from generator.data.evidence import chance_better, segment_of
from generator.data.reading import Reading
from generator.errors import DatasetError
from streams.events import INTERACTIONS, encode
from streams.logs.base import Message
from tests.generator.data.made_log import RATES, interactions, made_log

PRODUCTS = ("coffee", "tea", "cocoa", "juice", "soda")


@pytest.fixture(scope="module")
def reading():
    return Reading(made_log(products=PRODUCTS))


@pytest.fixture(scope="module")
def dataset(reading):
    return reading.dataset(EvidenceThresholds(best=0.3))


def by_text(reading, product="g0"):
    mine = [e for e in reading.evidence if e.creative.lineage.generation_id == product]
    return {e.creative.parts["headline"]: e for e in mine}


def test_who_was_shown_to_easy_users_does_not_look_good(reading):
    log = made_log()
    plain = {text: [0, 0] for text in RATES}
    for interaction in interactions(log):
        text = list(RATES)[interaction.decision.index]
        plain[text][0] += interaction.reward
        plain[text][1] += 1
    rates = {text: clicks / shown for text, (clicks, shown) in plain.items()}
    # by plain rates the worst one looks better than texts that are twice as good
    assert rates["Brown water"] > rates["Coffee, daily"]
    found = by_text(reading)
    assert found["Brown water"].winner.estimate < found["Coffee, daily"].winner.estimate
    assert chance_better(found["Beans that wake you"], found["Brown water"]) > 0.95


def test_chances_of_a_pair_sum_to_one(reading):
    one, other, *_ = by_text(reading).values()
    assert chance_better(one, other) + chance_better(other, one) == pytest.approx(1.0, abs=1e-3)
    assert chance_better(one, one) == pytest.approx(0.5, abs=1e-3)


def test_pairs_are_right_and_of_one_brief(dataset):
    assert dataset.prefer
    for pair in dataset.prefer:
        # two are alike: which one luck favours is no mistake that can be told
        assert RATES[pair.better] >= RATES[pair.worse]
        assert 0.8 <= pair.weight <= 1.0
    prompts = {pair.brief: pair.prompt for pair in dataset.prefer}
    assert len(prompts) == len(PRODUCTS)
    assert 'Product: coffee (fresh)\nHeadline: "' in prompts.values()


def test_the_best_are_imitated_and_the_worst_are_bad(dataset):
    assert {row.text for row in dataset.imitate} == {"Beans that wake you"}
    judged = {(row.text, row.good) for row in dataset.judge}
    assert ("Beans that wake you", True) in judged
    assert ("Brown water", False) in judged
    assert ("Brown water", True) not in judged


def test_the_latest_briefs_are_for_testing_alone(dataset):
    rows = [*dataset.imitate, *dataset.prefer, *dataset.judge]
    train = {row.brief for row in rows if row.split == "train"}
    test = {row.brief for row in rows if row.split == "test"}
    assert len(test) == 1
    assert not train & test
    assert {row.prompt for row in rows if row.split == "test"} == {
        'Product: soda (fresh)\nHeadline: "'
    }


def test_noise_is_not_taught():
    level = dict.fromkeys(RATES, 0.2)
    reading = Reading(made_log(products=PRODUCTS, rates=level, shown=1500))
    try:
        found = reading.dataset(EvidenceThresholds(sure=0.99))
    except DatasetError:
        return
    possible = len(PRODUCTS) * len(RATES) * (len(RATES) - 1) / 2
    assert len(found.prefer) < 0.1 * possible


def test_too_little_evidence_teaches_nothing_and_says_why(reading):
    with pytest.raises(DatasetError, match=r"of 20 creatives nothing .*seen_too_little 20"):
        reading.dataset(EvidenceThresholds(effective_n=1e6))


def test_creatives_without_a_brief_are_counted(reading):
    with pytest.raises(DatasetError, match="without_a_brief 20"):
        build_dataset(reading.evidence, lambda evidence: None)


def test_a_text_is_in_a_few_pairs_only(reading):
    found = reading.dataset(EvidenceThresholds(pairs_per_text=1))
    texts = [(row.brief, text) for row in found.prefer for text in (row.better, row.worse)]
    assert len(texts) == len(set(texts))


def test_segments_are_compared_within(reading):
    split = Reading(made_log(), segment_field="user.easy")
    assert {each.segment for each in split.evidence} == {"True", "False"}
    easy = {e.creative.id: e for e in split.evidence if e.segment == "True"}
    hard = {e.creative.id: e for e in split.evidence if e.segment == "False"}
    assert all(easy[k].winner.estimate > hard[k].winner.estimate for k in easy)


@pytest.mark.parametrize(
    ("context", "found"),
    [(b'{"a":{"b":1}}', "1"), (b'{"a":1}', ""), (b"{}", ""), (b'{"a":{"b":{}}}', "")],
)
def test_a_segment_is_a_value_at_a_path(context, found):
    assert segment_of(msgspec.Raw(context), "a.b") == found


def test_a_reward_out_of_range_is_refused():
    log = made_log(shown=10)
    large = replace(next(interactions(log)), reward=2.0, sequence=11)
    log.append([Message(INTERACTIONS, b"home", encode(large))])
    with pytest.raises(DatasetError, match=r"earned 2\.0; expected 0 to 1"):
        Reading(log)


def test_it_comes_back_from_its_folder(dataset, reading, tmp_path):
    limits = EvidenceThresholds(best=0.3)
    card = write_dataset(dataset, tmp_path, log=reading.log, thresholds=limits)
    again, read_card = read_dataset(tmp_path)
    assert (again, read_card) == (dataset, card)
    assert card.rows["prefer/train"] == sum(r.split == "train" for r in dataset.prefer)
    assert card.briefs == {"train": 4, "test": 1}
    [log_range] = card.log
    assert (log_range.first, log_range.last) == (0, 4000 * len(PRODUCTS) - 1)
    assert Reading(made_log(products=PRODUCTS)).log == reading.log


def test_an_unfinished_folder_is_no_dataset(dataset, reading, tmp_path):
    write_dataset(dataset, tmp_path, log=reading.log, thresholds=EvidenceThresholds())
    (tmp_path / CARD).unlink()
    with pytest.raises(DatasetError, match="no dataset in"):
        read_dataset(tmp_path)


def test_pairs_from_before_refusals_were_marked_can_be_read(tmp_path):
    pair = Prefer("p", "better", "worse", "brief", "home", "", 0.9, "train")
    write_dataset(Dataset([], [pair], [], {}), tmp_path, log=(), thresholds=EvidenceThresholds())
    path = rows_file(tmp_path, "prefer")
    parquet.write_table(parquet.read_table(path).drop_columns("refused"), path)
    assert read_dataset(tmp_path)[0].prefer == [pair]
