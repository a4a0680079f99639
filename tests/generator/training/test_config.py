import pytest

from generator.errors import TrainingConfigError
from generator.training.config import AdapterConfig, FinetuneConfig, load_config
from tests.readme import ROOT


def test_a_file_says_only_what_differs(tmp_path):
    path = tmp_path / "finetune.yaml"
    path.write_text("method: sft\nsft: {epochs: 2, learning_rate: 0.0005}\n")
    config = load_config(path)
    assert (config.method, config.sft.epochs, config.sft.learning_rate) == ("sft", 2.0, 0.0005)
    assert config.dpo == FinetuneConfig().dpo


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("method: grow", r":1: method: Invalid enum value"),
        ("seed: 1\ndpo:\n  beta: 0", r":3: dpo.beta: Expected `float` > 0.0"),
        ("dpo: {strength: 2}", r":1: dpo.strength: there is no such field"),
        ("dpo: {learning_rate: 1e-4}", r":1: dpo.learning_rate: Expected `float`, got `str`"),
        ("- sft", r"Expected `object`, got `array`"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field(tmp_path, text, says):
    path = tmp_path / "finetune.yaml"
    path.write_text(text)
    with pytest.raises(TrainingConfigError, match=says):
        load_config(path)


def test_every_field_is_in_the_readme():
    text = (ROOT / "generator" / "README.md").read_text()
    table = text[text.index("## Fine-tune") :]
    config = FinetuneConfig()
    missing = [name for name in config.__struct_fields__ if f"`{name}" not in table]
    rewarded = (config.grpo, config.grpo.weights, config.reward)
    for part in (AdapterConfig(), config.sft, config.dpo, config.kto, *rewarded):
        missing += [name for name in part.__struct_fields__ if f"`{name}`" not in table]
    assert not missing
