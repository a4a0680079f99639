"""Tables that say what a row could choose from have what needs a whole pmf."""

import json
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from bandit.errors import ReaderError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.evaluate_columns import evaluate_columns
from bandit.ope.readers import open_reader
from bandit.ope.readers.rows import RowCounts
from bandit.ope.readers.tables.table import open_columns, read_table

IDS = ["blue", "green", "red"]
ROLES = {"action": "ad", "reward": "r"}
N = 120


def log(seed=3):
    """Returns a log whose pmf changes from row to row, and another policy's pmf."""
    rng = np.random.default_rng(seed)
    pmf = rng.dirichlet([4, 4, 4], N)
    target = rng.dirichlet([4, 4, 4], N)
    chosen = np.array([rng.choice(3, p=p) for p in pmf])
    reward = (rng.random(N) < np.array([0.2, 0.5, 0.8])[chosen]).astype(float)
    return pmf, target, chosen, reward


PMF, TARGET, CHOSEN, REWARD = log()
SHARE = TARGET[np.arange(N), CHOSEN] / PMF[np.arange(N), CHOSEN]
BASE = {"ad": [IDS[n] for n in CHOSEN], "r": REWARD}


def objects(matrix):
    return [dict(zip(IDS, map(float, row), strict=True)) for row in matrix]


FORMS = {
    "a column an action": (
        {f"p_{name}": PMF[:, n] for n, name in enumerate(IDS)}
        | {f"q_{name}": TARGET[:, n] for n, name in enumerate(IDS)},
        {"pmf.*": "p_*", "target_pmf.new.*": "q_*"},
    ),
    "lists in the order of the actions": (
        {"ids": [IDS] * N, "p": PMF.tolist(), "q": TARGET.tolist()},
        {"actions": "ids", "pmf": "p", "target_pmf.new": "q"},
    ),
    "objects": (
        {"p": objects(PMF), "q": objects(TARGET)},
        {"pmf": "p", "target_pmf.new": "q"},
    ),
    "maps": (
        {"p": pa.array([list(o.items()) for o in objects(PMF)], pa.map_(pa.string(), pa.float64())),
         "q": objects(TARGET)},
        {"pmf": "p", "target_pmf.new": "q"},
    ),
    "JSON": (
        {"ids": [json.dumps([{"id": name, "hue": 1} for name in IDS])] * N,
         "p": [json.dumps(row.tolist()) for row in PMF],
         "q": [json.dumps(o) for o in objects(TARGET)]},
        {"actions": "ids", "pmf": "p", "target_pmf.new": "q"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_whole_pmfs_are_read_in_every_form(form):
    more, roles = FORMS[form]
    table, roles = pa.table(BASE | more), ROLES | roles
    assert open_columns(table, roles) is None
    events = list(read_table(table, roles))
    for row in (0, 17, N - 1):
        decision = events[row].decision
        assert [action.id for action in decision.actions] == IDS
        assert decision.pmf == pytest.approx(PMF[row], abs=1e-15)
        assert events[row].pmfs["new"] == pytest.approx(TARGET[row], abs=1e-15)
        assert events[row].whole
    names = ("ips", "snips", "dr", "mips", "replay")
    found = evaluate(lambda: read_table(table, roles), ["column:new"], Options(names))
    of_new = {row.estimator: row.value for row in found.policies[1].estimates}
    assert of_new["ips"] == pytest.approx((SHARE * REWARD).mean(), abs=1e-12)
    assert of_new["snips"] == pytest.approx((SHARE * REWARD).sum() / SHARE.sum(), abs=1e-12)
    assert set(of_new) == {"ips", "snips", "dr", "mips"}
    assert found.policies[1].diagnostics.unsupported == pytest.approx(0.0, abs=1e-9)


def test_the_propensity_s_own_column_counts_where_there_is_one():
    more, roles = FORMS["objects"]
    rounded = np.round(PMF[np.arange(N), CHOSEN], 3)
    table = pa.table(BASE | more | {"mine": rounded})
    events = list(read_table(table, ROLES | roles | {"propensity": "mine"}))
    assert [event.decision.propensity for event in events] == rounded.tolist()
    table = pa.table(BASE | more | {"mine": rounded / 2})
    with pytest.raises(ReaderError, match=r"row 0: the pmf gives the chosen action .*propensity"):
        list(read_table(table, ROLES | roles | {"propensity": "mine"}))


def test_a_lone_action_is_the_same_to_both_ways_of_reading():
    table = pa.table({"ad": ["a"] * 200, "r": [1, 0] * 100, "p": [0.25, 0.5] * 100})
    roles = ROLES | {"propensity": "p"}
    options = Options(("ips",))
    for found in (
        evaluate_columns(open_columns(table, roles), ["constant:a", "uniform"], options),
        evaluate(partial(read_table, table, roles), ["constant:a", "uniform"], options),
    ):
        assert found.policies[1].diagnostics.mean_weight == pytest.approx(3.0)
        # Σ w r / n is 2, and no mean of rewards from 0 to 1 is above 1
        assert found.policies[1].estimates[0].value == 1.0
        assert found.policies[2].diagnostics.verdict.code == "actions_unknown"
    told = pa.table(table.to_pydict() | {"ids": [["a"]] * 200})
    with pytest.raises(ReaderError, match=r"row 0: the pmf gives the chosen action 1\.0"):
        list(read_table(told, roles | {"actions": "ids"}))


def test_lists_without_ids_are_of_the_actions_0_1_2():
    table = pa.table({"ad": CHOSEN, "r": REWARD, "p": PMF.tolist()})
    events = list(read_table(table, ROLES | {"pmf": "p"}))
    assert [event.decision.propensity for event in events[:9]] == [
        PMF[row, CHOSEN[row]] for row in range(9)
    ]
    with pytest.raises(
        ReaderError, match=r"row 0: action is 'green', which is not among .*: 0, 1, 2"
    ):
        list(read_table(pa.table(BASE | {"p": PMF.tolist()}), ROLES | {"pmf": "p"}))


def available_log():
    """Returns a log that chose evenly among what there was: all but one, which differs."""
    rng = np.random.default_rng(8)
    gone = rng.integers(0, 3, N)
    flags = np.arange(3) != gone[:, None]
    chosen = np.array([rng.choice(np.flatnonzero(row)) for row in flags])
    table = {"ad": [IDS[n] for n in chosen], "r": rng.random(N) < 0.4, "p": [0.5] * N}
    return table, flags, chosen


@pytest.mark.parametrize("as_lists", [True, False])
def test_what_could_be_chosen_may_differ_from_row_to_row(as_lists):
    table, flags, chosen = available_log()
    more = {f"has_{name}": flags[:, n] for n, name in enumerate(IDS)}
    roles = ROLES | {"propensity": "p", "available.*": "has_*"}
    if as_lists:
        more = {"ids": [[IDS[n] for n in np.flatnonzero(row)] for row in flags]}
        roles = ROLES | {"propensity": "p", "actions": "ids"}
    opened = partial(read_table, pa.table(table | more), roles)
    found = evaluate(opened, ["uniform", "constant:red"], Options(("ips", "replay")))
    _, uniform, red = found.policies
    assert uniform.diagnostics.mean_weight == pytest.approx(1.0)
    earned = (chosen == 2) * 2.0 * np.array(table["r"])
    assert red.estimates[0].value == pytest.approx(earned.mean(), abs=1e-12)
    assert [row.estimator for row in uniform.estimates] == ["ips", "replay"]
    # without the columns the weights are off for want of the actions, not for the propensities
    plain = ROLES | {"propensity": "p"}
    of_all = evaluate(partial(read_table, pa.table(table), plain), ["uniform"], Options(("ips",)))
    verdict = of_all.policies[1].diagnostics.verdict
    assert (verdict.code, verdict.usable) == ("actions_unknown", False)
    assert "names 3, and the propensities are those of 2" in verdict.words


def test_features_of_actions_are_read(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("ad,r,p,price,style\n007,1,.5,3,bold\n8,0,.5,4.5,thin\n007,0,.5,3,bold\n")
    roles = ROLES | {"propensity": "p", "action.price": "price", "action.style": "style"}
    first = next(iter(open_reader("table", path, columns=roles)))
    assert [json.loads(bytes(action.features)) for action in first.decision.actions] == [
        {"price": 3.0, "style": "bold"}, {"price": 4.5, "style": "thin"},
    ]  # fmt: skip
    path.write_text("ad,r,p,price,style\na,1,.5,3,bold\na,0,.5,4,bold\n")
    with pytest.raises(ReaderError, match="row 1: price of action 'a' is '4', but '3' in a row"):
        list(open_reader("table", path, columns=roles))


def test_a_log_that_chose_evenly_has_its_whole_pmf(tmp_path):
    rng = np.random.default_rng(4)
    chosen = rng.integers(0, 3, 300)
    reward = (rng.random(300) < np.array([0.1, 0.3, 0.5])[chosen]).astype(int)
    path = tmp_path / "log.csv"
    for text, even in (("0.3333", True), (".333333", True), ("0.33333334", True), ("0.35", False)):
        rows = [f"{IDS[a]},{r},{text}" for a, r in zip(chosen, reward, strict=True)]
        path.write_text("\n".join(["ad,r,p", *rows]))
        opened = partial(open_reader, "table", path, columns=ROLES | {"propensity": "p"})
        assert open_columns(path, ROLES | {"propensity": "p"}).uniform == even
        found = evaluate(opened, ["constant:red", "uniform"], Options(("replay",)))
        red, uniform = found.policies[1], found.policies[2]
        if not even:
            assert red.skipped["replay"].startswith("the log was not made by choosing uniformly")
            continue
        (row,) = red.estimates
        assert row.value == pytest.approx(reward[chosen == 2].mean(), abs=1e-12)
        assert uniform.diagnostics.verdict.code == "ok"
        assert uniform.diagnostics.unsupported == 0.0


BAD = [
    ({"ids": [["blue", "red"], ["green"]]}, {"actions": "ids"}, "action_not_available"),
    ({"ids": [["blue", "red"], None]}, {"actions": "ids"}, "actions_invalid"),
    ({"ids": [["blue"], ["red", "red"]]}, {"actions": "ids"}, "actions_invalid"),
    ({"ids": [["blue"], ["red", ""]]}, {"actions": "ids"}, "actions_invalid"),
    ({"q": [{"blue": 1.0}, {"red": 0.5}]}, {"pmf": "q"}, "pmf_invalid"),
    ({"q": [{"blue": 1.0}, {"red": -0.5, "blue": 1.5}]}, {"pmf": "q"}, "pmf_invalid"),
    ({"q": ['{"blue": 1}', '{"red": "x"}']}, {"pmf": "q"}, "pmf_invalid"),
    ({"q": ['{"blue": 1}', "red"]}, {"pmf": "q"}, "pmf_invalid"),
    ({"b": ["true", "false"], "d": ["", "maybe"]},
     {"available.blue": "b", "available.red": "d"}, "available_invalid"),
    ({"q": [{"blue": 1.0}, {"green": 1.0}]}, {"target_pmf.new": "q"}, "pmf_invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "roles", "reason"), BAD)
def test_a_row_whose_choice_cannot_be_read_is_counted(more, roles, reason):
    p = [1.0, 0.5] if reason != "pmf_invalid" else [1.0, 1.0]
    table = pa.table({"ad": ["blue", "red"], "r": [1, 0], "p": p} | more)
    roles = ROLES | {"propensity": "p"} | roles
    if "target_pmf.new" in roles:
        more["q"][1] = {"green": 0.5}
        table = table.set_column(3, "q", pa.array(more["q"]))
    counts = RowCounts("skip")
    assert len(list(read_table(table, roles, counts=counts))) == 1
    assert [(rows.reason, rows.count) for rows in counts.get()] == [(reason, 1)]
    with pytest.raises(ReaderError, match="the table, row 1: "):
        list(read_table(table, roles))


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"pmf.*": "x_*"}, r"no column of the table fits pmf\.\*=x_\*"),
        ({"pmf": "ad", "pmf.red": "ad"}, "pmf: give one column of lists, or one an action"),
        ({"target_pmf.new": "ad", "target_pmf.new.red": "ad"}, "one column, or one an action"),
        ({"pmf": "r"}, "r is of type double; expected lists, objects or JSON"),
        ({"available.": "r"}, "column role 'available.' does not exist"),
    ],
)
def test_roles_that_cannot_be_are_refused(roles, words):
    with pytest.raises(ReaderError, match=words):
        list(read_table(pa.table(BASE | {"p": [0.5] * N}), ROLES | {"propensity": "p"} | roles))
    with pytest.raises(ReaderError, match="none which was chosen"):
        list(read_table(pa.table(BASE), {"reward": "r", "pmf.red": "r"}))
