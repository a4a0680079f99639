import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv, parquet

from bandit.abtests.data import AbTest, AbTestArm, draw_clicks, read_ab_tests
from bandit.commands.replay import weeks_of
from bandit.errors import ReplayError
from benchmarks.upworthy import DATA, read_upworthy


def row(test: str, headline: str, impressions: int, clicks: int, week: int = 201410) -> Any:
    return {
        "test": test,
        "headline": headline,
        "impressions": impressions,
        "clicks": clicks,
        "week": week,
        "lede": "not read",
    }


ROWS = [
    *(row("late", f"headline {n}", 1500, 10 + n, week=201420) for n in range(3)),
    *(row("early", f"headline {n}", 1200 + n, 20 * n, week=201405) for n in range(4)),
    *(row("faulty", f"headline {n}", 1500, 10, week=201330) for n in range(3)),
    *(row("two", f"headline {n % 2}", 1500, 10) for n in range(4)),
    *(row("small", f"headline {n}", 999 + n, 10) for n in range(3)),
]


def written(rows: list[Any], path: Path) -> Path:
    table = pa.Table.from_pylist(rows)
    csv.write_csv(table, path) if path.suffix == ".csv" else parquet.write_table(table, path)
    return path


@pytest.mark.parametrize("name", ["tests.parquet", "tests.csv"])
def test_the_tests_that_qualify_come_in_order_of_week(tmp_path: Path, name: str) -> None:
    path = written(ROWS, tmp_path / name)
    tests = read_ab_tests(path, exclude_weeks=(201326, 201402))
    assert [(test.id, len(test.arms)) for test in tests] == [("early", 4), ("late", 3)]
    assert tests[0].arms[2] == AbTestArm("headline 2", 1202, 40)


def test_weeks_that_leave_out_nothing_are_refused(tmp_path: Path) -> None:
    path = written(ROWS, tmp_path / "tests.parquet")
    with pytest.raises(ReplayError, match="weeks 201402 to 201326 end before they begin"):
        read_ab_tests(path, exclude_weeks=(201402, 201326))
    without = [{role: value for role, value in each.items() if role != "week"} for each in ROWS]
    path = written(without, tmp_path / "without.parquet")
    assert read_ab_tests(path)
    with pytest.raises(ReplayError, match="has no weeks, so none can be left out"):
        read_ab_tests(path, exclude_weeks=(201326, 201402))


@pytest.mark.parametrize(
    "text", ["201402-201326", "201400-201405", "201401-201454", "201401", "2014-2015", "x-y"]
)
def test_the_command_takes_weeks_in_their_order_alone(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected YYYYWW-YYYYWW"):
        weeks_of(text)
    assert weeks_of("201326-201402") == (201326, 201402)


def test_weeks_are_not_asked_for(tmp_path: Path) -> None:
    rows = [{"test": "t", "headline": "h", "impressions": 5}]
    path = written(rows, tmp_path / "tests.parquet")
    with pytest.raises(ReplayError) as raised:
        read_ab_tests(path)
    assert "lacks the column clicks; a row an arm must have" in str(raised.value)
    assert "test, headline, impressions, clicks, and may have week" in str(raised.value)
    with pytest.raises(ReplayError, match="lacks the columns clicks, when"):
        read_ab_tests(path, columns={"week": "when"})


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    one = read_ab_tests(written(ROWS, tmp_path / "one.parquet"))
    assert one == read_ab_tests(written(ROWS[::-1], tmp_path / "other.parquet"))


def test_minimums_and_weeks_can_be_chosen(tmp_path: Path) -> None:
    path = written(ROWS, tmp_path / "tests.parquet")
    every = read_ab_tests(path, min_headlines=2, min_impressions=0)
    assert [test.id for test in every] == ["faulty", "early", "small", "two", "late"]
    assert [test.id for test in read_ab_tests(path, exclude_weeks=(201405, 201419))] == [
        "faulty",
        "late",
    ]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    names = {"test": "experiment", "clicks": "opened"}
    rows = [{names.get(role, role): value for role, value in each.items()} for each in ROWS]
    for name in ("tests.parquet", "tests.csv"):
        other = read_ab_tests(written(rows, tmp_path / f"other {name}"), columns=names)
        assert other == read_ab_tests(written(ROWS, tmp_path / name))
    with pytest.raises(ReplayError, match="column role 'colour' does not exist; expected one of"):
        read_ab_tests(tmp_path / "tests.csv", columns={"colour": "red"})


def test_tests_are_read_from_any_table(tmp_path: Path) -> None:
    expected = read_ab_tests(written(ROWS, tmp_path / "tests.parquet"))
    lines = [";".join(ROWS[0]), *(";".join(map(str, each.values())) for each in ROWS)]
    (tmp_path / "semicolons.csv").write_text("\n".join(lines))
    (tmp_path / "tests.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "folder").mkdir()
    written(ROWS[:9], tmp_path / "folder" / "part-0.parquet")
    written(ROWS[9:], tmp_path / "folder" / "part-1.parquet")
    for name in ("semicolons.csv", "tests.jsonl", "folder", "folder/*.parquet"):
        assert read_ab_tests(tmp_path / name) == expected


def test_a_week_may_be_a_date_and_may_be_missing(tmp_path: Path) -> None:
    days = {201420: "2014-05-12", 201405: "2014-01-30", 201330: "2013-07-28", 201410: "2014-03-05"}
    rows = [each | {"week": days[each["week"]]} for each in ROWS]
    expected = read_ab_tests(written(ROWS, tmp_path / "tests.parquet"))
    assert read_ab_tests(written(rows, tmp_path / "dates.csv")) == expected
    dates = [each | {"week": date.fromisoformat(each["week"])} for each in rows]
    assert read_ab_tests(written(dates, tmp_path / "dates.parquet")) == expected
    without = [{role: cell for role, cell in each.items() if role != "week"} for each in ROWS]
    tests = read_ab_tests(written(without, tmp_path / "no weeks.csv"))
    assert [(test.id, test.week) for test in tests] == [("early", 0), ("faulty", 0), ("late", 0)]


def test_rows_with_the_same_headline_are_one_arm(tmp_path: Path) -> None:
    rows = [row("t", "same", 600, 6), row("t", "same ", 700, 8), row("t", "other", 1000, 5)]
    path = written(rows, tmp_path / "tests.parquet")
    (test,) = read_ab_tests(path, min_headlines=2)
    assert test.arms == (AbTestArm("other", 1000, 5), AbTestArm("same", 1300, 14))


def test_headlines_of_a_csv_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "tests.csv"
    path.write_text(
        "week,test,headline,impressions,clicks\n"
        '201410,7,1984,2000,20\n201410,7,"two\nlines, a comma",2000,30\n201410,7,true,2000,40\n'
    )
    (test,) = read_ab_tests(path)
    assert [arm.headline for arm in test.arms] == ["1984", "true", "two\nlines, a comma"]
    assert test.id == "7"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"headline": "a", "clicks": 1}],
            r"lacks the columns test, impressions; a row",
        ),
        ([row("t", "a", 10, 11)], "11 clicks of 10 impressions in row 1; expected 0 <= clicks"),
        ([row("t", "b", 10, 1), row("t", "a", 10, -1)], "-1 clicks of 10 impressions in row 2"),
        ([row("t", "a", 10, 1) | {"headline": None}], "1 rows without headline"),
        ([row("t", "a", 10, 1) | {"clicks": "many"}], "a column of another type"),
        ([row("t" * 129, "a", 10, 1)], "test of 129 characters; at most 128"),
        ([row("t", "a", 10, 1)], r"none of the 1 tests .* 3 headlines of 1000 impressions"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        read_ab_tests(written(rows, tmp_path / "tests.parquet"))


def test_files_that_are_none_of_ours_are_named(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"absent\.parquet is not a file"):
        read_ab_tests(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("no parquet at all")
    with pytest.raises(ReplayError, match=r"cannot be read: .*; expected Parquet, or CSV"):
        read_ab_tests(tmp_path / "text.parquet")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(ReplayError, match="cannot be read"):
        read_ab_tests(tmp_path / "ragged.csv")


@given(
    pools=st.lists(
        st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
        min_size=1,
        max_size=5,
    ),
    seed=st.integers(0, 9),
)
def test_a_whole_pool_drawn_holds_exactly_its_clicks(
    pools: list[tuple[int, int]], seed: int
) -> None:
    test = AbTest("t", 201410, tuple(AbTestArm(str(i), *pool) for i, pool in enumerate(pools)))
    whole = max(impressions for impressions, _ in pools)
    drawn = draw_clicks(test, whole, np.random.default_rng(seed))
    assert [sum(clicked) for clicked in drawn] == [clicks for _, clicks in pools]
    assert [max(clicked[n:], default=0) for clicked, (n, _) in zip(drawn, pools, strict=True)] == [
        0
    ] * len(pools)
    start = draw_clicks(test, test.rounds(20), np.random.default_rng(seed))
    assert start == [clicked[: test.rounds(20)] for clicked in drawn]


def test_each_place_in_the_order_is_as_likely_a_click() -> None:
    test = AbTest("t", 201410, (AbTestArm("a", 30, 9),))
    rng = np.random.default_rng(0)
    orders = np.array([list(draw_clicks(test, 30, rng)[0]) for _ in range(4000)])
    assert np.abs(orders.mean(axis=0) - 0.3).max() < 4.5 * np.sqrt(0.21 / 4000)


@pytest.mark.skipif(not DATA.exists(), reason="the Upworthy archive is not at ../shared/data")
def test_the_upworthy_archive_has_1040_tests_that_qualify() -> None:
    tests = read_upworthy()
    assert len(tests) == 1040
    rounds = [test.rounds(2000) for test in tests]
    total = sum(rounds)
    uniform = sum(n * test.uniform_ctr for n, test in zip(rounds, tests, strict=True)) / total
    best = sum(n * test.best_ctr for n, test in zip(rounds, tests, strict=True)) / total
    assert uniform == pytest.approx(0.01175, abs=2e-5)
    assert best == pytest.approx(0.0160, abs=1e-4)
