import numpy as np
import pytest
from PIL import Image

from generator.brief.schema import Brief, Material
from generator.errors import BackendError, MaterialError
from generator.material.models import SIZE, Joint
from generator.material.understanding import understand
from generator.models.catalog import LocalModel, Models, SeeingModel
from tests.generator.material.conftest import BLUE, RED, make_film, make_sound


def brief_with(*material):
    return Brief(product="a cup", material=material)


@pytest.fixture
def seeing(captioner):
    return Models(images=SeeingModel(model=captioner))


def test_a_picture_is_described_and_the_brief_s_own_words_win(seeing, picture, tmp_path):
    own = Material(kind="image", file=picture.name, attributes={"colour": "crimson"})
    found = understand(brief_with(own), seeing, base=tmp_path, cache=tmp_path / "cache")
    [material] = found.brief.material
    assert material.description.startswith("a photo of")
    assert material.attributes == {"colour": "crimson", "shape": "wide", "brightness": "dark"}
    assert material.description in found.brief.texts()
    assert found.features("any") == {"material": material.attributes}


def test_a_description_is_not_asked_for_again(picture, tmp_path):
    own = Material(kind="image", file=picture.name, description="our cup")
    broken = Models(images=SeeingModel(model=str(tmp_path)))
    found = understand(brief_with(own), broken, base=tmp_path, cache=tmp_path / "cache")
    assert found.brief.material == (own,)


def test_what_was_seen_is_kept_by_content_and_model(seeing, picture, tmp_path, monkeypatch):
    cache, copy = tmp_path / "cache", tmp_path / "copy.png"
    copy.write_bytes(picture.read_bytes())
    one, other = (Material(kind="image", file=f.name) for f in (picture, copy))
    first = understand(brief_with(one), seeing, base=tmp_path, cache=cache)
    monkeypatch.setattr("generator.material.images._look", None)
    second = understand(brief_with(other), seeing, base=tmp_path, cache=cache)
    assert second.brief.material[0].description == first.brief.material[0].description
    assert len(list(cache.iterdir())) == 1
    Image.new("RGB", (9, 9), BLUE).save(copy)
    with pytest.raises(TypeError):
        understand(brief_with(other), seeing, base=tmp_path, cache=cache)


def test_a_film_is_told_scene_after_scene_with_what_is_heard(captioner, speech, tmp_path):
    models = Models(images=SeeingModel(model=captioner), speech=LocalModel(model=speech))
    film = make_film(tmp_path / "film.mp4", [(RED, 2), (BLUE, 2)], tone=True)
    own = Material(kind="video", file=film.name)
    found = understand(brief_with(own), models, base=tmp_path, cache=tmp_path / "cache")
    [material] = found.brief.material
    assert material.description.startswith("a photo of")
    assert material.attributes["scenes"] == "2"
    assert material.attributes["speech"]
    assert material.attributes["colour"] == "red"


def test_a_sound_is_heard(sounds, tmp_path):
    own = Material(kind="sound", file=make_sound(tmp_path / "hum.wav").name)
    models = Models(sounds=LocalModel(model=sounds))
    found = understand(brief_with(own), models, base=tmp_path, cache=tmp_path / "cache")
    assert found.brief.material[0].description.startswith("sounds of ")


def test_without_a_model_attributes_are_enough_and_nothing_is_not(picture, tmp_path):
    told = Material(kind="image", file=picture.name, attributes={"setting": "kitchen"})
    untold = Material(kind="image", file=picture.name)
    options = {"base": tmp_path, "cache": tmp_path / "cache"}
    assert understand(brief_with(told), Models(), **options).brief == brief_with(told)
    with pytest.raises(MaterialError, match=r"material\[1\]: .* no model says what is in images"):
        understand(brief_with(told, untold), Models(), **options)


def test_a_brief_without_files_needs_nothing(tmp_path):
    brief = brief_with(Material(kind="image", description="a cup"))
    assert understand(brief, Models(), base=tmp_path / "nowhere").brief is brief


@pytest.mark.parametrize("named", ["../secret.png", "/etc/hostname", "gone.png"])
def test_files_that_are_not_there_or_not_to_be_read_are_refused(tmp_path, named):
    (tmp_path / "secret.png").write_bytes(b"x")
    base = tmp_path / "material"
    base.mkdir()
    own = Material(kind="image", file=named)
    with pytest.raises(MaterialError, match=r"material\[0\]\.file: ") as caught:
        understand(brief_with(own), Models(), base=base, confined=True)
    assert caught.value.code == "material_unusable"


def test_text_and_picture_become_features_that_tell_both_apart(clip, picture, tmp_path):
    own = Material(kind="image", file=picture.name, description="a cup")
    models = Models(joint=LocalModel(model=clip))
    found = understand(brief_with(own), models, base=tmp_path, cache=tmp_path / "cache")
    one, same, other = (found.features(text) for text in ("a red cup", "a red cup", "sleep"))
    assert one == same != other
    assert len(one["joint"]) == SIZE
    assert -1.0 <= one["agreement"] <= 1.0
    joint = Joint(clip)
    red, blue = (
        joint.features("a cup", [Image.new("RGB", (32, 32), colour)]) for colour in (RED, BLUE)
    )
    assert red != blue


def test_the_fused_vector_is_about_as_long_as_what_it_stands_for(clip):
    found = Joint(clip).features("a cup", [Image.new("RGB", (32, 32), RED)])
    squared = 2 + 2 * found["agreement"]
    assert np.sum(np.square(found["joint"])) == pytest.approx(squared, rel=0.8)


def test_a_model_that_embeds_no_pictures_is_refused(speech):
    with pytest.raises(BackendError, match="expected one of CLIP's kind"):
        Joint(speech)
