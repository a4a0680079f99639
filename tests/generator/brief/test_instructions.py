"""What a model that converses is told, in every language that has words of its own."""

import re

import pytest
from msgspec.structs import replace

from generator.brief.instructions import Wanted, task_of
from generator.brief.schema import (
    LANGUAGES,
    Brief,
    Constraints,
    Environment,
    Material,
    Segment,
    Time,
)
from generator.brief.words import WORDS

HEADLINE = Wanted("line", 30, "double_width")
FULL = Brief(
    product="跑鞋",
    brand="疾风",
    facts=("198克", "透气"),
    attributes={"颜色": "黑"},
    voice="亲切",
    segments=(
        Segment(name="a", who="学生", interests=("夜跑",)),
        Segment(name="b", who="教练", behaviour=("买过",)),
    ),
    time=Time(weekdays=("saturday",), hours="9-17", season="winter", promotion="满300减50"),
    environment=Environment(channel="google_rsa", device="mobile", site="首页"),
    goals=("购买",),
    keywords=("轻量",),
    material=(Material(kind="image", description="跑道"),),
    constraints=Constraints(
        required_claims=("七天退货",),
        allowed_claims=("好评如潮",),
        never_use=("便宜",),
        competitors=("某克",),
    ),
)


@pytest.mark.parametrize("language", WORDS)
def test_all_that_the_screen_holds_to_is_told_in_the_language(language):
    brief = replace(FULL, language=language if language in LANGUAGES else "zh")
    task = task_of(brief, HEADLINE._replace(segment="a", winner="跑得更远"), taken=("旧的",))
    told = task.words(5)
    said = [
        "跑鞋",
        "疾风",
        "198克",
        "黑",
        "亲切",
        "学生",
        "夜跑",
        "满300减50",
        "首页",
        "购买",
        "轻量",
    ]
    said += [
        "跑道",
        "七天退货",
        "好评如潮",
        "便宜",
        "某克",
        "跑得更远",
        "旧的",
        "30",
        '"texts"',
        "5",
    ]
    said += ["Google responsive search ad"]
    assert [word for word in said if word not in told] == []
    assert "教练" not in told, "another segment is not written for"
    assert not re.search(r"\{(?!\"texts\")", told), "every place is filled in"
    assert {"1", "5"} & set(re.findall(r"\d+", task.words(1).splitlines()[-1])) <= {"1"}


@pytest.mark.parametrize("language", [name for name in WORDS if name != "en"])
def test_no_english_stands_around_a_brief_of_another_language(language):
    brief = replace(FULL, language=language if language in LANGUAGES else "zh")
    told = task_of(brief, HEADLINE).words(2).replace("Google responsive search ad", "")
    words = set(re.findall(r"[a-z]{4,}", told.lower()))
    assert not words & {"product", "write", "headline", "headlines", "never", "saturday"}


def test_without_proof_or_a_ground_for_urgency_both_are_ruled_out():
    bare = Brief(product="tea", language="en")
    told = task_of(bare, Wanted("sentence", 90)).words(1)
    assert "There is no proof" in told
    assert "no ground for urgency" in told
    assert "description" in told
    assert "count as two" not in told
    assert "Brand" not in told


def test_a_language_without_words_of_its_own_is_asked_for_by_name():
    told = task_of(Brief(product="teetä", language="fi"), HEADLINE).words(1)
    assert "Write natural Finnish" in told


def test_tasks_for_the_same_texts_are_equal_and_others_are_not():
    assert task_of(FULL, HEADLINE) == task_of(FULL, HEADLINE)
    assert hash(task_of(FULL, HEADLINE)) == hash(task_of(FULL, HEADLINE))
    assert task_of(FULL, HEADLINE) != task_of(FULL, HEADLINE._replace(winner="a"))
