import json

from typer.testing import CliRunner

from generator.commands.main import generator_app as app
from generator.data.dataset import read_dataset
from generator.errors import DatasetError
from streams.logs.opening import open_log
from tests.generator.data.made_log import made_log


def run(*words):
    return CliRunner().invoke(app, ["dataset", *map(str, words)])


def test_a_log_becomes_rows(tmp_path):
    log = open_log(f"sqlite:///{tmp_path / 'log.db'}")
    made_log(products=("coffee", "tea"), shown=2000, log=log)
    log.close()
    words = (tmp_path / "rows", "--data", tmp_path, "--held-out", 0.5)
    done = run(*words, "--format", "json")
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout)
    assert card["briefs"] == {"train": 1, "test": 1}
    dataset, _ = read_dataset(tmp_path / "rows")
    assert len(dataset.prefer) == card["rows"]["prefer/train"] + card["rows"]["prefer/test"]
    assert "prefer" in run(*words).stdout
    refused = run(*words, "--effective-n", 1e9)
    assert isinstance(refused.exception, DatasetError)


def test_no_log_is_made_by_looking(tmp_path):
    assert run(tmp_path / "rows", "--data", tmp_path).exit_code == 1
    assert not list(tmp_path.iterdir())
