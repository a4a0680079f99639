import numpy as np
import pytest

from generator.screening.gates import similarity
from generator.screening.gates.likeness import vectors


def duplicate(text, others):
    both = vectors([text, *others])
    limits = {"alike": 92, "close": 0.9, "worded": 60}
    return similarity.duplicate(text, others, both[1:] @ both[0], **limits)


@pytest.mark.parametrize(
    "text", ["Wake up in Stockholm", "in Stockholm, wake up!", "Wake up in Stockholm, rested"]
)
def test_duplicate_refuses_the_same_words_in_any_order_or_with_more(text):
    assert "'Wake up in Stockholm'" in duplicate(text, ["Another", "Wake up in Stockholm"]).why


@pytest.mark.parametrize("others", [[], ["Wake up at home"]])
def test_duplicate_lets_other_words_through(others):
    assert duplicate("Breakfast in Stockholm", others).why is None


@pytest.mark.parametrize(
    "text", ["Make nights quiet again", "Make nights quieter again", "Keep nights quiet again"]
)
def test_copied_refuses_what_the_model_was_shown_and_its_ending(text):
    assert "was shown" in similarity.copied(text, ["Make nights quiet again"], nearly_equal=88).why


@pytest.mark.parametrize("text", ["Make nights count", "Quiet again"])
def test_copied_lets_the_same_opening_through(text):
    assert (
        similarity.copied(text, ["Make nights quiet again", "again"], nearly_equal=88).why is None
    )


def test_duplicate_goes_by_meaning_where_the_words_are_half_the_same():
    limits = {"alike": 92, "close": 0.9, "worded": 60}
    near, far = np.float32([0.95]), np.float32([0.5])
    text, others = "Boots that outlive trails", ["These boots outlive the trail"]
    assert "means what" in similarity.duplicate(text, others, near, **limits).why
    assert similarity.duplicate(text, others, far, **limits).why is None
    assert similarity.duplicate("Warm bread", others, near, **limits).why is None


def test_duplicate_scores_how_like_the_nearest_is():
    far, near = (duplicate("Warm bread", [other]).score for other in ("Cold tea", "Warm bread!"))
    assert 0 <= far < near == pytest.approx(1.0)


def test_texts_without_words_have_no_direction():
    assert vectors([]).shape == (0, 256)
    assert not vectors(["", "zzqx"])[0].any()


def test_off_topic_tells_how_far_a_text_is_from_all_subjects():
    subjects = vectors(["coffee beans by post", "fresh coffee"])
    bread, coffee = vectors(["A new bicycle tyre", "Coffee every morning"])
    assert similarity.off_topic(bread, subjects, 0.3).why.startswith("closeness to the product is ")
    assert similarity.off_topic(coffee, subjects, 0.3).why is None


def test_a_set_is_the_more_distinct_the_less_its_texts_repeat():
    one, same, other = (np.array(v, dtype=np.float32) for v in ([1, 0], [1, 0], [0, 1]))
    assert similarity.distinctness(np.stack([one])) == 1.0
    assert similarity.distinctness(np.stack([one, other])) == pytest.approx(1.0)
    assert similarity.distinctness(np.stack([one, same])) == pytest.approx(0.0)


def test_crowded_refuses_one_more_of_a_kind_and_not_a_few():
    alike = vectors([f"Coffee that {verb} you" for verb in ("lifts", "calms", "warms", "wakes")])
    [more] = vectors(["Coffee that holds you"])
    assert "too like 4 others" in similarity.crowded(more, alike, floor=0.7, nearest=4).why
    assert similarity.crowded(more, alike[:3], floor=0.7, nearest=4).why is None


def test_by_difference_puts_the_least_alike_first_and_keeps_the_first():
    texts = ["Warm bread", "Warm bread today", "A calm dentist", "Bread, warm"]
    order = similarity.by_difference(vectors(texts))
    assert order[:2] == [0, 2]
    assert sorted(order) == [0, 1, 2, 3]
    assert similarity.by_difference(vectors([])) == []
