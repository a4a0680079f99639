"""The YAML that generator/README.md shows is what the generator reads."""

import re

import pytest

from generator.brief.schema import load_brief
from generator.models.catalog import load_models
from generator.screening.settings import load_thresholds
from tests.readme import ROOT

README = (ROOT / "generator" / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("start", ["text:", "images:"])
def test_the_files_of_models_can_be_read(tmp_path, start):
    [block] = [block for block in BLOCKS if block.startswith(start)]
    path = tmp_path / "models.yaml"
    path.write_text(block)
    assert load_models(str(path)).text


def test_the_segment_can_be_read(tmp_path):
    [block] = [block for block in BLOCKS if block.startswith("segments:")]
    path = tmp_path / "brief.yaml"
    path.write_text(f"version: 2\nproduct: tea\n{block}")
    [segment] = load_brief(path).segments
    assert segment.context == {"device": "mobile", "visit.hour": 8}


def test_the_changes_of_thresholds_can_be_read(tmp_path):
    [block] = [block for block in BLOCKS if block.startswith("likeness:")]
    path = tmp_path / "gates.yaml"
    path.write_text(block)
    assert "multilingual" in load_thresholds(path).likeness.model
