"""The `copyloop` command: every package's commands under one name.

It lives at the top of the arrow, the only place that may see all three packages. What users run
by hand stands at the top level; a package's own processes stand under the package's name.
"""

from __future__ import annotations

import typer

from bandit.__main__ import app as bandit_app
from bandit.errors import BanditError
from generator.__main__ import app as generator_app
from generator.errors import GeneratorError
from streams.__main__ import app as streams_app
from streams.errors import StreamsError
from streams.process import run_command

app = typer.Typer(
    name="copyloop",
    help="Generate ad creatives, pick among them with a bandit, learn from clicks, close the loop.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
BY_HAND = {
    "acts",
    "audit",
    "demo",
    "evaluate",
    "fit_delay",
    "fit_prior",
    "forget",
    "doctor",
    "generate",
    "replay",
    "tune",
    "up",
    "gates",
    "screen",
}
GROUPS_BY_HAND = {"policy", "brief", "keys", "import", "creatives"}

for package, commands in (
    ("streams", streams_app),
    ("bandit", bandit_app),
    ("generator", generator_app),
):
    by_hand = [
        c for c in commands.registered_commands if c.callback and c.callback.__name__ in BY_HAND
    ]
    app.registered_commands += by_hand
    own = typer.Typer(help=commands.info.help, no_args_is_help=True)
    own.registered_commands = [c for c in commands.registered_commands if c not in by_hand]
    groups = commands.registered_groups
    app.registered_groups += [group for group in groups if group.name in GROUPS_BY_HAND]
    own.registered_groups = [group for group in groups if group.name not in GROUPS_BY_HAND]
    app.add_typer(own, name=package)


def main() -> None:
    """Runs the command line; an error of ours prints its code and message, and exits with 2."""
    run_command(app, StreamsError, BanditError, GeneratorError)


if __name__ == "__main__":
    main()
