"""The Open Bandit Dataset's layout, and policies as its pipeline publishes them."""

from functools import partial

import numpy as np
import pytest

from bandit.errors import ReaderError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.readers import open_reader

N, ITEMS, POSITIONS = 60, 4, 3
RNG = np.random.default_rng(11)
CHOSEN = RNG.integers(0, ITEMS, N)
POSITION = RNG.integers(0, POSITIONS, N)
CLICK = RNG.integers(0, 2, N)
ORDER = RNG.permutation(N)
"""The place of each row of the file in the order of time, in which obp's arrays are."""
DIST = RNG.dirichlet([2.0] * ITEMS, (N, POSITIONS)).transpose(0, 2, 1)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "random" / "all"
    folder.mkdir(parents=True)
    rows = [
        f"{n},2019-11-24 00:00:{ORDER[n]:02d}.5+00:00,{CHOSEN[n]},{POSITION[n] + 1},{CLICK[n]},"
        f"0.25,u{n % 3},{n % 2}.0"
        for n in range(N)
    ]
    header = (
        ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0"
    )
    (folder / "all.csv").write_text("\n".join([header, *rows]) + "\n")
    items = [f"{n},{n},{n / 2},kind{n % 2}" for n in range(ITEMS)]
    context = "\n".join([",item_id,item_feature_0,item_feature_1", *items])
    (folder / "item_context.csv").write_text(context + "\n")
    return folder


def of(folder, array):
    np.save(folder / "dist.npy", array)
    columns = {"target_pmf.new": str(folder / "dist.npy")}
    return partial(open_reader, "obd", folder, columns=columns)


@pytest.mark.parametrize("array", [DIST, DIST[:1], DIST[0], DIST[:, :, 0], DIST[:, :, :1]])
def test_a_policy_is_an_array_of_impressions_items_and_positions(folder, array):
    full = np.broadcast_to(
        array if array.ndim == 3 else array[None] if len(array) == ITEMS else array[:, :, None],
        (N, ITEMS, POSITIONS),
    )
    share = full[ORDER, CHOSEN, POSITION] / 0.25
    opened = of(folder, array)
    found = evaluate(opened, ["column:new"], Options(("ips", "snips", "dr", "mips")))
    new = {row.estimator: row.value for row in found.policies[1].estimates}
    assert set(new) == {"ips", "snips", "dr", "mips"}
    assert new["ips"] == pytest.approx((share * CLICK).mean(), abs=1e-12)
    assert new["snips"] == pytest.approx((share * CLICK).sum() / share.sum(), abs=1e-12)
    events = list(opened())
    assert events[5].pmfs["new"] == pytest.approx(full[ORDER[5], :, POSITION[5]], abs=1e-15)
    assert {event.decision.slot for event in events} == {0, 1, 2}


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (DIST[:, :2], r"of shape \(60, 2, 3\); expected \(impressions, 4 items, positions\)"),
        (DIST[:7], "has 7 rows; .* has 60 impressions"),
        (DIST * 2, "no pmf over items: it sums to 2"),
        (DIST[:, :, :2], "is of 2 positions; the log has 3"),
        (DIST.astype(str), "expected .* numbers"),
    ],
)
def test_another_array_is_refused(folder, array, words):
    with pytest.raises(ReaderError, match=words):
        list(of(folder, array)())


def test_another_file_or_role_is_refused(folder):
    for columns, words in (
        ({"target_pmf.new": str(folder / "all.csv")}, "cannot be read as an array of numpy"),
        ({"pmf": "x.npy"}, r"'pmf' does not exist; expected target_pmf\.NAME=FILE\.npy"),
    ):
        with pytest.raises(ReaderError, match=words):
            open_reader("obd", folder, columns=columns)


def test_bad_rows_are_counted(folder):
    text = (folder / "all.csv").read_text().splitlines()
    for row, cells in ((3, ["9", "1", "0", "0.25"]), (5, ["1", "1", "", "0.25"]),
                       (8, ["1", "0", "0", "0.25"]), (9, ["1", "1", "0", "0"])):  # fmt: skip
        parts = text[row + 1].split(",")
        text[row + 1] = ",".join([*parts[:2], *cells, *parts[6:]])
    (folder / "all.csv").write_text("\n".join(text))
    events = open_reader("obd", folder, on_bad_row="skip")
    assert len(list(events)) == N - 4
    assert {rows.reason: rows.count for rows in events.skipped} == {
        "no_item": 2, "no_reward": 1, "propensity_invalid": 1,
    }  # fmt: skip
    with pytest.raises(ReaderError, match=r"row 5: click is empty"):
        list(open_reader("obd", folder))
