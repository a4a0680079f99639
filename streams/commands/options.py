"""The options that commands of all packages share, in groups, and the log that they name.

A command takes a group as one parameter. `make_app` spreads the group out on the command line,
so an option is declared once for all commands that have it.
"""

from __future__ import annotations

import inspect
import os
import pwd
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import typer

from streams.errors import LogUrlError
from streams.logs.base import Log
from streams.logs.opening import log_exists, open_log
from streams.process import Running, long_running

DATA: Final = Path("copyloop-data")
LOCALHOST: Final = "127.0.0.1"

Data = Annotated[Path, typer.Option(help="The folder of the log, checkpoints and archive.")]
LogUrl = Annotated[
    str | None,
    typer.Option("--log", help="The log's URL.", show_default="sqlite:///DATA/log.db"),
]
MappingFiles = Annotated[
    list[Path] | None,
    typer.Option("--mapping", help="How a topic's records become outcomes; repeat for more."),
]
SourceUrl = Annotated[
    str | None,
    typer.Option("--source", help="The URL of the log that has the mapped topics, if another."),
]
MetricsHost = Annotated[
    str, typer.Option("--metrics-host", help="The address that metrics are served on.")
]
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--log-format", envvar="COPYLOOP_LOG_FORMAT", help="Of the process's own lines on stderr."
    ),
]
Form = Annotated[Literal["table", "json"], typer.Option("--format", help="For eyes or programs.")]


class LogOptions(NamedTuple):
    """The log that a command works on."""

    data: Data = DATA
    log: LogUrl = None

    @property
    def url(self) -> str:
        """The log's URL: the one given, or that of the data folder."""
        return log_url(self.log, self.data)

    def opened(self) -> AbstractContextManager[Log]:
        """Opens the log for the block; see `opened`."""
        return opened(self.url)

    def looked_into(self) -> AbstractContextManager[Log]:
        """Opens a log that exists already for the block; see `looked_into`."""
        return looked_into(self.url)


class MetricsOptions(NamedTuple):
    """Where a process serves its metrics, and how its own lines look."""

    metrics_host: MetricsHost = LOCALHOST
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve Prometheus metrics here; 0: any port."),
    ] = None
    log_format: LogFormat = "text"


def running(name: str, at: LogOptions, metrics: MetricsOptions) -> AbstractContextManager[Running]:
    """Opens the log and serves metrics for a process of this name; see `long_running`."""
    return long_running(name, at.url, **metrics._asdict())


def log_url(log: str | None, data: Path) -> str:
    """Returns the URL of the log that a command works on: the one given, or the data folder's."""
    return log or f"sqlite:///{data / 'log.db'}"


def opened(url: str) -> AbstractContextManager[Log]:
    """Opens the log, for a block that closes it.

    Raises:
        LogUrlError: no log goes by that URL.
        LogError: the log cannot be opened.
    """
    return closing(open_log(url))


def looked_into(url: str) -> AbstractContextManager[Log]:
    """Opens a log that exists already for the block: to look makes no new one.

    Raises:
        LogUrlError: no log goes by that URL, or its file is not there.
        LogError: the log cannot be opened.
    """
    if not log_exists(url):
        raise LogUrlError(f"there is no log at {url}; name another with --log or --data")
    return opened(url)


def operator() -> str:
    """Returns who types the command, as acts are recorded by: `cli:NAME`."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # in a container a user may have no name
        return f"cli:{os.getuid()}"


def make_app(about: str, commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Returns an app of these commands, by name, with their groups of options spread out."""
    app = typer.Typer(
        help=about, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    for name, command in commands.items():
        app.command(name)(spread(command))
    return app


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Returns the command with one option for each field of its groups of options.

    A group is a NamedTuple whose fields are options, or groups in turn. The command gets the
    tuple. `Annotated[Group, "much_"]` puts `--much-` before the names of the group's options.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters = inspect.signature(command).parameters
    options = [
        option
        for name, parameter in parameters.items()
        for option in _options(name, hints[name], parameter.default)
    ]

    @wraps(command)
    def called(**given: Any) -> None:
        command(**{name: _value(name, hints[name], given) for name in parameters})

    called.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    called.__annotations__ = {option.name: option.annotation for option in options}
    return called


def words(**options: object) -> list[str]:
    """Returns the words that give a command these options; None is left out, a list repeats.

    >>> words(data=Path("data"), metrics_port=0, log=None)
    ['--data', 'data', '--metrics-port', '0']
    """
    return [
        word
        for name, value in options.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
        for word in (f"--{name.replace('_', '-')}", str(each))
    ]


def _group(hint: Any) -> tuple[Any, str]:
    """Returns the group that a type is, None if it is an option, and the prefix of its names."""
    kind, *told = get_args(hint) if get_origin(hint) is Annotated else [hint]
    if not (isinstance(kind, type) and issubclass(kind, tuple)):
        return None, ""
    return kind, next((each for each in told if isinstance(each, str)), "")


def _options(name: str, hint: Any, default: Any) -> Iterator[inspect.Parameter]:
    group, prefix = _group(hint)
    if group is None:
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint
        )
        return
    for field, kind in get_type_hints(group, include_extras=True).items():
        missing = inspect.Parameter.empty
        yield from _options(prefix + field, kind, group._field_defaults.get(field, missing))


def _value(name: str, hint: Any, given: Mapping[str, Any]) -> Any:
    group, prefix = _group(hint)
    if group is None:
        return given[name]
    fields = get_type_hints(group, include_extras=True)
    return group(*(_value(prefix + field, kind, given) for field, kind in fields.items()))
