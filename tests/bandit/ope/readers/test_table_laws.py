"""For any table: no traceback, and every row is used or counted with a reason."""

import csv
import io
import json
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit.errors import BanditError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.evaluate_columns import evaluate_columns
from bandit.ope.readers.rows import Reading, RowCounts
from bandit.ope.readers.tables.table import open_columns, read_table
from bandit.ope.tables import to_arrow

ROLES = {
    "action": "a", "reward": "r", "propensity": "p", "event_id": "e", "timestamp_ms": "t",
    "context.x": "x", "target.new": "q",
}  # fmt: skip
CHEAP = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
NAMES = ["007", "7", "", " ", "101.0", "true", "null", "NaN", "a,b", 'q"', "é", "[red]", "x\ny"]
NUMBERS = [
    "0",
    "1",
    "0.5",
    ".3333",
    "1e-3",
    "-1",
    "nan",
    "inf",
    "x",
    "",
    "1,5",
    "0x1F",
    "2.0",
    "1_0",
]
TIMES = ["2024-05-01", "2024-05-01T12:00:00+02:00", "1714564800000", "", "noon", "2024-13-01"]
CELLS = st.sampled_from([*NAMES, *NUMBERS, *TIMES, "é" * 200]) | st.text(max_size=4).filter(
    lambda text: "\x00" not in text and "\r" not in text and text.isprintable()
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | CELLS
    | st.dates(date(1900, 1, 1), date(2100, 1, 1))
    | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
    | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
    | st.decimals(-10, 10, allow_nan=False, places=2)
    | st.lists(st.integers(0, 3), max_size=2)
    | st.dictionaries(st.sampled_from("ab"), st.floats(0, 1), max_size=2)
)
COLUMNS = {
    "a": st.sampled_from(["a", "b", "007"]) | CELLS,
    "r": st.sampled_from(["0", "1"]) | CELLS,
    "p": st.sampled_from(["0.5", "1.0", ".3333"]) | CELLS,
    "e": st.text("xyz", min_size=3, max_size=5) | CELLS,
    "t": st.sampled_from(TIMES) | CELLS,
    "x": CELLS,
    "q": st.sampled_from(["0.1", "1"]) | CELLS,
}


def rows_of(**columns):
    return st.lists(st.fixed_dictionaries(columns), max_size=8)


def same(one, other):
    return (
        [row.value for policy in one.policies for row in policy.estimates]
        == pytest.approx(
            [row.value for policy in other.policies for row in policy.estimates], nan_ok=True
        )
        and [policy.diagnostics.verdict for policy in one.policies]
        == [policy.diagnostics.verdict for policy in other.policies]
        and one.skipped == other.skipped
    )


def hold(table, n_rows, roles=ROLES):
    """Holds the laws for one table; one that cannot be read at all says so in one error."""
    counts = RowCounts("skip")
    try:
        events = list(read_table(table, roles, counts=counts))
    except BanditError:
        return
    left_out = sum(rows.count for rows in counts.get())
    assert len(events) + left_out == n_rows
    assert all(rows.detail and ", row " in rows.first for rows in counts.get())
    policies, options = ["uniform", "constant:7", "column:new"], Options(("ips", "snips"))
    try:
        log = open_columns(table, roles, on_bad_row="skip")
        by_column = evaluate_columns(log, policies, options)
    except BanditError:
        assert not events
        return

    def opened():
        counts = RowCounts("skip")
        return Reading(read_table(table, roles, counts=counts), counts)

    by_row = evaluate(opened, policies, options)
    assert by_column.n == by_row.n == len(events)
    assert same(by_column, by_row)


@CHEAP
@given(rows_of(**COLUMNS), st.sampled_from(",;\t"))
def test_any_csv(rows, separator):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([list(COLUMNS), *(row.values() for row in rows)])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_text(text.getvalue(), encoding="utf-8")
        hold(path, len(rows))


@CHEAP
@given(rows_of(**dict.fromkeys(COLUMNS, VALUES)))
def test_any_table_in_memory_and_in_parquet(rows):
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    try:
        table, roles = to_arrow(columns, ROLES)
    except BanditError:
        return
    hold(table, len(rows), roles)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        try:
            pq.write_table(table, path)
        except pa.ArrowException:
            return
        hold(path, len(rows))


def plain(value):
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return str(value) if isinstance(value, Decimal | date) else value


@CHEAP
@given(rows_of(**dict.fromkeys(COLUMNS, VALUES)))
def test_any_json_lines(rows):
    lines = [json.dumps({name: plain(cell) for name, cell in row.items()}) for row in rows]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_text("\n".join([*lines, '{"a": 1, "r": ']), encoding="utf-8")
        hold(path, len(rows) + 1)


# pyarrow does not call its handler for a short row that is not UTF-8, and prints why
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@CHEAP
@given(st.binary(max_size=60), st.sampled_from(["csv", "jsonl", "parquet", "json", "dat"]))
def test_any_bytes(content, suffix):
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{suffix}"
        for start in (b"", b"a,r,p,e,t,x,q\n", b"PAR1", b'{"a": 1, "r": 1, "p": 1}\n'):
            path.write_bytes(start + content)
            with suppress(BanditError):
                list(read_table(path, ROLES, counts=RowCounts("skip")))
