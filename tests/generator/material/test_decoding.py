import numpy as np
import pytest

from generator.errors import BackendError, MaterialError
from generator.material.decoding import RATE, key_frames, samples_of
from generator.material.images import plain_attributes
from generator.material.models import Listening
from tests.generator.material.conftest import (
    BLUE,
    GREEN,
    RED,
    SOUNDS,
    make_film,
    make_sound,
)


def colours(scenes):
    return [plain_attributes(scene.image)["colour"] for scene in scenes]


def test_a_film_has_a_key_frame_for_each_scene(tmp_path):
    film = make_film(tmp_path / "film.mp4", [(RED, 2), (BLUE, 3), (GREEN, 2), (RED, 2)])
    scenes = key_frames(film)
    assert colours(scenes) == ["red", "blue", "green", "red"]
    assert [scene.start_seconds for scene in scenes] == pytest.approx([0, 2, 5, 7], abs=0.51)


def test_of_many_scenes_the_longest_are_kept_in_their_order(tmp_path):
    film = make_film(tmp_path / "film.mp4", [(RED, 1), (BLUE, 4), (GREEN, 3), (RED, 1)])
    assert colours(key_frames(film, limit=2)) == ["blue", "green"]


def test_one_scene_stays_one(tmp_path):
    assert len(key_frames(make_film(tmp_path / "film.mp4", [(RED, 4)]))) == 1


@pytest.mark.parametrize("read", [key_frames, samples_of])
def test_a_file_that_cannot_be_read_is_named(tmp_path, read):
    file = tmp_path / "film.mp4"
    file.write_bytes(b"nothing")
    with pytest.raises(MaterialError, match=r"film\.mp4: cannot be read as"):
        read(file)


def test_a_sound_has_no_key_frames(tmp_path):
    with pytest.raises(MaterialError, match="has no pictures in it"):
        key_frames(make_sound(tmp_path / "hum.wav"))


def test_sound_comes_at_the_models_rate_whatever_its_own(tmp_path):
    samples = samples_of(make_sound(tmp_path / "hum.wav", seconds=1.0))
    assert len(samples) == pytest.approx(RATE, rel=0.02)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()] == pytest.approx(440, abs=3)


def test_a_film_s_sound_is_heard_and_a_mute_one_is_silent(tmp_path):
    assert samples_of(make_film(tmp_path / "loud.mp4", [(RED, 1)], tone=True)) is not None
    assert samples_of(make_film(tmp_path / "mute.mp4", [(RED, 1)])) is None


def test_speech_is_written_down_and_sounds_are_named(tmp_path, speech, sounds):
    samples = samples_of(make_sound(tmp_path / "hum.wav"))
    words = Listening(speech, sounds).listen(samples)
    assert words.attributes["speech"]
    assert set(words.attributes["sounds"].split(", ")) <= set(SOUNDS)
    assert words.description.startswith(f"says “{words.attributes['speech'][:20]}")


def test_one_of_both_models_is_enough(tmp_path, sounds):
    words = Listening(None, sounds).listen(samples_of(make_sound(tmp_path / "hum.wav")))
    assert set(words.attributes) == {"sounds"}


def test_a_model_of_another_kind_is_refused(captioner):
    with pytest.raises(BackendError, match="cannot be loaded for automatic-speech-recognition"):
        Listening(captioner, None)
