"""Spark's figures are those of one machine: on tables by column, and on archives by decision."""

import math

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit.errors import BanditError, EstimateError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.readers import open_reader
from bandit.ope.spark.evaluation import evaluate_on_spark
from bandit.ope.spark.workers import open_session
from bandit.ope.tables import evaluate_table
from streams.events import Action
from tests.bandit import histories
from tests.bandit.decisions import a_decision

N = 3000
NEAR = 1e-9
ROLES = {
    "reward": "clicked",
    "propensity": "p",
    "action": "ad",
    "timestamp_ms": "at",
    "context.device": "device",
    "context.user_id": "user",
    "target.new": "p_new",
}


@pytest.fixture(scope="module")
def spark():
    pytest.importorskip(
        "pyspark", reason="pyspark has 500 MB: `make spark` installs it, and runs these tests"
    )
    # Partitions of a file each, and of parts of the larger ones.
    settings = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "3",
        "spark.sql.files.maxPartitionBytes": "40000",
        "spark.sql.files.openCostInBytes": "0",
    }
    session = open_session(settings)
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of Parquet files as Spark writes them, in partitions by day."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("log")
    for number, n in enumerate((N // 2, N // 3, N // 6, 0)):
        ad = rng.integers(0, 3, n)
        p = np.array([0.5, 0.3, 0.2])[ad]
        table = {
            "clicked": (rng.random(n) < 0.1 + 0.1 * ad).astype(float),
            "p": p,
            "ad": np.array(["a", "b", "c"])[ad],
            "at": 1_790_000_000_000 + number * 86_400_000 + np.arange(n) * 1000,
            "device": np.array(["phone", "desk"])[rng.integers(0, 2, n)],
            "user": [f"u{u}" for u in rng.integers(0, 900, n)],
            "p_new": np.array([0.1, 0.2, 0.7])[ad],
            "id": [f"e{row}" for row in rng.integers(0, 10**6, n)],
        }
        day = folder / f"day={number}"
        day.mkdir()
        pq.write_table(pa.table(table), day / "part-0.parquet", row_group_size=400)
    (folder / "_SUCCESS").touch()
    return folder


def figures(evaluation):
    """All numbers of an evaluation, by where they stand; the reward model's calibration is not."""
    told = msgspec.to_builtins(evaluation._replace(calibration=None, source=""))
    found = {}

    def walk(value, path):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, (*path, key))
        elif isinstance(value, list | tuple):
            for key, inner in enumerate(value):
                walk(inner, (*path, key))
        else:
            found[path] = value

    walk(told, ())
    return found


def assert_equal(found, expected):
    found, expected = figures(found), figures(expected)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        if isinstance(value, float) and value is not None:
            assert math.isclose(found[path], value, rel_tol=NEAR, abs_tol=NEAR), path
        else:
            assert found[path] == value, path


@pytest.mark.parametrize(
    ("policies", "options", "more"),
    [
        (["column:new", "uniform"], Options(estimators=("snips", "betting")), {}),
        (
            ["column:new", "constant:c"],
            Options(estimators=("ips", "clipped_ips", "bernstein"), segments=("device",)),
            {},
        ),
        (["column:new"], Options(estimators=("snips", "betting"), unit="context.user_id"), {}),
        (["column:new"], Options(estimators=("snips",)), {"event_id": "id"}),
        (["uniform", "constant:b"], Options(estimators=("dr", "dm", "snips", "betting")), {}),
        (
            ["uniform"],
            Options(estimators=("dr", "replay"), segments=("device",)),
            {"event_id": "id"},
        ),
    ],
    ids=["columns", "segments", "units", "repeated ids", "a model", "decisions"],
)
def test_a_table_is_judged_as_by_one_machine(spark, folder, policies, options, more):
    roles = ROLES | more
    expected = evaluate_table(folder, roles, policies, options)
    given = {"reader": "table", "columns": roles, "session": spark}
    for path in (str(folder), folder.as_uri()):
        found = evaluate_on_spark(path, policies, options, **given)
        assert_equal(found, expected)


def test_rows_without_ids_and_times_are_numbered_as_by_one_machine(spark, folder):
    roles = {role: ROLES[role] for role in ("reward", "propensity", "action")}
    options = Options(estimators=("dr",))
    expected = evaluate_table(folder, roles, ["uniform"], options)
    given = {"reader": "table", "columns": roles, "session": spark}
    assert_equal(evaluate_on_spark(str(folder), ["uniform"], options, **given), expected)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    rng, made = np.random.default_rng(8), []
    actions = (Action("a"), Action("b"), Action("c"))
    for number in range(600):
        index = int(rng.integers(0, 3))
        pmf = (0.5, 0.3, 0.2)
        decision = a_decision(f"e{number}", actions, pmf, index, at_ms=number, placement="home")
        made.append(histories.interaction(decision, len(made), 0.0, status="provisional"))
        if rng.random() < 0.2 + 0.2 * index:
            told = {"status": "corrected", "previous": 0.0}
            made.append(histories.interaction(decision, len(made), 1.0, **told))
    return histories.archived(tmp_path_factory.mktemp("log") / "archive", made)


@pytest.mark.parametrize("estimators", [("snips", "dr", "betting"), ("ips",)])
def test_an_archive_is_judged_as_by_one_machine(spark, archive, tmp_path, estimators):
    options = Options(estimators=estimators, segments=("slot",))

    def opened():
        return open_reader("archive", archive)

    policies = ["uniform", "constant:c"]
    expected = evaluate(opened, policies, options)
    assert_equal(evaluate_on_spark(str(archive), policies, options, session=spark), expected)


def test_a_bad_row_is_named_or_counted_as_by_one_machine(spark, tmp_path):
    rows = {"clicked": [1.0, 0.0, 1.0], "p": [0.5, 2.0, 0.5], "ad": ["a", "b", "a"]}
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table(rows), path)
    roles = {"reward": "clicked", "propensity": "p", "action": "ad"}
    given = {"reader": "table", "columns": roles, "session": spark}
    options = Options(estimators=("snips",))
    with pytest.raises(BanditError, match=r"log\.parquet, row 1: propensity is 2\.0") as raised:
        evaluate_on_spark(str(path), ["uniform"], options, **given)
    with pytest.raises(BanditError) as expected:
        evaluate_table(path, roles, ["uniform"], options)
    assert raised.value.code == expected.value.code
    found = evaluate_on_spark(str(path), ["uniform"], options, on_bad_row="skip", **given)
    assert [(each.reason, each.count) for each in found.skipped] == [("propensity_invalid", 1)]
    assert found.n == 2


@pytest.mark.parametrize(
    ("policy", "options", "words"),
    [
        ("thompson", Options(), "learns from decision to decision"),
        ("explore:thompson", Options(), "learns from decision to decision"),
        ("uniform", Options(estimators=("mips",)), "'mips'"),
        ("uniform", Options(model="logistic"), "ridge alone adds up"),
        ("uniform", Options(train=5), "no order"),
    ],
)
def test_what_one_machine_alone_can_do_is_refused(policy, options, words):
    with pytest.raises(EstimateError, match=words):
        evaluate_on_spark("s3a://bucket/log", [policy], options)


def test_without_spark_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyspark", None)
    with pytest.raises(EstimateError, match=r"pip install 'copyloop\[spark\]'"):
        evaluate_on_spark("s3a://bucket/log", ["uniform"], Options())
