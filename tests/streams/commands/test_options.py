"""Groups of options: spread out on a command line, and gathered for the command."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from typer.testing import CliRunner

from streams.commands.options import LogOptions, make_app, words


class Colour(NamedTuple):
    name: Annotated[str, typer.Argument()]
    shade: Annotated[int, typer.Option(min=0)] = 3


class Picture(NamedTuple):
    at: LogOptions
    sky: Annotated[Colour, "sky_"]


def invoked(*arguments):
    """What the command gets from these arguments, and the exit code."""
    got = []

    def paint(picture: Picture, size: int = 1, *, grass: Annotated[Colour, "grass_"]) -> None:
        got.append((picture, size, grass))

    done = CliRunner().invoke(make_app("Paints.", {"paint": paint}), arguments)
    return (got[0] if got else done.output), done.exit_code


def test_groups_within_groups_are_gathered_with_their_defaults():
    picture, size, grass = invoked("blue", "green", "--sky-shade", "7", "--log", "memory://")[0]
    assert picture == Picture(LogOptions(log="memory://"), Colour("blue", 7))
    assert (size, grass) == (1, Colour("green"))


def test_what_an_option_of_a_group_wants_is_checked():
    output, code = invoked("blue", "green", "--grass-shade", "-1")
    assert (code, "--grass-shade" in output) == (2, True)
    assert invoked("blue")[1] == 2


def test_options_become_the_words_that_a_command_takes():
    given = words(size=2, **LogOptions(Path("d"))._asdict(), both=["a", "b"])
    assert given == ["--size", "2", "--data", "d", "--both", "a", "--both", "b"]
