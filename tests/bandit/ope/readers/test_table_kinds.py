"""A cell means the same whatever its type, its file and the other policies asked about."""

import datetime as dt
import gzip
import json
from decimal import Decimal
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit.errors import EstimateError, ReaderError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.evaluate_columns import evaluate_columns
from bandit.ope.readers import open_reader
from bandit.ope.readers.tables.table import open_columns, read_table

ROLES = {"action": "ad", "reward": "clicked", "propensity": "p"}
SNIPS = Options(("snips", "ips"))
DAYS = [dt.date(2024, 5, 1), dt.date(2024, 5, 2)]
NOON = dt.datetime(2024, 5, 1, 12, 0, 0, 1500)


def by_rows(table, policies, columns=ROLES, options=SNIPS, on_bad_row="stop"):
    opened = partial(open_reader, "table", table, columns=columns, on_bad_row=on_bad_row)
    return evaluate(opened, policies, options)


def by_columns(table, policies, columns=ROLES, options=SNIPS, on_bad_row="stop"):
    return evaluate_columns(open_columns(table, columns, on_bad_row=on_bad_row), policies, options)


def values(found):
    return [[row.value for row in policy.estimates] for policy in found.policies]


def log(actions, n=60):
    """Returns a log over these actions, whose second earns more, as columns of Python."""
    rng = np.random.default_rng(5)
    chosen = rng.integers(0, len(actions), n)
    clicked = (rng.random(n) < np.where(chosen == 1, 0.6, 0.2)).astype(int).tolist()
    return {
        "ad": [actions[place] for place in chosen],
        "clicked": clicked,
        "p": [1 / len(actions)] * n,
    }


def write(path, columns, separator=","):
    lines = [separator.join(columns)]
    lines += [separator.join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def mean_of(columns, action):
    earned = [r for a, r in zip(columns["ad"], columns["clicked"], strict=True) if a == action]
    return sum(earned) / len(earned)


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (pa.array([101.0, 102.0]), "102.0"),
        (pa.array([1.5, 2.5], pa.float32()), "2.5"),
        (pa.array([7, 8], pa.uint8()), "8"),
        (pa.array([12345678901234567890, 12345678901234567891], pa.uint64()),
         "12345678901234567891"),
        (pa.array([Decimal("1.50"), Decimal("2.50")]), "2.50"),
        (pa.array(DAYS), "2024-05-02"),
        (pa.array([NOON, NOON.replace(microsecond=0)], pa.timestamp("us", tz="Asia/Tokyo")),
         "2024-05-01 12:00:00Z"),
        (pa.array([False, True]), "true"),
        (pa.array(["007", "7"], pa.large_string()), "7"),
        (pa.array(["a", "b"]).dictionary_encode(), "b"),
        (pa.array([b"a", b"b"]), "b"),
        (pa.array([b"a\xff", b"b\xff"], pa.binary(2)), "62ff"),
    ],
)  # fmt: skip
def test_ids_are_names_alone_and_beside_other_policies(tmp_path, array, name):
    columns = log([0, 1])
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table(columns | {"ad": array.take(pa.array(columns["ad"]))}), path)
    policy, expected = f"constant:{name}", mean_of(columns, 1)
    for found in (by_columns(path, [policy]), by_rows(path, [policy, "thompson"])):
        assert values(found)[1][0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("actions", "name"),
    [
        (["007", "7"], "7"),
        (["101.0", "101"], "101"),
        (["12345678901234567890", "12345678901234567891"], "12345678901234567891"),
        (["2024-05-01", "2024-05-02"], "2024-05-02"),
        (["False", "True"], "True"),
        (["NA", "null"], "null"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_ids_in_text_are_as_they_stand(tmp_path, actions, name, kind):
    columns = log(actions)
    path = tmp_path / f"log.{kind}"
    if kind == "csv":
        write(path, columns)
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    expected = mean_of(columns, name)
    for found in (by_columns(path, [f"constant:{name}"]), by_rows(path, [f"constant:{name}"])):
        assert values(found)[1][0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("judge", [by_columns, by_rows])
def test_an_empty_action_is_refused_by_row_or_counted(tmp_path, judge):
    columns = log(["a", "b"])
    for row in (7, 9):
        columns["ad"][row] = ""
    text = write(tmp_path / "log.csv", columns)
    nulls = tmp_path / "log.parquet"
    pq.write_table(pa.table(columns | {"ad": [a or None for a in columns["ad"]]}), nulls)
    for path in (text, nulls):
        with pytest.raises(ReaderError, match=r"row 7: ad is empty; expected an action"):
            judge(path, ["uniform"])
        found = judge(path, ["uniform"], on_bad_row="skip")
        assert found.n == 58
        assert [(rows.reason, rows.count) for rows in found.skipped] == [("no_action", 2)]
        assert found.policies[1].diagnostics.verdict.code != "weights_off"
        assert "2 rows were skipped: no_action" in found.warnings[0]


@pytest.mark.parametrize(
    ("clicked", "when"),
    [
        (pa.array([Decimal("0.5"), Decimal("1.0")]), pa.array(DAYS)),
        (pa.array([1, None]).fill_null(0).cast(pa.int8()), pa.array(DAYS).cast(pa.date64())),
        (pa.array([True, False]), pa.array([NOON] * 2, pa.timestamp("us", tz="Europe/Berlin"))),
        (pa.array(["1", " 0.5"]), pa.array([NOON] * 2, pa.timestamp("ns"))),
        (pa.array([1.0, 0.25], pa.float16()), pa.array([1, 2], pa.int32())),
        (pa.array([1.0, 0.0]).dictionary_encode(), pa.array(["2024-05-01T12:00:00.0015Z"] * 2)),
        (pa.array([1, 0]), pa.array(["2024-05-01T14:00:00+02:00", "2024-05-01"])),
    ],
)
def test_rewards_and_times_of_any_type_are_read(tmp_path, clicked, when):
    path = tmp_path / "log.parquet"
    table = pa.table({"ad": ["a", "b"], "clicked": clicked, "p": [0.5, 0.5], "when": when})
    pq.write_table(table, path)
    columns = ROLES | {"timestamp_ms": "when"}
    events = list(open_reader("table", path, columns=columns))
    (read,) = open_columns(path, columns).read()
    assert [event.decision.timestamp_ms for event in events] == read.timestamp_ms.tolist()
    assert [event.reward for event in events] == read.reward.tolist()
    assert events[0].reward == float(clicked[0].as_py())
    by_rows(path, ["thompson"], columns)


def test_times_are_in_utc(tmp_path):
    when = [
        "2024-05-01T14:00:00+02:00", "2024-05-01T12:00:00Z", "2024-05-01 12:00", "1714564800000",
    ]  # fmt: skip
    path = write(tmp_path / "log.csv", {**log(["a", "b"], 4), "when": when})
    events = list(open_reader("table", path, columns=ROLES | {"timestamp_ms": "when"}))
    assert {event.decision.timestamp_ms for event in events} == {1714564800000}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_is_read_whatever_separates_its_columns(tmp_path, separator):
    columns = log(["a", "b"])
    path = write(tmp_path / "log.csv", columns, separator)
    assert values(by_columns(path, ["constant:b"]))[1][0] == mean_of(columns, "b")


def test_numbers_may_have_a_decimal_comma_where_columns_have_none(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("ad;clicked;p\na;0,5;0,25\nb;1;0,75\n")
    assert [e.reward for e in open_reader("table", path, columns=ROLES)] == [0.5, 1.0]


def test_numbers_of_a_context_are_numbers_and_names_are_names(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(
        "ad,clicked,p,age,zip,score,new\na,0,.5,30,01234,1,true\nb,1,.5,,98765,.5,False\n"
    )
    roles = ROLES | {f"context.{name}": name for name in ("age", "zip", "score", "new")}
    contexts = [json.loads(bytes(e.decision.context)) for e in
                open_reader("table", path, columns=roles)]  # fmt: skip
    assert contexts == [
        {"age": 30, "zip": "01234", "score": 1.0, "new": True},
        {"age": None, "zip": "98765", "score": 0.5, "new": False},
    ]


def test_json_lines_may_be_nested_and_of_mixed_kinds(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"show": {"ad": 7}, "r": 1, "p": 0.5, "user": {"age": 3}}\n\n'
        '{"show": {"ad": "007"}, "r": 0.5, "p": "0.5"}\n'
    )
    roles = {"action": "show.ad", "reward": "r", "propensity": "p", "context.age": "user.age"}
    first, second = open_reader("table", path, columns=roles)
    assert [e.decision.action.id for e in (first, second)] == ["7", "007"]
    assert second.reward == 0.5
    assert json.loads(bytes(first.decision.context)) == {"age": 3}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("log.csv", "ad_id;r;p\n1;1;1\n", "has no column ad, clicked; its columns are: ad_id"),
        ("log.csv", "ad,ad,clicked,p\n1,1,1,1\n", "several columns of the name ad"),
        ("log.csv", "", "has no column ad, clicked, p; its columns are: none"),
        ("log.jsonl", '{"x": 1}\n', "has no column ad; its columns are: x"),
        ("log.json", '[{"ad": 1}]', "is one JSON array; expected JSON lines"),
        ("log.xlsx", "PK\x03\x04", "is a zip file or a workbook"),
        ("log.csv", "ÿþa", "no column"),
    ],
)
def test_what_is_no_such_table_is_named(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ReaderError, match=words):
        list(open_reader("table", path, columns=ROLES))
    with pytest.raises(ReaderError, match=words):
        list(open_columns(path, ROLES).read())


def test_ids_that_are_lists_are_named():
    table = pa.table({"ad": [[1], [2]], "clicked": [1, 0], "p": [0.5, 0.5]})
    with pytest.raises(ReaderError, match=r"ad is of type list.*; expected names or numbers"):
        list(read_table(table, ROLES))


def test_text_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes("ad,clicked,p\nä,1,1\n".encode("utf-16"))
    with pytest.raises(ReaderError, match="UTF-16; expected CSV"):
        list(open_reader("table", path, columns=ROLES))
    path.write_bytes("ad,clicked,p\nä,1,1\n".encode("latin-1"))
    with pytest.raises(ReaderError, match=r"cannot be read: .*UTF8"):
        list(open_reader("table", path, columns=ROLES))
    path.write_bytes("ad,clicked,p\nä,1,1\n".encode("utf-8-sig"))
    assert len(list(open_reader("table", path, columns=ROLES))) == 1


def test_rows_have_their_numbers_in_the_file_wherever_lines_are_bad(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('ad,clicked,p\na,1,.5\nb\n"two\nlines",1,.5\na,x,.5\na,1,.5,9\nb,1,7\n')
    found = by_columns(path, ["uniform"], on_bad_row="skip")
    assert found.n == 2
    assert [(rows.reason, rows.first.rpartition(" ")[2]) for rows in found.skipped] == [
        ("wrong_number_of_fields", "1"), ("reward_invalid", "3"), ("propensity_invalid", "5"),
    ]  # fmt: skip
    assert found.skipped[0].count == 2
    with pytest.raises(ReaderError, match=r"row 1: 1 fields, not 3"):
        by_rows(path, ["uniform"])


def test_rows_that_repeat_an_event_are_counted_and_left_out(tmp_path):
    columns = log(["a", "b"], 6) | {"id": ["x", "y", "x", "", "", "x"]}
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=2)
    roles = ROLES | {"event_id": "id"}
    for judge in (by_columns, by_rows):
        found = judge(path, ["uniform"], roles)
        assert found.n == 4
        assert [(rows.reason, rows.count) for rows in found.skipped] == [("repeated_event_id", 2)]
        assert "row 2: a row before has the same event id" in found.warnings[0]


def test_a_folder_of_spark_is_one_table(tmp_path):
    columns = log(["a", "b"])
    whole = pa.table(columns)
    for day in (1, 2):
        folder = tmp_path / "log" / f"ad_day=0{day}"
        folder.mkdir(parents=True)
        pq.write_table(whole.slice(30 * (day - 1), 30), folder / "part-00000.snappy.parquet")
    (tmp_path / "log" / "_SUCCESS").touch()
    (tmp_path / "log" / ".part-00000.parquet.crc").write_bytes(b"crc")
    roles = ROLES | {"context.day": "ad_day"}
    for place in (tmp_path / "log", tmp_path / "log" / "*", tmp_path / "log" / "*" / "*.parquet"):
        assert values(by_columns(place, ["constant:b"], roles))[1][0] == mean_of(columns, "b")
        days = [json.loads(bytes(e.decision.context)) for e in
                open_reader("table", place, columns=roles)]  # fmt: skip
        assert days == [{"day": "01"}] * 30 + [{"day": "02"}] * 30
    spread = open_columns(tmp_path / "log", roles)
    assert spread.most_parts == 2
    halves = [list(spread.read(part, 2)) for part in range(2)]
    assert [half.timestamp_ms.tolist() for (half,) in halves] == [
        list(range(30)), list(range(30, 60)),
    ]  # fmt: skip
    for place in (tmp_path / "nothing" / "*", tmp_path / "*.csv"):
        with pytest.raises(ReaderError, match=r"does not exist|holds no file"):
            open_reader("table", place, columns=ROLES)
    write(tmp_path / "log" / "other.csv", columns)
    with pytest.raises(ReaderError, match="several formats"):
        open_reader("table", tmp_path / "log", columns=ROLES)


def test_a_hole_in_every_quarter_of_a_column_is_a_hole(tmp_path):
    ages = [None, 3, 4, 5] * 15
    table = pa.table(log(["a", "b"]) | {"age": ages, "city": ["x", None, "y", "z"] * 15})
    roles = ROLES | {"context.age": "age", "context.city": "city"}
    events = list(read_table(table, roles))
    assert json.loads(bytes(events[0].decision.context)) == {"age": None, "city": "x"}
    found = by_rows_of(table, roles)
    assert found.n == 60


def by_rows_of(table, roles):
    return evaluate(lambda: read_table(table, roles), ["thompson", "lin_ucb"], SNIPS)


def test_compressed_text_and_other_line_ends_are_read(tmp_path):
    columns = log(["a", "b"])
    text = write(tmp_path / "log.csv", columns).read_bytes()
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "crlf.csv").write_bytes(text.replace(b"\n", b"\r\n"))
    (tmp_path / "no suffix").write_bytes(text)
    for name in ("log.csv.gz", "crlf.csv", "no suffix"):
        assert values(by_columns(tmp_path / name, ["constant:b"]))[1][0] == mean_of(columns, "b")


def test_where_propensities_are_estimated_none_are_read(tmp_path):
    columns = log(["a", "b"]) | {"p": ["?"] * 60}
    path = write(tmp_path / "log.csv", columns)
    events = list(open_reader("table", path, columns=ROLES, propensities=False))
    assert {event.decision.propensity for event in events} == {0.5}


@pytest.mark.parametrize(("role", "cells", "reason"), [
    ("p", ["1e-300", "0", "1.5", "-1"], "propensity_invalid"),
    ("clicked", ["inf", "1e200", "nan", "yes"], "reward_invalid"),
    ("when", ["9e15", "1e300", "noon", "inf"], "timestamp_ms_invalid"),
    ("id", ["x" * 600, "y" * 600, "z" * 600, "w" * 999], "event_id_invalid"),
    ("new", ["2", "-0.1", "x", "inf"], "target_invalid"),
])  # fmt: skip
def test_a_cell_that_cannot_be_is_counted(tmp_path, role, cells, reason):
    columns = {**log(["a", "b"], 8), "when": [1] * 8, "id": list(range(8)), "new": [0.5] * 8}
    columns[role] = [*cells, *columns[role][4:]]
    path = write(tmp_path / "log.csv", columns)
    roles = ROLES | {"timestamp_ms": "when", "event_id": "id", "target.new": "new"}
    for judge in (by_columns, by_rows):
        found = judge(path, ["column:new"], roles, on_bad_row="skip")
        assert (found.n, [(rows.reason, rows.count) for rows in found.skipped]) == (
            4, [(reason, 4)],
        )  # fmt: skip


def test_a_table_without_rows_is_no_log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("ad,clicked,p\n")
    for judge in (by_columns, by_rows):
        with pytest.raises(EstimateError, match="no decision"):
            judge(path, ["uniform"])
