"""Tables in memory are judged from Python as files are, and the result is a table."""

import json
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bandit
from bandit.errors import BanditError, PolicySpecError, ReaderError
from tests.readme import section

ROLES = {"action": "ad", "reward": "clicked", "propensity": "p", "context.device": "device"}
RNG = np.random.default_rng(6)
N = 400
ADS = RNG.integers(7, 9, N)
COLUMNS = {
    "ad": ADS.tolist(),
    "clicked": (RNG.random(N) < np.where(ADS == 8, 0.5, 0.2)).tolist(),
    "p": np.where(ADS == 8, 0.5, 0.5).tolist(),
    "device": [None if row % 4 == 0 else "phone" for row in range(N)],
    "junk": [object()] * N,
}
EARNED = float(np.array(COLUMNS["clicked"])[ADS == 8].mean())


def plain():
    return {name: cells for name, cells in COLUMNS.items() if name != "junk"}


def as_pandas():
    return pytest.importorskip("pandas", reason="pandas is not installed").DataFrame(COLUMNS)


def as_polars():
    return pytest.importorskip("polars", reason="polars is not installed").DataFrame(plain())


def as_categories():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    ads = polars.col("ad").cast(polars.String).cast(polars.Categorical)
    return as_polars().with_columns(ads)


def as_views():
    columns = plain() | {"ad": pa.array(list(map(str, ADS)), pa.string_view())}
    return pa.table(columns)


def as_lazy():
    return as_polars().lazy()


def as_duckdb():
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    rows = pa.table(plain())
    return duckdb.from_arrow(rows)


def as_rows():
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


@pytest.mark.parametrize(
    "make",
    [
        as_pandas, as_polars, as_lazy, as_duckdb, as_rows, lambda: COLUMNS,
        lambda: pa.table(plain()), lambda: pa.table(plain()).to_batches()[0],
        lambda: pa.table(plain()).to_reader(),
    ],
)  # fmt: skip
def test_a_table_of_any_library_is_judged(make):
    table = make()
    found = bandit.evaluate(table, ROLES, ["constant:8"], estimators=("snips",))
    values = found.to_arrow()["value"].to_pylist()
    assert values[1] == pytest.approx(EARNED, abs=1e-12)
    kind = type(table).__module__.partition(".")[0]
    expected = kind if kind in ("pandas", "polars") else "pyarrow"
    assert type(found.table).__module__.partition(".")[0] == expected


@pytest.mark.parametrize("make", [as_polars, as_categories, as_views])
def test_policies_that_learn_read_views_of_text_as_text(make):
    found = bandit.evaluate(make(), ROLES, ["thompson", "constant:8"], estimators=("snips",))
    expected = bandit.evaluate(
        pa.table(plain() | {"ad": list(map(str, ADS))}),
        ROLES,
        ["thompson", "constant:8"],
        estimators=("snips",),
    )
    assert found.to_arrow()["value"].to_pylist() == expected.to_arrow()["value"].to_pylist()


def test_a_path_is_judged_alike(tmp_path):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table(plain()), path)
    for given in (path, str(path), str(tmp_path / "*.parquet")):
        found = bandit.evaluate(given, ROLES, ["constant:8"], segments=("device",))
        row = found.to_arrow().filter(pa.compute.field("policy") == "constant:8").to_pylist()[0]
        assert row["estimator"] == "snips"
        assert row["value"] == pytest.approx(EARNED, abs=1e-12)
        assert row["low"] < row["value"] < row["high"]
        logged = float(np.mean(COLUMNS["clicked"]))
        assert row["difference"] == pytest.approx(EARNED - logged)
        assert row["lift"] == pytest.approx(EARNED / logged - 1)
        assert row["lift_low"] < row["lift"] < row["lift_high"]
        assert row["verdict"] == "ok"
        assert {part.label for part in found.report.policies[1].segments["device"]} == {
            "–", "phone",
        }  # fmt: skip


def test_the_result_is_a_table_a_text_and_a_piece_of_html():
    columns = COLUMNS | {"ad": ["<b>" if ad == 7 else "[red]x" for ad in ADS]}
    columns["clicked"] = [*columns["clicked"][:-1], None]
    found = bandit.evaluate(
        columns, ROLES, ["constant:<b>", "constant:[red]x"], on_bad_row="skip", estimators=("ips",)
    )
    assert pa.table(found).num_rows == 3
    assert "constant:[red]x: ok." in " ".join(repr(found).split())
    page = found._repr_html_()
    assert "constant:&lt;b&gt;" in page
    assert "constant:<b>" not in page
    assert "1 row was skipped: no_reward (the table, row 399: clicked is empty" in page
    assert found.verdicts["constant:<b>"].usable
    assert json.loads(found.report.to_json())["skipped"][0]["count"] == 1


def test_ids_of_several_kinds_become_names():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    ads = [7, "007"] * 50 + [pandas.NA, None, float("nan")]
    frame = pandas.DataFrame({"ad": ads, "clicked": [1, 0] * 50 + [1] * 3, "p": [0.5] * 103})
    roles = {name: column for name, column in ROLES.items() if name != "context.device"}
    found = bandit.evaluate(frame, roles, "constant:7", estimators="snips", on_bad_row="skip")
    assert found.to_arrow()["value"].to_pylist() == [0.5, 1.0]
    assert [(rows.reason, rows.count) for rows in found.report.skipped] == [("no_action", 3)]


def test_propensities_are_estimated_where_there_are_none():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    columns = {name: cells for name, cells in COLUMNS.items() if name != "p"}
    roles = {role: column for role, column in ROLES.items() if role != "propensity"}
    found = bandit.evaluate(columns, roles, propensities="estimate", estimators=("snips",))
    assert "not logged but estimated" in found.report.warnings[0]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (7, "a int is no table"),
        ({"ad": [1]}, "has no column clicked, p, device; its columns are: ad"),
        ({**COLUMNS, "p": [0.5]}, "the columns make no table"),
        ({**COLUMNS, "p": [2.0] * N}, r"the table, row 0: propensity is 2\.0"),
        ([], "has no column ad"),
    ],
)
def test_what_is_no_table_is_refused(table, words):
    with pytest.raises(ReaderError, match=words):
        bandit.evaluate(table, ROLES)


def test_one_policy_and_one_estimator_need_no_list():
    columns = COLUMNS | {"clicked": [5 * int(click) for click in COLUMNS["clicked"]]}
    found = bandit.evaluate(
        columns, ROLES, "constant:8", estimators="betting", reward_range=[0, 5], segments="device"
    )
    assert found.to_arrow()["value"].to_pylist()[1] == pytest.approx(5 * EARNED)
    assert set(found.report.policies[1].segments) == {"device"}


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="estimator"):
        bandit.evaluate(COLUMNS, ROLES, estimator="snips")
    with pytest.raises(BanditError):
        bandit.evaluate(COLUMNS, ROLES, ["nobody"])


def test_the_readme_s_example_runs(tmp_path, monkeypatch):
    pytest.importorskip("pandas", reason="pandas is not installed")
    text = section("Judge policies on a log").split("### Tables")[1]
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    rows = [f"{'007' if n % 2 else 'b'},{int(n % 3 == 0)},0.5" for n in range(400)]
    (tmp_path / "log.csv").write_text("\n".join(["ad,clicked,p", *rows]))
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(code, found)
    assert found["result"].verdicts["uniform"].code == "ok"
    assert list(found["result"].to_pandas()["policy"]) == ["logged", "uniform", "constant:007"]


WITHOUT = """
import sys

class NotInstalled:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("pandas", "polars", "duckdb"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
import bandit

early = "numpy" in sys.modules
log = {"a": ["x", "y"] * 9, "r": [0, 1] * 9, "p": [0.5] * 18}
bandit.evaluate(log, {"action": "a", "reward": "r", "propensity": "p"})
print([name for name in ("fastapi", "uvicorn") if name in sys.modules], early)
"""


def test_a_notebook_needs_neither_the_service_nor_other_table_libraries():
    run = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


LOG = {"ad": ["a", "b"] * 200, "clicked": [1, 0, 0, 0] * 100, "p": [0.5] * 400}
OF_LOG = {"action": "ad", "reward": "clicked", "propensity": "p"}


def test_a_policy_may_be_given_as_a_placement_has_it():
    spec = {"name": "thompson", "alpha": 1, "beta": 50}
    result = bandit.evaluate(LOG, OF_LOG, ["constant:a", spec], estimators="snips")
    words = bandit.evaluate(LOG, OF_LOG, "thompson:alpha=1,beta=50", estimators="snips")
    assert list(result.verdicts) == ["logged", "constant:a", "thompson:alpha=1,beta=50"]
    assert result.to_arrow()["value"].to_pylist()[2] == words.to_arrow()["value"].to_pylist()[1]
    alone = bandit.evaluate(LOG, OF_LOG, {"name": "uniform"}, estimators="snips")
    assert list(alone.verdicts) == ["logged", "uniform"]


@pytest.mark.parametrize("policy", [7, None, ["uniform"]])
def test_what_is_no_policy_is_refused(policy):
    with pytest.raises(PolicySpecError, match="expected words such as"):
        bandit.evaluate(LOG, OF_LOG, [policy])


def test_messages_name_options_as_python_has_them(tmp_path):
    empty = LOG | {"ad": ["", "b"] * 200}
    with pytest.raises(ReaderError, match='on_bad_row="skip" leaves out such rows') as raised:
        bandit.evaluate(empty, OF_LOG)
    assert "--" not in str(raised.value)
    with pytest.raises(ReaderError, match='propensities="estimate"'):
        bandit.evaluate(LOG, {"action": "ad", "reward": "clicked"})
    users = LOG | {"user": [f"u{n % 20}" for n in range(400)]}
    result = bandit.evaluate(users, OF_LOG | {"context.user": "user"}, estimators="snips")
    assert 'give unit="context.user"' in result.verdicts["uniform"].words
