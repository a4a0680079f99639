"""A version is judged on the model that it was taught from, by name or by weights."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from generator.cli import app, main
from generator.errors import VersionMisfit
from generator.files import files_hash
from generator.models.opening import WEIGHT_FILES
from generator.versions.store import Adopted, check_origin


def version(folder, **manifest):
    return Adopted("v1", folder / "adapter", json.dumps(manifest).encode())


def test_the_same_name_is_the_same_model(tmp_path):
    check_origin(version(tmp_path, config={"model": "smollm2"}), "smollm2")


def test_the_same_weights_elsewhere_are_the_same_model(tmp_path, ground):
    shutil.copytree(ground.model, tmp_path / "copy")
    taught_from = tmp_path / "copy"
    own = files_hash(path for pattern in WEIGHT_FILES for path in taught_from.glob(pattern))
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


def test_adopt_refuses_it_by_its_code(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    (run / "adapter").mkdir(parents=True)
    (run / "adapter" / "adapter_config.json").write_text("{}")
    (run / "manifest.json").write_text('{"config": {"model": "org/large"}}')
    words = ["generator", "adopt", str(run), "--model", "smollm2", "--data", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["copyloop", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "version_of_another_model: version " in (said := capsys.readouterr().err)
    assert "'org/large'" in said
    listed = CliRunner().invoke(app, ["generator", "list", "--data", str(tmp_path)])
    assert "rejected" not in listed.output
