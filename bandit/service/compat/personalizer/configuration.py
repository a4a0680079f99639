"""A placement as Personalizer's service configuration and learning settings, and back.

What that service had and a placement has not is kept with the placement and given back, so that
a client that reads, changes and writes its configuration finds what it wrote.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from bandit.errors import PolicySpecError
from bandit.policies import check_policy, open_policy, parse_policy
from bandit.policies.vw.options import split_options
from bandit.policy import Correctable
from bandit.service.compat.personalizer.wire import PersonalizerError
from streams.events import CORRECTIONS, REWARD, Placement, PolicySpec, RewardKind, RewardRule

KEPT: Final = "personalizer"
"""Under which name a placement keeps what is Personalizer's."""
WHY: Final = "set through Personalizer's API"
SUM_LIMIT: Final = 100.0
"""Rewards that are summed up count as this, at most."""
SHORTEST_WAIT_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 2 * 86_400.0
NAME: Final = "default"
ARGUMENTS: Final = "--cb_explore_adf --epsilon 0.2 --power_t 0 -l 0.001 --cb_type mtr -q ::"
"""The learning settings that a new loop had."""
EXPLORERS: Final = frozenset(
    (
        "--softmax",
        "--squarecb",
        "--regcb",
        "--regcbopt",
        "--synthcover",
        "--first",
        "--bag",
        "--cover",
        "--rnd",
    )
)
FORMATS: Final = frozenset(("--dsjson", "--json", "--quiet"))
"""Options of exported settings that say how a file is read, which there is none of."""
UNIFORM: Final[PolicySpec] = {"name": "uniform"}

Mode = Literal["Online", "Apprentice", "LoggingOnly"]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class LearningSettings(Struct, frozen=True):
    """A policy's name, as its owner calls it, and its arguments."""

    name: str
    arguments: str


class ServiceConfiguration(Struct, frozen=True, kw_only=True, rename="camel"):
    """Personalizer's configuration of one loop; durations are ISO 8601."""

    reward_wait_time: timedelta
    default_reward: Annotated[float, Meta(ge=-1.0, le=1.0)]
    reward_aggregation: Literal["earliest", "sum"]
    exploration_percentage: Share
    model_export_frequency: timedelta = timedelta(minutes=5)
    log_retention_days: Annotated[int, Meta(ge=-1)] = -1
    model_retrain_days: Annotated[int, Meta(ge=0)] = 0
    learning_mode: Mode = "Online"
    log_mirror_enabled: bool = False
    log_mirror_sas_uri: str | None = None
    is_auto_optimization_enabled: bool = False
    auto_optimization_frequency: timedelta | None = None
    auto_optimization_start_date: str | None = None
    is_inference_explainability_enabled: bool = False


DEFAULT: Final = ServiceConfiguration(
    reward_wait_time=timedelta(minutes=10),
    default_reward=0.0,
    reward_aggregation="earliest",
    exploration_percentage=0.2,
)
_UNTOLD: Final = frozenset(("log_mirror_sas_uri",))
"""What is a secret is taken and forgotten."""


class LoopAttributes(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a placement keeps for Personalizer's clients.

    `configuration` is as they sent it, of which the placement itself is the truth in all that it
    has too.
    """

    settings: LearningSettings = LearningSettings(NAME, ARGUMENTS)
    configuration: dict[str, Any] = {}
    edited_ms: int = 0


def new_placement(name: str, now_ms: int) -> Placement:
    """Returns a placement as a new loop of Personalizer was."""
    return placement_of(name, DEFAULT, LoopAttributes(edited_ms=now_ms))


def placement_of(
    name: str, wanted: ServiceConfiguration, kept: LoopAttributes, before: Placement | None = None
) -> Placement:
    """Returns the placement that this configuration and these learning settings describe.

    Of what it was `before` stays all that neither says anything about.

    Raises:
        PersonalizerError: `policy_spec_invalid`, or `reward_wait_time_invalid`.
    """
    wait_seconds = wanted.reward_wait_time.total_seconds()
    if not SHORTEST_WAIT_SECONDS <= wait_seconds <= LONGEST_WAIT_SECONDS:
        raise PersonalizerError(
            "InvalidRewardWaitTime",
            "reward_wait_time_invalid",
            f"rewardWaitTime is {wait_seconds:g} s; 5 seconds (PT5S) to 2 days (P2D)",
            target="rewardWaitTime",
        )
    before = before or Placement(name=name, reward=RewardRule(kinds={}, corrections=CORRECTIONS))
    reward = _rewards(before.reward, wanted, wait_seconds)
    try:
        learned = policy_of(kept.settings.arguments)
        policy = _in_mode(wanted.learning_mode, learned, wanted.exploration_percentage)
        real_time = isinstance(open_policy(policy), Correctable)
        learn: Literal["realtime", "window"] = "realtime" if real_time else "window"
        policy = check_policy(policy, learn, reward)
    except PolicySpecError as error:
        raise PersonalizerError(
            "InvalidPolicyConfiguration", error.code, str(error), target="arguments"
        ) from error
    secretless = msgspec.structs.replace(wanted, **dict.fromkeys(_UNTOLD))
    kept = msgspec.structs.replace(kept, configuration=msgspec.to_builtins(secretless))
    attributes = {**(before.attributes or {}), KEPT: msgspec.Raw(msgspec.json.encode(kept))}
    return msgspec.structs.replace(
        before, policy=policy, reward=reward, learn=learn, attributes=attributes, why=WHY
    )


def policy_of(arguments: str) -> PolicySpec:
    """Returns the policy that learning settings stand for: Vowpal Wabbit's, or one of ours.

    Exploring by epsilon is what `explorationPercentage` says, so `--epsilon` itself is 0 there.

    Raises:
        PolicySpecError: arguments that a policy may not have, or none of a policy.

    >>> policy_of("--cb_explore_adf --epsilon 0.2 -q ::")["args"]
    '--cb_explore_adf -q :: --epsilon 0'
    >>> policy_of("thompson:alpha=1,beta=9")
    {'name': 'thompson', 'alpha': 1, 'beta': 9}
    """
    if not arguments.lstrip().startswith("-"):
        return _ours(arguments)
    words = [word for word in arguments.split() if word not in FORMATS]
    split_options(" ".join(words))
    if not EXPLORERS.intersection(word.partition("=")[0] for word in words):
        words = [*_without_epsilon(words), "--epsilon", "0"]
    return {"name": "vw", "args": " ".join(words)}


def configuration_of(placement: Placement) -> ServiceConfiguration:
    """Returns the placement as Personalizer's configuration."""
    rule, kept = placement.reward, kept_of(placement)
    kind = rule.kinds.get(REWARD)
    mode, share = _mode_of(placement.policy, kept)
    known = {
        "rewardWaitTime": timedelta(seconds=rule.window_seconds),
        "defaultReward": rule.default,
        "rewardAggregation": "sum"
        if kind is not None and kind.aggregation == "sum"
        else "earliest",
        "explorationPercentage": share,
        "learningMode": mode,
    }
    return msgspec.convert({**kept.configuration, **known}, ServiceConfiguration)


def settings_of(placement: Placement) -> LearningSettings:
    """Returns the placement's learning settings: as they were set, or its policy's spec."""
    kept, beneath = kept_of(placement), _beneath(placement.policy)
    if _mode_of(placement.policy, kept)[0] == "LoggingOnly":
        return kept.settings
    try:
        if open_policy(policy_of(kept.settings.arguments)).spec == beneath:
            return kept.settings
    except PolicySpecError:
        # Of another copyloop, which knew other arguments; the policy itself is known.
        pass
    return LearningSettings(str(beneath["name"]), msgspec.json.encode(beneath).decode())


def kept_of(placement: Placement) -> LoopAttributes:
    """Returns what the placement keeps for Personalizer's clients."""
    found = (placement.attributes or {}).get(KEPT)
    return LoopAttributes() if found is None else msgspec.json.decode(found, type=LoopAttributes)


def view(configuration: ServiceConfiguration, edited_ms: int) -> bytes:
    """Returns the configuration as a client reads it."""
    found: dict[str, Any] = {
        name: iso_duration(value) if isinstance(value, timedelta) else value
        for name, value in msgspec.to_builtins(configuration, builtin_types=(timedelta,)).items()
        if value is not None
    }
    return msgspec.json.encode({**found, "lastConfigurationEditDate": iso_time(edited_ms)})


def iso_time(at_ms: int) -> str:
    """Returns the moment as ISO 8601, in UTC.

    >>> iso_time(1500)
    '1970-01-01T00:00:01.500Z'
    """
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_duration(duration: timedelta) -> str:
    """Returns the duration as ISO 8601 writes it, in the largest units.

    >>> iso_duration(timedelta(minutes=10)), iso_duration(timedelta(days=1, seconds=1.5))
    ('PT10M', 'P1DT1.5S')
    """
    minutes, seconds = divmod(duration.seconds + duration.microseconds / 1e6, 60)
    hours, minutes = divmod(int(minutes), 60)
    units = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    time = "".join(f"{amount:g}{unit}" for amount, unit in units if amount)
    days = f"{duration.days}D" if duration.days else ""
    if not days and not time:
        return "PT0S"
    return f"P{days}" + (f"T{time}" if time else "")


def _rewards(before: RewardRule, wanted: ServiceConfiguration, wait_seconds: float) -> RewardRule:
    aggregation: Literal["sum", "first"] = "sum" if wanted.reward_aggregation == "sum" else "first"
    known = before.kinds.get(REWARD)
    low, high = before.minimum, before.maximum
    if known is None or known.aggregation != aggregation:
        known = RewardKind(aggregation=aggregation)
        high = SUM_LIMIT if aggregation == "sum" else 1.0
        low = -high
    return msgspec.structs.replace(
        before,
        kinds={**before.kinds, REWARD: known},
        default=wanted.default_reward,
        window_seconds=wait_seconds,
        minimum=min(low, wanted.default_reward),
        maximum=max(high, wanted.default_reward),
    )


def _in_mode(mode: Mode, learned: PolicySpec, share: float) -> PolicySpec:
    if mode == "LoggingOnly":
        return {"name": "apprentice", "policy": UNIFORM}
    if share:
        learned = {"name": "floor", "epsilon": share, "policy": learned}
    return {"name": "apprentice", "policy": learned} if mode == "Apprentice" else learned


def _mode_of(policy: PolicySpec, kept: LoopAttributes) -> tuple[Mode, float]:
    mode: Mode = "Online"
    if policy["name"] == "apprentice":
        policy = _wrapped(policy)
        mode = "LoggingOnly" if policy == UNIFORM else "Apprentice"
    share = policy["epsilon"] if policy["name"] == "floor" else 0.0
    if mode == "LoggingOnly":
        share = kept.configuration.get("explorationPercentage", 0.0)
    return mode, msgspec.convert(share, float)


def _beneath(policy: PolicySpec) -> PolicySpec:
    """Returns the policy that learns, without what is around it."""
    while policy["name"] in ("apprentice", "floor"):
        policy = _wrapped(policy)
    return policy


def _wrapped(policy: PolicySpec) -> PolicySpec:
    return msgspec.convert(policy["policy"], dict[str, object])


def _ours(arguments: str) -> PolicySpec:
    if arguments.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(arguments, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise PolicySpecError(f"arguments {arguments!r}: {error}") from error
    if arguments.endswith(".json"):
        # Of a file's name, which is for a command line: no request reads the server's files.
        raise PolicySpecError(f"arguments are {arguments!r}; expected a policy, not a file")
    return parse_policy(arguments)


def _without_epsilon(words: list[str]) -> list[str]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--epsilon":
            next(rest, None)
        elif not word.startswith("--epsilon="):
            kept.append(word)
    return kept
