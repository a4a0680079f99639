import json

import pytest
from typer.testing import CliRunner

from generator.brief.channels import channel_names
from generator.commands.channels import channels
from generator.errors import ChannelUnknown
from streams.commands.options import make_app

app = make_app("Channels.", {"channels": channels, "other": channels})


def run(*words):
    return CliRunner().invoke(app, ["channels", *words])


def test_every_channel_is_listed_with_its_pieces():
    told = run().stdout
    for name in channel_names():
        assert f" {name} " in told
    assert "headline 3-15 x 30, description 2-4 x 90" in told


def test_one_channel_is_told_with_limits_sources_and_what_is_beside_its_texts():
    told = run("google_rsa").stdout
    assert "answer/7684791" in told
    assert "pins of headline" in told
    assert "cut off" in run("meta").stdout


def test_programs_get_the_same_as_json():
    [found] = json.loads(run("sms", "--format", "json").stdout)
    assert (found["name"], found["counting"], found["assets"][0]["max_units"]) == (
        "sms",
        "sms",
        160,
    )


def test_an_unknown_channel_is_refused_by_name():
    done = run("radio")
    assert isinstance(done.exception, ChannelUnknown)
    assert done.exit_code


@pytest.mark.parametrize("name", channel_names())
def test_each_channel_can_be_told(name):
    assert run(name).exit_code == 0
