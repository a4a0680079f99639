import pytest

from generator.models.base import Ensemble, Member, Sampling, deal
from tests.generator.scripted import Scripted

SAMPLING = Sampling('"', 8)


def test_texts_are_pooled_in_the_order_of_their_prompts_and_say_who_wrote_them():
    one, two = Scripted(["a"], name="one"), Scripted(["b"], name="two")
    pool = Ensemble([Member(one), Member(two, adapter="v2", share=2.0)])
    written = pool.complete(list("123456"), SAMPLING, seed=1)
    assert sorted((c.text, c.model, c.adapter) for c in written) == [
        *[("a", "one", None)] * 2,
        *[("b", "two", "v2")] * 4,
    ]
    for prompt, completion in zip("123456", written, strict=True):
        assert prompt in {"a": one, "b": two}[completion.text].asked
    assert pool.name == "one + two@v2"


def test_an_adapter_that_a_call_names_is_used_by_all():
    pool = Ensemble([Member(Scripted(["a"])), Member(Scripted(["b"]), adapter="v2")])
    assert {c.adapter for c in pool.complete(["1", "2"], SAMPLING, seed=1, adapter="v9")} == {"v9"}


def test_members_of_one_model_are_counted_once():
    shared = Scripted(["a"])
    pool = Ensemble([Member(shared, adapter="v1"), Member(shared, adapter="v2")])
    pool.complete(["1", "2"], SAMPLING, seed=1)
    assert pool.usage.requests == shared.usage.requests == 2


def test_progress_only_grows():
    told = []
    pool = Ensemble([Member(Scripted(["a"])), Member(Scripted(["b"]))])
    pool.complete(["1", "2", "3"], SAMPLING, seed=1, progress=told.append)
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= 1


def test_no_prompts_need_no_member():
    assert Ensemble([Member(Scripted(None))]).complete([], SAMPLING, seed=1) == []


@pytest.mark.parametrize("n", [0, 1, 7, 40])
def test_shares_are_kept_to_within_one(n):
    shares = [0.5, 0.3, 0.2]
    dealt = deal(n, shares)
    for number, share in enumerate(shares):
        assert abs(dealt.count(number) - share * n) < 1.0
