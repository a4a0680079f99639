"""Versions on disk: named by their bytes, whole or not there, and judged on their own model."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from generator.commands.main import app, main
from generator.errors import VersionDamaged, VersionMisfit, VersionMissing
from generator.models.opening import weights_hash
from generator.versions.store import Adopted, Versions, check_origin, summary

MANIFEST = '{"config": {"method": "sft"}, "steps": [1, 2, 3], "metrics": {"sft/loss": 1.5}}'


@pytest.fixture
def trained(finished):
    folder = finished(MANIFEST, '{"r": 4}')
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
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


def version(folder, **manifest):
    return Adopted("v1", folder / "adapter", json.dumps(manifest).encode())


def test_the_same_name_is_the_same_model(tmp_path):
    check_origin(version(tmp_path, config={"model": "smollm2"}), "smollm2")


def test_the_same_weights_elsewhere_are_the_same_model(tmp_path, ground):
    shutil.copytree(ground.model, tmp_path / "copy")
    taught_from = tmp_path / "copy"
    own = weights_hash(taught_from)
    found = version(tmp_path, config={"model": ground.model}, base_sha256=own)
    check_origin(found, str(taught_from))
    (taught_from / "model.safetensors").write_bytes(b"others")
    with pytest.raises(VersionMisfit, match=f"say --model {ground.model}"):
        check_origin(found, str(taught_from))


@pytest.mark.parametrize("manifest", [{}, {"config": 3}, {"config": {"model": None}}])
def test_where_no_model_is_named_nobody_can_tell(tmp_path, manifest):
    check_origin(version(tmp_path, **manifest), "smollm2")


def test_a_server_that_serves_it_by_name_is_taken_at_its_word(tmp_path):
    check_origin(version(tmp_path, config={"model": "m"}), "http://localhost:8000/v1#m")
    with pytest.raises(VersionMisfit):
        check_origin(version(tmp_path, config={"model": "m"}), "http://localhost:8000/v1#n")


def test_adopt_refuses_it_by_its_code(finished, tmp_path, monkeypatch, capsys):
    run = finished('{"config": {"model": "org/large"}}')
    words = ["generator", "adopt", str(run), "--model", "smollm2", "--data", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["copyloop", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "version_of_another_model: version " in (said := capsys.readouterr().err)
    assert "'org/large'" in said
    listed = CliRunner().invoke(app, ["generator", "list", "--data", str(tmp_path)])
    assert "rejected" not in listed.output
