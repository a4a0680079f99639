"""A transformer as reward model: what it learns, how it is judged, and who asks it."""

import msgspec
import pytest

from generator.data.dataset import Dataset, read_dataset, write_dataset
from generator.errors import (
    BackendError,
    DatasetError,
    RewardModelError,
    TrainingConfigError,
    VersionMissing,
)
from generator.models.base import Sampling
from generator.models.opening import ADAPTER, read_manifest
from generator.models.transformers import TransformersBackend
from generator.reward.ranking import open_reward_model, open_trusted, ranked_by
from generator.training.config import AdapterConfig, GrpoConfig, Manifest, RewardConfig
from generator.training.finetune import finetune
from generator.versions.gate import GateConfig, rows
from generator.versions.store import Versions
from generator.writing.texts import Samples
from tests.generator.training.conftest import BAD, GOOD, Ground, made_dataset, quick, resumed

THINGS = (
    *("tea", "coffee", "boots", "maps", "lamps", "chairs", "desks", "pens", "cups", "hats"),
    *("shirts", "rugs", "bikes", "tents", "soap", "jam", "bread", "cheese", "socks", "keys"),
)
GOODS = [text.format("honey") for text in GOOD]
BADS = [text.format("honey", "honey") for text in BAD]


@pytest.fixture(scope="module")
def pairs(ground, tmp_path_factory):
    """Returns the tiny model with rows in which every second product is held out."""
    folder = tmp_path_factory.mktemp("pairs") / "rows"
    made_dataset(folder, products=THINGS, held_out=10)
    return Ground(ground.model, folder)


def told_to(ground, **changes):
    settings = RewardConfig(**({"epochs": 12.0, "learning_rate": 0.01} | changes))
    shape = AdapterConfig(rank=4, targets=("all-linear",))
    return quick(ground, method="reward", batch=10, adapter=shape, reward=settings)


@pytest.fixture(scope="module")
def scorer(pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("scorer") / "run"
    return out, finetune(pairs.dataset, out, told_to(pairs))


def test_it_picks_the_better_of_two_that_it_never_saw(scorer, tmp_path):
    out, manifest = scorer
    assert read_manifest(out / "manifest.json", Manifest) == manifest
    assert manifest.rows == {"prefer/train": 30, "prefer/test": 30}
    assert manifest.dtype == "float32"
    model = open_trusted(out, tmp_path)
    assert model.accuracy.n_pairs == 30, manifest.metrics
    assert model.accuracy.value > 0.8
    assert model.accuracy.interval.low > 0.5
    good, bad = (model.score(texts).value for texts in (GOODS, BADS))
    assert good.mean() > bad.mean()
    chances = model.chances([*GOODS, *BADS])
    assert ((chances > 0) & (chances < 1)).all()
    assert model.score([]).value.shape == (0,)


def test_it_writes_nothing(scorer, pairs):
    backend = TransformersBackend(pairs.model, name="tiny")
    with pytest.raises(BackendError, match="it scores texts and writes none"):
        backend.complete(["tea for"], Sampling("\n", 4), seed=1, adapter=str(scorer[0] / ADAPTER))


def test_its_scores_are_the_same_side_by_side_and_alone(scorer, tmp_path):
    model = open_reward_model(scorer[0], tmp_path)
    texts = ["Warm tea", "A much longer text than the other one"]
    together = model.score(texts).value.tolist()
    assert together == pytest.approx([model.score([text]).value[0] for text in texts], abs=1e-4)


def test_it_is_asked_wherever_a_reward_model_is(scorer, tmp_path):
    out, _ = scorer
    order = ranked_by(open_trusted(out))([BADS[1], GOODS[0], BADS[2]])
    assert order[0] == 1
    passes = [[None] * 3]
    ours, theirs = Samples([GOODS], passes, 0), Samples([BADS], passes, 0)
    model = open_reward_model(out, tmp_path)
    table = {row.rule: row for row in rows(ours, theirs, 0.1, GateConfig(), model)}
    assert table["reward_gain"].passed
    assert "logits of being the better one more than" in table["reward_gain"].why
    table = {row.rule: row for row in rows(theirs, ours, 0.1, GateConfig(), model)}
    assert not table["reward_gain"].passed


def test_grpo_learns_from_it(pairs, scorer, tmp_path):
    settings = GrpoConfig(reward=str(scorer[0]), epochs=1.0, group=4, new_tokens=8)
    made = finetune(pairs.dataset, tmp_path / "run", quick(pairs, method="grpo", grpo=settings))
    assert made.reward_sha256 is not None


def test_it_goes_on_where_it_was_stopped(pairs, scorer, tmp_path):
    _, whole = scorer
    again = resumed(pairs, tmp_path / "run", whole.config, after=17)
    assert again.adapter_sha256 == whole.adapter_sha256
    assert again.metrics == whole.metrics


def test_one_that_learned_nothing_has_no_say(pairs, tmp_path):
    dataset, card = read_dataset(pairs.dataset)
    turned = [
        pair._replace(better=pair.worse, worse=pair.better) if pair.split == "test" else pair
        for pair in dataset.prefer
    ]
    changed = dataset._replace(prefer=turned)
    write_dataset(changed, tmp_path / "rows", log=card.log, thresholds=card.thresholds)
    finetune(tmp_path / "rows", tmp_path / "run", told_to(pairs))
    assert not open_reward_model(tmp_path / "run", tmp_path).accuracy.trusted
    with pytest.raises(RewardModelError, match="must surely be above one half"):
        open_trusted(tmp_path / "run", tmp_path)


def test_refused_texts_teach_it_nothing(pairs, tmp_path):
    dataset, card = read_dataset(pairs.dataset)
    refused = [pair._replace(refused=True) for pair in dataset.prefer]
    rows_of = Dataset(dataset.imitate, refused, [], {})
    write_dataset(rows_of, tmp_path / "rows", log=card.log, thresholds=card.thresholds)
    with pytest.raises(DatasetError, match="0 pairs to train on and 0 held out to judge by"):
        finetune(tmp_path / "rows", tmp_path / "run", told_to(pairs))


def test_it_is_no_version_and_no_parent_and_of_one_kind(pairs, scorer, tmp_path):
    out, _ = scorer
    with pytest.raises(VersionMissing, match="is a reward model, which writes nothing"):
        Versions(tmp_path / "versions").adopt(out)
    config = told_to(pairs)
    for changes, says in (
        ({"parent": str(out), "adapter": None}, "no beginning of one that scores"),
        ({"adapter": AdapterConfig(kind="prefix")}, "expected lora"),
    ):
        with pytest.raises(TrainingConfigError, match=says):
            finetune(pairs.dataset, tmp_path / "run", msgspec.structs.replace(config, **changes))


def test_a_run_of_another_method_is_no_reward_model(ground, tmp_path):
    finetune(ground.dataset, tmp_path / "sft", quick(ground, method="sft"))
    with pytest.raises(RewardModelError, match="was made by sft; expected a run of"):
        open_reward_model(tmp_path / "sft", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RewardModelError, match="no reward model in"):
        open_reward_model(tmp_path / "empty", tmp_path)
