"""What tests of versions share: a model small enough to train, and finished trainings."""

import pytest

from tests.generator.training.conftest import ground

__all__ = ["ground"]


@pytest.fixture
def finished(tmp_path):
    """Returns what writes the folder of a finished training."""

    def write(manifest="{}", shape="{}", name="out"):
        folder = tmp_path / name
        (folder / "adapter").mkdir(parents=True)
        (folder / "adapter" / "adapter_config.json").write_text(shape)
        (folder / "manifest.json").write_text(manifest)
        return folder

    return write
