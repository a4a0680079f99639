"""The settings of the API: what they are, where they come from, and what they may be.

An argument of the command line wins over the environment, which wins over the default. This is
the only module that reads the environment; everything else is handed what it needs.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from bandit.errors import SettingError

PREFIX: Final = "COPYLOOP_"
ENVIRONMENT: Final[Mapping[str, str]] = os.environ
"""The variables that this process was started with."""
READ_ELSEWHERE: Final = frozenset(
    {"COPYLOOP_LOG_FORMAT", "COPYLOOP_MODEL_KEY", "COPYLOOP_READY_FD"}
)
"""Variables of ours that are options of commands, the generator's, or the supervisor's."""


class Secret:
    """A text that only `reveal` tells; printing it, or what holds it, does not.

    >>> Secret("hunter2")
    Secret(set)
    """

    def __init__(self, text: str = "") -> None:
        self._text = text

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return bool(self._text)

    def reveal(self) -> str:
        """Returns the text, empty if there is none."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._text.encode(), other._text.encode()
        )

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Secret({'set' if self._text else 'not set'})"


class Settings(Struct, frozen=True, kw_only=True):
    """The API's settings, each with a variable of the environment: `COPYLOOP_MAX_ACTIONS`.

    Attributes:
        data: the folder of the log, checkpoints and archive.
        log: the log's URL; empty means the SQLite log in the data folder.
        host: the address to listen on.
        port: the port to listen on; 0 lets the system choose.
        workers: how many processes serve the port.
        durability: `logged` answers once a decision is durable in the log; `buffered` answers
            at once, and a crash of the machine or the process may lose the last moments.
        max_body_bytes: a larger request is refused.
        max_actions: the most actions that one rank request may bring.
        max_waiting: the most messages that may wait for the log before requests are refused.
        rank_budget_ms: how long a policy may take over a rank before the first action is
            answered in its place; 0: as long as it takes.
        drain_seconds: how long requests in flight may take to finish after SIGTERM.
        drain_notice_seconds: how long after SIGTERM requests are still taken, while the replica
            says that it is not ready.
        spool_max_bytes: how much may wait on disk while Kafka is away; 0 refuses instead.
        spool_after_seconds: an append that takes longer has what it wrote spooled.
        spool_full: `refuse` requests once the spool is full, or go on to answer ranks
            `unlogged`: what was decided then is not recorded, and the answer says so.
        open_to_network: listen on an address that others reach although there are no keys.
        rate_per_second: how many requests a caller may make whose key says nothing, each 16 KiB of
            a body beyond the first counted as one more; 0: any.
        rate_burst_seconds: what comes in this time may come at once.
        cors_origins: whose pages may ask, with commas between; `*`: everyone's.
        tls_cert: a file in PEM; with it and its key it speaks HTTPS.
        tls_key: the certificate's key, in PEM.
        tls_key_password: what the key is locked with.
        tls_client_ca: callers must show a certificate that one of these authorities signed.
        jwt_jwks_url: where the keys are that tokens are signed by; empty: no tokens are taken.
        jwt_issuer: who a token must say it is from.
        jwt_audience: whom it must say it is for.
        jwt_algorithms: how it may be signed, with commas between.
        jwt_scope_claim: where it says what its holder may.
        jwt_placements_claim: where it says in which placements; in all, if it does not say.
        ui_port: where the dashboard listens, on the same host; 0: there is none.
        traces_url: where spans go, over OTLP and HTTP; empty: none are made.
        private_salt: what private fields of contexts are hashed by.
        reward_secret: what event ids are signed by; of several, with space between, the first.
    """

    data: Path = Path("copyloop-data")
    log: str = ""
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    ui_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    durability: Literal["logged", "buffered"] = "logged"
    max_body_bytes: Annotated[int, Meta(ge=1)] = 1 << 20
    max_actions: Annotated[int, Meta(ge=1)] = 1000
    max_waiting: Annotated[int, Meta(ge=1)] = 10_000
    rank_budget_ms: Annotated[float, Meta(ge=0)] = 1000.0
    drain_seconds: Annotated[int, Meta(ge=0)] = 10
    drain_notice_seconds: Annotated[float, Meta(ge=0)] = 0.0
    spool_max_bytes: Annotated[int, Meta(ge=0)] = 1 << 30
    spool_after_seconds: Annotated[float, Meta(gt=0)] = 1.0
    spool_full: Literal["refuse", "unlogged"] = "refuse"
    open_to_network: bool = False
    rate_per_second: Annotated[float, Meta(ge=0)] = 0.0
    rate_burst_seconds: Annotated[float, Meta(gt=0)] = 1.0
    cors_origins: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_key_password: Secret = Secret()
    tls_client_ca: Path | None = None
    jwt_jwks_url: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_algorithms: str = "RS256,ES256"
    jwt_scope_claim: str = "scope"
    jwt_placements_claim: str = "placements"
    traces_url: str = ""
    private_salt: Secret = Secret()
    reward_secret: Secret = Secret()

    @property
    def log_url(self) -> str:
        """The URL of the log: the one given, or that of the data folder."""
        return self.log or f"sqlite:///{self.data / 'log.db'}"


def load_settings(
    arguments: Mapping[str, object], environment: Mapping[str, str] = ENVIRONMENT
) -> Settings:
    """Returns the settings that arguments, environment and defaults make up.

    Args:
        arguments: by the name of the setting; one that is None was not given.
        environment: `COPYLOOP_` variables; others are not looked at. A secret may also be in a
            file, whose path is in the variable with `_FILE` added.

    Raises:
        SettingError: a value is off, or there is no setting of that name.

    >>> load_settings({"port": 80}, {"COPYLOOP_PORT": "81", "COPYLOOP_HOST": "::"}).port
    80
    """
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    if unknown := arguments.keys() - fields.keys():
        raise SettingError(f"no setting is called {min(unknown)!r}; there are {', '.join(fields)}")
    values: dict[str, object] = {}
    for name, field in fields.items():
        variable = PREFIX + name.upper()
        if (value := arguments.get(name)) is not None:
            values[name] = _converted(value, field.type, f"--{name.replace('_', '-')}")
        elif field.type is Secret:
            values[name] = _secret(variable, environment)
        elif variable in environment:
            values[name] = _converted(environment[variable], field.type, variable)
    return Settings(**values)  # type: ignore[arg-type]  # each was converted to its field's type


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Returns the variables that look like settings of ours, and are none.

    >>> unknown_variables({"COPYLOOP_PROT": "80", "COPYLOOP_PORT": "80", "HOME": "/"})
    ['COPYLOOP_PROT']
    """
    known = set(READ_ELSEWHERE)
    for field in msgspec.structs.fields(Settings):
        variable = PREFIX + field.name.upper()
        known |= {variable, f"{variable}_FILE"} if field.type is Secret else {variable}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _secret(variable: str, environment: Mapping[str, str]) -> Secret:
    path = environment.get(f"{variable}_FILE")
    if path is None:
        return Secret(environment.get(variable, ""))
    if variable in environment:
        raise SettingError(f"{variable} and {variable}_FILE are both set; one of them")
    try:
        text = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{variable}_FILE is {path!r}, which cannot be read: {error}") from error
    if not text:
        raise SettingError(f"{variable}_FILE is {path!r}, and there is nothing in it")
    return Secret(text)


def _converted(value: object, wanted: object, source: str) -> object:
    if wanted in (Path, Path | None):
        return Path(str(value))
    try:
        return msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise SettingError(f"{source} is {value!r}: {error}") from error
