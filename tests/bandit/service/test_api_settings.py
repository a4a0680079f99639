from pathlib import Path

import msgspec
import pytest

from bandit.errors import SettingError
from bandit.service.settings import Settings, load_settings


def test_the_defaults_stand_where_nothing_is_said():
    assert load_settings({}, {}) == Settings()
    assert load_settings({"port": None}, {"UNRELATED": "1"}) == Settings()


def test_an_argument_wins_over_the_environment():
    environment = {"COPYLOOP_PORT": "81", "COPYLOOP_HOST": "0.0.0.0"}
    settings = load_settings({"port": 80, "data": Path("x")}, environment)
    assert (settings.port, settings.host, settings.data) == (80, "0.0.0.0", Path("x"))


def test_the_log_is_in_the_data_folder_unless_said():
    assert load_settings({"data": "/d"}, {}).log_url == "sqlite:////d/log.db"
    assert load_settings({"log": "memory://"}, {}).log_url == "memory://"


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ({"port": 70000}, {}, ["--port", "70000", "65535"]),
        ({}, {"COPYLOOP_PORT": "eighty"}, ["COPYLOOP_PORT", "eighty", "int"]),
        ({}, {"COPYLOOP_DURABILITY": "lax"}, ["COPYLOOP_DURABILITY", "lax"]),
        ({"max_body_bytes": 0}, {}, ["--max-body-bytes", ">= 1"]),
        ({"colour": "red"}, {}, ["colour", "max_actions"]),
    ],
)
def test_a_setting_that_is_off_is_named(arguments, environment, words):
    with pytest.raises(SettingError) as caught:
        load_settings(arguments, environment)
    for word in words:
        assert word in str(caught.value)


def test_every_setting_is_documented():
    for field in msgspec.structs.fields(Settings):
        assert f"\n        {field.name}: " in Settings.__doc__
