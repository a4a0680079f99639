"""A policy's parameters, checked: from the dict that settings hold to the policy's own struct.

Each policy declares its parameters with ranges and defaults beside its code; what is off is
refused here, in words that name the parameter, the value seen and what is expected.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from bandit.errors import PolicySpecError
from streams.events import PolicySpec

Positive: TypeAlias = Annotated[float, Meta(gt=0.0, le=1e9)]
Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Finite: TypeAlias = Annotated[float, Meta(ge=-1e9, le=1e9)]
Seed: TypeAlias = Annotated[int, Meta(ge=0, lt=2**32)]

Config = TypeVar("Config", bound=Struct)

_PATH: Final = re.compile(r" - at `\$\.(\w+)")


def read_spec(spec: PolicySpec, config: type[Config]) -> Config:
    """Returns the parameters in `spec`, the ones left out at their defaults.

    Raises:
        PolicySpecError: a parameter is unknown, missing, or not what it should be.
    """
    try:
        return msgspec.convert(spec, config)
    except msgspec.ValidationError as error:
        raise PolicySpecError(_explain(spec, config, str(error))) from error


def write_spec(config: Struct) -> PolicySpec:
    """Returns the spec that `read_spec` reads as `config`: every parameter is spelled out."""
    spec: PolicySpec = msgspec.to_builtins(config)
    return spec


def _explain(spec: PolicySpec, config: type[Struct], message: str) -> str:
    known = ", ".join(config.__struct_fields__) or "none"
    where = f"policy {spec.get('name')!r}"
    found = _PATH.search(message)
    if found is None:
        return f"{where}: {message[0].lower()}{message[1:]}; its parameters: {known}"
    parameter = found.group(1)
    expected = message[: found.start()]
    return f"{where}: {parameter} is {spec.get(parameter)!r}; {expected[0].lower()}{expected[1:]}"
