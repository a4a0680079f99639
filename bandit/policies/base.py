"""What every policy is made of: its parameters, its bytes, and the rewards that it can learn from.

Each policy declares its parameters with ranges and defaults beside its code; a wrong one is
refused here. The bytes hold spec and state under one checksum.
"""

from __future__ import annotations

import hashlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from bandit.errors import LearnError, PolicySpecError, PolicyStateError
from streams.events import Action, PolicySpec

Positive: TypeAlias = Annotated[float, Meta(gt=0.0, le=1e9)]
Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Finite: TypeAlias = Annotated[float, Meta(ge=-1e9, le=1e9)]
Seed: TypeAlias = Annotated[int, Meta(ge=0, lt=2**32)]

LARGEST_REWARD: Final = 1e9
"""The largest reward that any policy takes, either side of 0: its square is finite in 32 bits."""
MAGIC: Final = b"copyloop policy 1\n"
DIGEST_SIZE: Final = 16
CACHE_SIZE: Final = 16_384
"""How many creatives a policy keeps prepared, or answers of how many."""
CONTEXTS_KEPT: Final = 1024
"""How many contexts a policy keeps as it read them."""
LARGEST_KEPT: Final = 16_384
"""An action with more bytes of features is not kept prepared: requests bring what they like."""


MOST_ARMS: Final = 20_000
"""How many creatives a policy knows whose state for each is large."""
MOST_COUNTS: Final = 100_000
"""The same where that is a count and a sum; creatives in segments count each for itself."""


def least_of(known: Mapping[str, float], most: int) -> list[str]:
    """Returns which creatives to forget once there are more than `most`: a quarter, or none.

    Whoever makes up names of actions must not make a policy grow for ever.

    Args:
        known: what speaks for keeping each, such as how often it was shown.
        most: how many are kept.

    >>> least_of({"a": 3, "b": 1, "c": 2, "d": 1, "e": 9}, 4)
    ['b', 'd']
    """
    if len(known) <= most:
        return []
    kept = most - most // 4
    return sorted(known, key=lambda name: (known[name], name))[: len(known) - kept]


class PolicyConfig(Struct, frozen=True, tag_field="name", forbid_unknown_fields=True):
    """The parameters of a policy; the tag is its name.

    `added` are parameters that came later, with what a new policy gets. A spec that names all
    others and none of them is one that an older copyloop completed: it stays as it is.
    """

    added: ClassVar[Mapping[str, object]] = {}

    @classmethod
    def completed(cls, spec: PolicySpec) -> PolicySpec:
        """Returns the spec with what was added, if it is a new policy's."""
        older = set(cls.__struct_fields__).difference(cls.added)
        return spec if older <= spec.keys() else {**cls.added, **spec}


_T = TypeVar("_T")
Config = TypeVar("Config", bound=PolicyConfig)

_PATH: Final = re.compile(r" - at `\$\.(\w+)")
_decoder = msgspec.msgpack.Decoder(tuple[PolicySpec, bytes])


class Configured(ABC, Generic[Config]):
    """A policy made from parameters and, if it has learned already, from a state."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def spec(self) -> PolicySpec:
        """The name and every parameter."""
        spec: PolicySpec = msgspec.to_builtins(self._config)
        return spec

    def to_bytes(self) -> bytes:
        """Returns the spec and the state, sealed."""
        return seal(self.spec, self._state())

    @abstractmethod
    def _state(self) -> bytes:
        """Returns what was learned: equal for equal histories, byte for byte."""


def read_spec(spec: PolicySpec, config: type[Config]) -> Config:
    """Returns the parameters in `spec`, the ones left out at their defaults."""
    try:
        return msgspec.convert(config.completed(spec), config)
    except msgspec.ValidationError as error:
        raise PolicySpecError(_explain(spec, config, str(error))) from error


def _explain(spec: PolicySpec, config: type[PolicyConfig], message: str) -> str:
    known = ", ".join(config.__struct_fields__) or "none"
    where = f"policy {spec.get('name')!r}"
    found = _PATH.search(message)
    if found is None:
        return f"{where}: {message[0].lower()}{message[1:]}; its parameters: {known}"
    parameter = found.group(1)
    expected = message[: found.start()]
    return f"{where}: {parameter} is {spec.get(parameter)!r}; {expected[0].lower()}{expected[1:]}"


def seal(spec: PolicySpec, state: bytes) -> bytes:
    """Returns the bytes that hold both; dicts are sorted by key."""
    body = msgspec.msgpack.encode((spec, state), order="sorted")
    return MAGIC + _digest(body) + body


def unseal(data: bytes) -> tuple[PolicySpec, bytes]:
    """Returns the spec and the state that `seal` was given."""
    start = len(MAGIC) + DIGEST_SIZE
    if not data.startswith(MAGIC):
        raise PolicyStateError(
            f"policy bytes start with {data[: len(MAGIC)]!r}, expected {MAGIC!r}: "
            "not a policy, or one of another format"
        )
    body = data[start:]
    if _digest(body) != data[len(MAGIC) : start]:
        raise PolicyStateError(
            f"{len(data)} policy bytes do not match their checksum; "
            "take an earlier snapshot, or fold the log anew"
        )
    return _decoder.decode(body)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_SIZE).digest()


def check_reward(
    reward: float, *, low: float = -LARGEST_REWARD, high: float = LARGEST_REWARD
) -> float:
    """Returns the reward.

    Raises:
        LearnError: `reward_out_of_range`, it is not within [low, high], or not a number.
    """
    if not low <= reward <= high:
        raise LearnError(
            "reward_out_of_range",
            f"reward {reward}, expected {low:g} to {high:g}; set the placement's reward minimum "
            "and maximum, or a policy for such rewards",
        )
    return reward


def spread_of(n: float, total: float, square: float) -> float:
    """Returns the standard deviation of rewards, given how many there are, Σ r and Σ r².

    It is above 0 whatever came, and 1 where nothing did. A single reward may be as far from the
    level as it is large; of more, their spread tells.
    """
    if n <= 0.0:
        return 1.0
    spread = max(square - total * total / n, 0.0) + max(square, 0.0) / n**3
    return max(math.sqrt(spread / n), 1e-9 * abs(total) / n, 1e-15)


def keep(prepared: dict[tuple[str, bytes], _T], action: tuple[str, bytes], found: _T) -> _T:
    """Returns what was prepared of an action, by id and features, kept unless these are large."""
    if len(action[1]) <= LARGEST_KEPT:
        if len(prepared) >= CACHE_SIZE:
            prepared.clear()
        prepared[action] = found
    return found


def order_of(actions: Sequence[Action]) -> list[int]:
    """Returns the actions' places by id and features, so that their order shows in no rounding."""
    keys = [(action.id, bytes(action.features)) for action in actions]
    return sorted(range(len(keys)), key=keys.__getitem__)


def check_share(reward: float) -> float:
    """Returns the reward."""
    return check_reward(reward, low=0.0, high=1.0)
