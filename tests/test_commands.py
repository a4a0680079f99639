"""Every command of every package, with its arguments, options and variables: users have them."""

from pathlib import Path

import pytest
from typer.main import get_command

from bandit.__main__ import app as bandit
from generator.commands.main import app as copyloop
from generator.commands.main import generator_app as generator
from streams.__main__ import app as streams

KNOWN = Path(__file__).parent / "data" / "commands.txt"


def lines_of(command, path):
    """A line for each command below: its path, its arguments in order, its options by name."""
    commands = getattr(command, "commands", {})
    for name, each in commands.items():
        yield from lines_of(each, f"{path} {name}")
    if not commands:
        arguments = [p.name.upper() for p in command.params if p.param_type_name == "argument"]
        options = [
            "/".join([*p.opts, *p.secondary_opts, *([p.envvar] if p.envvar else [])])
            for p in command.params
            if p.param_type_name == "option" and not p.hidden
        ]
        yield " ".join([path, *arguments, *sorted(options)])


@pytest.mark.parametrize(
    ("name", "app"),
    [("copyloop", copyloop), ("streams", streams), ("bandit", bandit), ("generator", generator)],
)
def test_commands_arguments_and_options_are_those_that_users_have(name, app):
    known = [line for line in KNOWN.read_text().splitlines() if line.startswith(f"{name} ")]
    assert sorted(lines_of(get_command(app), name)) == known
