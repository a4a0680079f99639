"""Versions on disk: named by their bytes, whole or not there, and checked when loaded."""

import shutil
from pathlib import Path

import pytest

from generator.errors import VersionDamaged, VersionMissing
from generator.versions.store import Versions, summary

MANIFEST = b'{"config": {"method": "sft"}, "steps": [1, 2, 3], "metrics": {"sft/loss": 1.5}}'


@pytest.fixture
def trained(tmp_path):
    folder = tmp_path / "out"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "manifest.json").write_bytes(MANIFEST)
    return folder


def test_a_training_is_one_version_however_often_it_is_adopted(trained, tmp_path):
    versions = Versions(tmp_path / "versions")
    adopted = versions.adopt(trained)
    assert versions.adopt(trained) == Versions(tmp_path / "versions").adopt(trained) == adopted
    assert [path.name for path in (tmp_path / "versions").iterdir()] == [adopted.id]
    assert len(adopted.id) == 16
    shutil.rmtree(trained)
    assert (adopted.adapter / "adapter_model.safetensors").read_bytes() == b"weights"
    assert bytes(summary(adopted.manifest)) == (
        b'{"config":{"method": "sft"},"metrics":{"sft/loss": 1.5}}'
    )


@pytest.mark.parametrize("changed", ["manifest.json", "adapter/adapter_model.safetensors"])
def test_other_bytes_are_another_version(trained, tmp_path, changed):
    versions = Versions(tmp_path / "versions")
    first = versions.adopt(trained)
    (trained / changed).write_bytes(b'{"config":{}}')
    assert versions.adopt(trained).id != first.id


def test_what_was_changed_on_disk_is_not_loaded(trained, tmp_path):
    adopted = Versions(tmp_path / "versions").adopt(trained)
    (adopted.adapter / "adapter_model.safetensors").write_bytes(b"others")
    with pytest.raises(VersionDamaged, match="damaged or changed; restore it"):
        Versions(tmp_path / "versions").version(adopted.id)


def test_one_that_is_elsewhere_is_asked_for_by_name(tmp_path):
    with pytest.raises(VersionMissing, match="no version 'abc'; copy its folder"):
        Versions(tmp_path).version("abc")


@pytest.mark.parametrize("lost", ["manifest.json", "adapter/adapter_config.json"])
def test_a_training_that_did_not_finish_is_no_version(trained, tmp_path, lost):
    Path(trained / lost).unlink()
    with pytest.raises(VersionMissing, match="finetune"):
        Versions(tmp_path / "versions").adopt(trained)
    assert not (tmp_path / "versions").exists()
