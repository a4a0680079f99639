"""Every policy by its name: made from a spec, from bytes, or from a word on the command line.

A policy's module is imported only when it is asked for, so that nobody waits for Vowpal Wabbit
who does not use it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final, Literal

import msgspec

from bandit.errors import LearnError, PolicySpecError
from bandit.policies.base import read_spec, unseal
from bandit.policy import Correctable, Policy
from streams.events import EMPTY, Action, Decision, PolicySpec, RewardRule

_PLACES: Final = {
    "uniform": "simple.Uniform",
    "epsilon_greedy": "simple.EpsilonGreedy",
    "thompson": "thompson.Thompson",
    "gaussian_thompson": "thompson.GaussianThompson",
    "top_two": "thompson.TopTwo",
    "discounted_thompson": "thompson.DiscountedThompson",
    "text_thompson": "text_thompson.TextThompson",
    "lin_ts": "linear.policies.LinTs",
    "lin_ucb": "linear.policies.LinUcb",
    "disjoint_lin_ts": "linear.policies.DisjointLinTs",
    "hybrid": "linear.hybrid.Hybrid",
    "adaptive": "adaptive.policy.Adaptive",
    "vw": "vw.policy.Vw",
    "floor": "wrappers.Floor",
    "apprentice": "wrappers.Apprentice",
    "newcomers": "wrappers.ColdStartCap",
    "guarded": "wrappers.Guarded",
}
"""The module and the class of each policy."""
POLICIES: Final = tuple(_PLACES)
DEFAULT: Final[PolicySpec] = {"name": "adaptive"}
"""What `default` stands for on the command line, and what a new placement has."""


def default_policy(reward: RewardRule) -> PolicySpec:
    """Returns the spec of the policy for a placement that names none, given what it rewards.

    >>> default_policy(RewardRule())
    {'name': 'adaptive'}
    >>> default_policy(RewardRule(minimum=-1.0))
    {'name': 'adaptive', 'signed': True}
    """
    return DEFAULT | ({"signed": True} if reward.minimum < 0.0 else {})


def open_policy(spec: PolicySpec) -> Policy:
    """Returns a policy that has learned nothing yet.

    Raises:
        PolicySpecError: no policy goes by that name, or a parameter is off.
    """
    return _open(spec, None)


def load_policy(data: bytes) -> Policy:
    """Returns the policy whose `to_bytes` are `data`.

    Raises:
        PolicyStateError: these are not the bytes of a policy, or damaged ones.
        PolicySpecError: they hold a policy or parameters that this copyloop does not know.
    """
    return _open(*unseal(data))


def check_policy(
    spec: PolicySpec, learn: Literal["window", "realtime"], reward: RewardRule | None = None
) -> PolicySpec:
    """Returns the spec in full if a placement that learns so, from such rewards, can use it.

    In full, since a default may change with a version of copyloop, and what was decided under
    the old one must still be derived with it.

    Raises:
        PolicySpecError: the policy cannot be made, cannot take back a reward, as learning in
            real time has to, or cannot learn from the lowest or the highest reward.
    """
    policy = open_policy(spec)
    if learn == "realtime" and not isinstance(policy, Correctable):
        raise PolicySpecError(
            f"policy {spec['name']!r} cannot correct a reward, so it cannot learn in real time; "
            "set learn to 'window', or take another policy"
        )
    if reward is not None:
        _check_rewards(policy, reward)
    return policy.spec


def parse_policy(text: str) -> PolicySpec:
    """Returns the spec that the text stands for, unchecked but for its form.

    The text is a name, or `name:parameter=value,...`, or the path of a file that holds the spec
    as JSON and ends in `.json`. The name may be `default`; after `vw:` come Vowpal Wabbit's own
    arguments, and the parameter `policy` of a policy that wraps another takes all that follows.

    Raises:
        PolicySpecError: it is not of that form, or there is no such file with a JSON object.

    >>> parse_policy("thompson:alpha=1.4,beta=90")
    {'name': 'thompson', 'alpha': 1.4, 'beta': 90}
    >>> parse_policy("floor:epsilon=0.1,policy=vw:--cb_explore_adf --softmax")["policy"]
    {'name': 'vw', 'args': '--cb_explore_adf --softmax'}
    """
    if text.endswith(".json"):
        path = Path(text)
        try:
            return msgspec.json.decode(path.read_bytes(), type=PolicySpec)
        except (OSError, msgspec.DecodeError) as error:
            raise PolicySpecError(
                f"policy {str(path)!r}: {error}; expected a file with a spec as one JSON object"
            ) from error
    name, _, rest = text.strip().partition(":")
    spec: PolicySpec = dict(DEFAULT) if name == "default" else {"name": name}
    if name == "vw" and rest:
        return spec | {"args": rest}
    while rest:
        parameter, separator, rest = rest.partition("=")
        if not parameter or not separator:
            raise PolicySpecError(
                f"policy {text!r}: {parameter!r} has no value; expected name:parameter=value,..."
            )
        if parameter == "policy":
            return spec | {"policy": parse_policy(rest)}
        value, _, rest = rest.partition(",")
        spec[parameter] = parse_value(value)
    return spec


def parse_value(text: str) -> object:
    """Returns the number or boolean that the text is in JSON, else the text."""
    try:
        value: object = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value


def _check_rewards(policy: Policy, rule: RewardRule) -> None:
    """Has the policy, which nobody else will use, learn from the rule's extremes."""
    decision = Decision(
        event_id="check",
        placement="check",
        timestamp_ms=0,
        context=EMPTY,
        actions=(Action("check"),),
        pmf=(1.0,),
        index=0,
        policy_version="check",
    )
    for reward in (rule.minimum, rule.maximum):
        try:
            policy.learn(decision, reward)
        except LearnError as error:
            raise PolicySpecError(f"policy {policy.spec['name']!r}: {error}") from error


def _open(spec: PolicySpec, state: bytes | None) -> Policy:
    name = spec.get("name")
    place = _PLACES.get(name) if isinstance(name, str) else None
    if place is None:
        raise PolicySpecError(f"name is {name!r}; expected one of: {', '.join(POLICIES)}")
    module, _, kind = place.rpartition(".")
    policy = getattr(import_module(f"bandit.policies.{module}"), kind)
    config = read_spec(spec, policy.Config)
    made: Policy
    if module != "wrappers":
        made = policy(config, state)
    elif state is None:
        made = policy(config, open_policy(config.policy))
    else:
        known, beneath = policy.split(state)
        made = policy(config, load_policy(beneath), known)
    return made
