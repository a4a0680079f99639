import base64
import json
from io import BytesIO

import pytest
from PIL import Image

from generator.errors import BackendError, MaterialError
from generator.material.images import open_image, open_seeing, parsed, plain_attributes
from generator.models.catalog import Endpoint, SeeingModel
from tests.generator.material.conftest import BLUE, RED
from tests.http_stub import answering, body_of


def test_a_local_model_captions_a_picture(captioner, picture):
    words = open_seeing(SeeingModel(model=captioner))(open_image(picture))
    assert words.description.startswith("a photo of")
    assert words.attributes == {"colour": "red", "shape": "wide", "brightness": "dark"}
    again = open_seeing(SeeingModel(model=captioner))(open_image(picture))
    assert again == words


def test_a_folder_without_such_a_model_is_named(tmp_path):
    with pytest.raises(BackendError, match="cannot be loaded for image-text-to-text: expected"):
        open_seeing(SeeingModel(model=str(tmp_path)))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGB", (10, 30), BLUE), {"colour": "blue", "shape": "tall"}),
        (Image.new("RGB", (10, 10), "white"), {"colour": "white", "brightness": "bright"}),
        (Image.new("RGB", (10, 10), (128, 128, 128)), {"colour": "grey", "brightness": "medium"}),
    ],
)
def test_what_can_be_told_without_a_model(image, expected):
    assert expected.items() <= plain_attributes(image).items()


def test_an_answer_in_lines_becomes_a_description_and_attributes():
    answer = "- A red cup on a table.\n- setting: a kitchen\n- Mood: calm\n\nobjects:\n"
    words = parsed(answer, Image.new("RGB", (9, 9), RED))
    assert words.description == "A red cup on a table."
    assert words.attributes == {
        "colour": "red",
        "shape": "square",
        "brightness": "dark",
        "setting": "a kitchen",
        "mood": "calm",
    }


def test_an_answer_that_is_empty_or_long_does_no_harm():
    assert parsed("", Image.new("RGB", (9, 9))).description == ""
    assert len(parsed("word " * 200, Image.new("RGB", (9, 9))).description) <= 200


def test_a_file_that_is_no_picture_is_named(tmp_path):
    file = tmp_path / "cup.png"
    file.write_bytes(b"no picture")
    with pytest.raises(MaterialError, match=r"cup\.png: cannot be read as a picture"):
        open_image(file)


@pytest.fixture
def vision_server():
    """A server that answers with the size of the picture that it got, and keeps the request.

    No small model that converses about pictures can be had here; what is held is our request.
    """
    asked = []

    def answer(handler):
        body = json.loads(body_of(handler))
        asked.append(body)
        picture, question = body["messages"][0]["content"]
        data = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
        width, height = Image.open(BytesIO(data)).size
        text = f"{len(question['text']) > 0} {width} by {height}\nmood: calm"
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        told = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        told |= {"choices": [choice]}
        return 200, {"content-type": "application/json"}, json.dumps(told).encode()

    with answering("POST", answer) as url:
        yield f"{url}/v1", asked


def test_a_server_is_sent_the_picture_no_larger_than_it_need_be(vision_server):
    url, asked = vision_server
    seeing = open_seeing(SeeingModel(model="eyes", endpoint=Endpoint(url=url)))
    words = seeing(Image.new("RGB", (4000, 2000), RED))
    assert words.description == "True 1024 by 512"
    assert words.attributes["mood"] == "calm"
    assert asked[0]["model"] == "eyes"


def test_a_server_that_is_not_there_is_named():
    endpoint = Endpoint(url="http://127.0.0.1:9/v1", retries=0)
    seeing = open_seeing(SeeingModel(model="eyes", endpoint=endpoint))
    with pytest.raises(BackendError, match=r"eyes at http://127\.0\.0\.1:9/v1 failed on a picture"):
        seeing(Image.new("RGB", (9, 9)))
