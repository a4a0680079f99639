import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit.errors import ReaderError
from bandit.ope.readers import open_reader
from bandit.ope.readers.events import spread

OBD = Path(__file__).parents[5].parent / "shared" / "data" / "obd"
COLUMNS = {"reward": "clicked", "propensity": "p", "action": "ad", "context.age": "years"}
ROWS = {
    "clicked": [0, 1, 0],
    "p": [0.5, 0.25, 0.5],
    "ad": ["b", "a", "b"],
    "years": [30, 41, 22],
    "new": [0.1, 0.8, 0.1],
}


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    path = tmp_path / f"log.{request.param}"
    if request.param == "parquet":
        pq.write_table(pa.table(ROWS), path)
    else:
        rows = zip(*ROWS.values(), strict=True)
        lines = [",".join(ROWS), *(",".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines))
    return path


def read(path, columns):
    return list(open_reader("table", path, columns=columns))


def test_a_table_is_read_by_its_roles(table):
    first, second, _ = read(table, COLUMNS | {"target.rival": "new"})
    assert [action.id for action in first.decision.actions] == ["a", "b"]
    assert first.decision.action.id == "b"
    assert second.decision.action.id == "a"
    assert second.decision.pmf == (0.25, 0.75)
    assert (first.reward, second.reward) == (0.0, 1.0)
    assert not first.whole
    assert json.loads(bytes(second.decision.context)) == {"age": 41}
    assert dict(second.targets) == {"rival": 0.8}
    assert [event.decision.event_id for event in (first, second)] == ["0", "1"]


def test_without_actions_propensities_are_kept(table):
    found = read(table, {"reward": "clicked", "propensity": "p"})
    assert [event.decision.propensity for event in found] == [0.5, 0.25, 0.5]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"propensity": "p"}, "no column is named for reward"),
        ({"reward": "clicked", "propensity": "p", "price": "p"}, "role 'price' does not exist"),
        ({"reward": "nowhere", "propensity": "p"}, "nowhere"),
        ({"reward": "clicked", "propensity": "years"}, r"row 0: propensity is 30\.0"),
        ({"reward": "ad", "propensity": "p"}, "row 0: reward is 'b'; expected a number"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(table, columns, words):
    with pytest.raises(ReaderError, match=words):
        read(table, columns)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("archive", "dsjson", "obd", "table"):
        with pytest.raises(ReaderError, match="does not exist"):
            open_reader(name, tmp_path / "nowhere")


def test_an_unknown_reader_is_refused(tmp_path):
    with pytest.raises(ReaderError, match="'xml'; expected one of: archive"):
        open_reader("xml", tmp_path)


def test_a_spread_pmf_sums_to_one():
    assert spread(1.0, 0, 1) == (1.0,)
    assert sum(spread(0.3, 2, 7)) == pytest.approx(1.0)
    assert spread(0.3, 2, 7)[2] == 0.3


@pytest.mark.skipif(not OBD.is_dir(), reason=f"no {OBD} here")
@pytest.mark.parametrize(("policy", "whole"), [("random", True), ("bts", False)])
def test_the_open_bandit_dataset_is_read(policy, whole):
    found = list(open_reader("obd", OBD / policy / "all"))
    assert len(found) == 10_000
    assert {len(event.decision.actions) for event in found} == {80}
    assert {event.decision.slot for event in found} == {0, 1, 2}
    assert all(event.whole == whole for event in found)
    clicks = sum(event.reward for event in found)
    assert clicks == {"random": 38, "bts": 42}[policy]
    weights = np.array([1 / 80 / event.decision.propensity for event in found])
    assert weights.mean() == pytest.approx(1.0, abs=0.15)
