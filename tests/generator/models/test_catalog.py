import pytest

from generator.errors import ModelsError
from generator.models.catalog import (
    Endpoint,
    LocalModel,
    Models,
    SeeingModel,
    TextModel,
    load_models,
)
from generator.models.opening import check_installed, open_backend
from generator.settings import model_key

FULL = """\
text:
  - model: smollm2
    adapter: adapters/v17
    share: 2
  - model: gpt-any
    endpoint:
      url: https://api.example.com/v1
      api: chat
      key_file: key.txt
      requests_per_minute: 60
      price_read: 0.15
images: {model: blip}
speech: {model: whisper}
joint: {model: clip}
"""


def written(tmp_path, text):
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["smollm2", "a/folder", "org/model"])
def test_a_name_alone_is_a_local_model(name):
    assert load_models(name) == Models(text=(TextModel(model=name),))


def test_an_address_names_a_model_behind_a_server():
    endpoint = Endpoint(url="http://localhost:8000/v1")
    assert load_models("http://localhost:8000/v1#adcopy-v17", adapter="adcopy-v18") == Models(
        text=(TextModel(model="adcopy-v17", adapter="adcopy-v18", endpoint=endpoint),)
    )


def test_a_file_names_several(tmp_path):
    found = load_models(str(written(tmp_path, FULL)))
    assert [text.model for text in found.text] == ["smollm2", "gpt-any"]
    assert found.text[0].share == 2.0
    assert found.text[1].endpoint.requests_per_minute == 60
    assert (found.images, found.speech) == (SeeingModel(model="blip"), LocalModel(model="whisper"))
    assert found.sounds is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FULL.replace("share: 2", "share: 0"), ":4: text[0].share: Expected `float` > 0"),
        (FULL.replace("https://", ""), ":7: text[1].endpoint.url: Expected `str` matching"),
        (FULL.replace("images", "pictures"), ":12: pictures: there is no such field"),
        ("text: []\n", ":1: text: Expected `array` of length >= 1"),
        ("text:\n- model: http://x/v1\n", ":2: text[0].model: is 'http://x/v1'; write the addr"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_line_and_field(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ModelsError) as caught:
        load_models(str(path))
    assert str(caught.value).startswith(f"{path}{message}")


def test_an_address_without_a_model_is_told():
    with pytest.raises(ModelsError, match="names no model; expected URL#NAME"):
        load_models("http://localhost:8000/v1")


def test_a_key_comes_from_its_file_or_from_the_environment(tmp_path):
    file = tmp_path / "key"
    file.write_text(" secret\n")
    assert model_key(str(file), {"COPYLOOP_MODEL_KEY": "other"}) == "secret"
    assert model_key(None, {"COPYLOOP_MODEL_KEY": "other"}) == "other"
    assert model_key(None, {}) is None


@pytest.mark.parametrize("content", [None, " \n"])
def test_a_key_file_without_a_key_is_named(tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ModelsError, match="key_file"):
        model_key(str(file), {})


@pytest.mark.model
def test_adapters_of_one_model_share_it(tmp_path):
    text = "text: [{model: smollm2}, {model: smollm2, adapter: a}, {model: smollm2, adapter: b}]\n"
    path = written(tmp_path, text)
    check_installed(str(path))
    pool = open_backend(str(path))
    assert len({id(member.backend) for member in pool._members}) == 1
    assert [member.adapter for member in pool._members] == [None, "a", "b"]
