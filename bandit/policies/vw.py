"""Vowpal Wabbit as a policy: contextual exploration with its explorers and learners.

All that is known of the binding is in here: its lines of text, its labelled costs, how a model is
saved and restored without a trace, and which of its options a policy may set.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import ClassVar, Final, Literal, NamedTuple, TypeAlias, cast

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

# The public wrapper checks every example anew, at twice the cost; the version is pinned.
from vowpal_wabbit_next import _core

from bandit.errors import PolicyError, PolicySpecError, PolicyStateError
from bandit.features.flatten import Feature, flatten, top_level, vw_text
from bandit.features.measure import count_values
from bandit.policies.base import CACHE_SIZE, Configured, PolicyConfig, check_reward
from bandit.policy import Pmf
from streams.events import Action, Context, Decision, PolicySpec

REBASE_EVERY: Final = 32
SMALLEST_PROPENSITY: Final = 1e-6
"""A rarer action is learned from as if it had been this likely: costs, in 32 bits, are divided
by it."""

Example: TypeAlias = _core.Example


class VwConfig(PolicyConfig, frozen=True, kw_only=True, tag="vw"):
    """`args` are Vowpal Wabbit's own (`split_options`); they must make it explore.

    With `namespaces` "by_key", which is what args of your own get, what is at the top of a context
    is in the namespace `context`, of an action in `action`, and what is nested in the namespace of
    its top-level key. With "by_role", a context is in `c` and a creative's features in `a`, however
    they are nested: the default crosses these, whatever a placement's contexts are like. A
    creative's id is in `id`, unless `ids` is false. Interactions name namespaces by their first
    letter: `-q ui` crosses `user` and `id`.

    By itself a context says nothing of which action is the best, so the default leaves its
    features alone (`--ignore_linear c`). Names are hashed also where they are numbers, unless
    `args` say otherwise; policies in older logs have no `namespaces`, and there `7` and `007` are
    one feature.
    """

    added: ClassVar[Mapping[str, object]] = {"namespaces": "by_key"}

    args: str = (
        "--cb_explore_adf --squarecb --cb_type mtr -q ci -q ca --ignore_linear c -l 0.5 "
        "--gamma_scale 20"
    )
    ids: bool = True
    namespaces: Literal["by_key", "by_role"] | UnsetType = UNSET

    @classmethod
    def completed(cls, spec: PolicySpec) -> PolicySpec:
        """Returns the spec with namespaces: those that its args are about."""
        if "args" not in spec:
            spec = {"namespaces": "by_role", **spec}
        return super().completed(spec)


class Line(NamedTuple):
    """One line of Vowpal Wabbit's text format, and what it is parsed to."""

    text: str
    example: Example


class _Saved(NamedTuple):
    """A saved model, and what was learned since: the lines of each example."""

    model: bytes
    journal: list[list[str]]


_decoder = msgspec.msgpack.Decoder(_Saved)


class VwModel:
    """A model that chooses among the actions of a multi-line example.

    A model that predicted is no longer, byte for byte, the one that learned, so one workspace
    learns and another, taught the same, predicts.

    Where a loaded model goes on otherwise than the saved one (`is_forgetful`), it is saved and
    loaded after every 32 examples, by everyone, and the examples since are part of the state:
    what is restored is then always what would have been there anyway.

    Args:
        args: Vowpal Wabbit's own.
        state: what `to_bytes` gave.
        hash_all: hash names that are numbers, too, unless `args` say how to hash; otherwise a
            number is an index, and so another number's as well.
    """

    def __init__(self, args: str, state: bytes | None = None, *, hash_all: bool = False) -> None:
        words = split_options(args)
        self._args = args
        self._forgetful = is_forgetful(words)
        if hash_all and all(option != "--hash" for option, _ in _options(words)):
            words += ["--hash", "all"]
        # Without the second, a loaded model has lost its counters, and its bytes differ.
        self._words = ["--quiet", "--preserve_performance_counters", *words]
        self._parser = self._workspace(None)
        try:
            known = None if state is None else _decoder.decode(state)
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of a vw policy: {error}") from error
        self._saved = known or _Saved(self._parser.serialize(), [])
        # For whichever is wanted first: most processes only predict, or only learn.
        self._spare: _core.Workspace | None = self._restored()
        self._learner: _core.Workspace | None = None
        self._predictor: _core.Workspace | None = None

    def parse(self, text: str) -> Line:
        """Returns the line; it may be used in any number of examples."""
        # By a workspace of its own: parsing, too, moves a model's counters.
        return Line(text, _core._parse_line_text(self._parser, text))

    def predict(self, lines: list[Line]) -> list[tuple[int, float]]:
        """Returns position and probability of each action, as 32 bits have it."""
        if self._predictor is None:
            self._predictor = self._take_spare()
        found = self._predictor.predict_multi_ex_one([line.example for line in lines])
        return cast(list[tuple[int, float]], found)

    def learn(self, lines: list[Line]) -> None:
        """Learns the example, one line of which is labelled."""
        learner = self._learner = self._learner or self._take_spare()
        examples = [line.example for line in lines]
        learner.learn_multi_ex_one(examples)
        if self._predictor is not None:
            self._predictor.learn_multi_ex_one(examples)
        if self._forgetful:
            self._saved.journal.append([line.text for line in lines])
            if len(self._saved.journal) == REBASE_EVERY:
                # It goes on from the model as it is once saved and loaded.
                self._saved = _Saved(learner.serialize(), [])
                self._learner = self._restored()
                self._predictor = None

    def to_bytes(self) -> bytes:
        """Returns the model, and the examples since it was last saved where they are needed."""
        if self._learner is None or self._forgetful:
            return msgspec.msgpack.encode(self._saved)
        return msgspec.msgpack.encode(_Saved(self._learner.serialize(), []))

    def _take_spare(self) -> _core.Workspace:
        taken = self._spare
        self._spare = None
        if taken is not None:
            return taken
        if self._learner is not None and not self._forgetful:
            return self._workspace(self._learner.serialize())
        return self._restored()

    def _restored(self) -> _core.Workspace:
        workspace = self._workspace(self._saved.model)
        for texts in self._saved.journal:
            workspace.learn_multi_ex_one([self.parse(text).example for text in texts])
        return workspace

    def _workspace(self, model: bytes | None) -> _core.Workspace:
        try:
            workspace = _core.Workspace(self._words, model_data=model)
        except (RuntimeError, ValueError) as error:
            raise PolicySpecError(f"policy 'vw': args {self._args!r}: {error}") from error
        if workspace.get_prediction_type() != _core.PredictionType.ActionProbs:
            raise PolicySpecError(
                "policy 'vw': args do not make it explore among actions; add --cb_explore_adf"
            )
        return workspace


class Vw(Configured[VwConfig]):
    """Plays as one of Vowpal Wabbit's explorers says; a cost is a reward's negative.

    >>> from streams.events import EMPTY
    >>> policy = Vw(VwConfig(args="--cb_explore_adf --softmax -b 8"))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = VwConfig

    def __init__(self, config: VwConfig, state: bytes | None = None) -> None:
        super().__init__(config)
        self._by_role = config.namespaces == "by_role"
        self._model = VwModel(config.args, state, hash_all=config.namespaces is not UNSET)
        self._prepared: dict[tuple[str, bytes], Line] = {}
        self._interactions = interactions_of(split_options(config.args))

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns what the explorer says of each action, shape (n_actions,).

        Raises:
            FeatureError: the context or an action has features that cannot be read.
            PolicyError: the model answers no pmf, since what it learned has no bounds.
        """
        lines, order = self._lines(context, actions)
        pmf = np.zeros(len(actions))
        for position, propensity in self._model.predict(lines):
            pmf[order[position]] = propensity
        total = pmf.sum()
        if not (np.isfinite(total) and total > 0.0 and pmf.min() >= 0.0):
            raise PolicyError(
                f"vw answers {pmf[:5].tolist()}, which is no pmf; lower the learning rate (-l)"
            )
        # In 32 bits the sum is 1 only roughly, and --regcbopt says 1 of each action in a tie.
        pmf /= total
        return pmf

    def learn(self, decision: Decision, reward: float) -> None:
        """Has the model learn the cost of the chosen action at its propensity."""
        cost = -check_reward(reward)
        propensity = min(max(decision.propensity, SMALLEST_PROPENSITY), 1.0)
        lines, order = self._lines(decision.context, decision.actions)
        chosen = order.index(decision.index) + 1
        lines[chosen] = self._model.parse(f"0:{cost:.9g}:{propensity:.9g} {lines[chosen].text}")
        self._model.learn(lines)

    def steps(self, context: Context, actions: Sequence[Action]) -> int:
        """Returns how many steps an answer takes, at most: a product of features is one.

        Raises:
            FeatureError: the context or an action is no JSON object.
        """
        shared, total = self._counted(context, "context"), 0
        for action in actions:
            counts = shared + self._counted(action.features, "action") + Counter("i")
            counts[ANY_NAMESPACE] = counts.total()
            total += FEATURE_STEPS * counts[ANY_NAMESPACE]
            total += sum(prod(counts[letter] for letter in each) for each in self._interactions)
        return total

    def _counted(self, features: Context, namespace: str) -> Counter[str]:
        counts = count_by_letter(features, namespace)
        return Counter({namespace[0]: counts.total()}) if self._by_role else counts

    def _state(self) -> bytes:
        return self._model.to_bytes()

    def _lines(self, context: Context, actions: Sequence[Action]) -> tuple[list[Line], list[int]]:
        """Returns the shared line and each action's, by id, and which action each of those is."""
        keys = [(action.id, bytes(action.features)) for action in actions]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        shared = vw_text(self._placed(flatten(context, namespace="context"), "c"))
        lines = [self._model.parse(f"shared {shared or '|'}")]
        for place, i in enumerate(order):
            line = self._prepared.get(keys[i]) or self._prepare(actions[i], keys[i])
            if place and keys[i] == keys[order[place - 1]]:
                # One multi-line example cannot hold the same parsed line twice.
                line = self._model.parse(line.text)
            lines.append(line)
        return lines, order

    def _placed(self, features: list[Feature], role: str) -> list[Feature]:
        """Returns the features in the namespaces that the policy has."""
        if not self._by_role:
            return features
        return [Feature(role, f"{namespace} {name}", value) for namespace, name, value in features]

    def _prepare(self, action: Action, key: tuple[str, bytes]) -> Line:
        """Returns the action's line, and keeps it for the next time."""
        features = self._placed(flatten(action.features, namespace="action"), "a")
        if self._config.ids:
            features.insert(0, Feature("id", action.id, 1.0))
        line = self._model.parse(vw_text(features) or "|")
        if len(self._prepared) >= CACHE_SIZE:
            self._prepared.clear()
        self._prepared[key] = line
        return line


ANY_NAMESPACE: Final = ":"
FEATURE_STEPS: Final = 8
"""A feature is copied into each action's example, which takes longer than to multiply two."""
_CROSSING: Final = frozenset(["-q", "--quadratic", "--cubic", "--interactions"])


def interactions_of(words: list[str]) -> list[str]:
    """Returns the interactions among options: by first letter, the namespaces that each crosses.

    >>> interactions_of(["--cb_explore_adf", "-q", "::", "--cubic=uic"])
    ['::', 'uic']
    """
    return [value for option, value in _options(words) if option in _CROSSING]


def count_by_letter(features: Context, namespace: str) -> Counter[str]:
    """Returns how many features there are, at most, by the first letter of their namespace.

    Raises:
        FeatureError: not an object.

    >>> context = msgspec.Raw(b'{"hour": 1, "user": {"a": [2, 3]}, "device": "phone"}')
    >>> sorted(count_by_letter(context, "context").items())
    [('c', 2), ('u', 4)]
    """
    counts: Counter[str] = Counter()
    for key, value in top_level(features).items():
        nested = memoryview(value)[0] in b"{["
        counts[(key if nested else namespace)[:1]] += count_values(bytes(value)) if nested else 1
    return counts


MAX_ARGS: Final = 4096
MAXIMA: Final = {"-b": 24, "--bit_precision": 24, "--bag": 32, "--cover": 32, "--rnd": 32}
"""What multiplies the memory that a model takes."""


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FLAGS: Final = _listed(
    "--cb_explore_adf --softmax --squarecb --regcb --regcbopt --synthcover --first_only "
    "--greedify --nounif --noconstant --sgd --adaptive --normalized --coin --ftrl --pistol"
)
_VALUED: Final = _listed(
    "--epsilon --first --lambda --gamma_scale --gamma_exponent --mellowness --cb_min_cost "
    "--cb_max_cost --synthcoverpsi --bag --cover --psi --rnd --rnd_alpha --rnd_invlambda --cb_type "
    "--clip_p -q --quadratic --cubic --interactions --ignore_linear -b --bit_precision -l "
    "--learning_rate --power_t --initial_t --decay_learning_rate --l1 --l2 --loss_function "
    "--quantile_tau --link --hash --ftrl_alpha --ftrl_beta -C --constant"
)
_FORGETFUL: Final = frozenset(["--bag", "--cover", "--rnd"])


def split_options(args: str) -> list[str]:
    """Returns the arguments one by one.

    To split them takes longer the more there are by far, so they have a limit.

    Options that are not listed here read and write files, open ports, lose what was learned when
    a model is saved (`--sparse_weights`, `--freegrad`, `--automl`), or answer what is no pmf
    (`--elim`). Specs come over the network, so what is not known to be sound is refused.

    Raises:
        PolicySpecError: an option that a policy may not set, one without its value or with too
            large a one, a stray word, or more than 4,096 characters.
    """
    if len(args) > MAX_ARGS:
        raise PolicySpecError(f"policy 'vw': args has {len(args)} characters; at most {MAX_ARGS}")
    try:
        words = shlex.split(args)
    except ValueError as error:
        raise PolicySpecError(f"policy 'vw': args {args!r} cannot be split: {error}") from error
    for option, value in _options(words):
        most = MAXIMA.get(option)
        if most is not None and not (value.isdecimal() and 1 <= int(value) <= most):
            raise PolicySpecError(f"policy 'vw': {option} is {value!r}; expected 1 to {most}")
    return words


def is_forgetful(words: list[str]) -> bool:
    """Returns whether a saved model goes on otherwise than the one that was saved.

    Bags, covers and RND draw random numbers whose state is not in the model, and the doubly
    robust estimator keeps a regressor of its own.
    """
    return any(
        option in _FORGETFUL or (option, value) == ("--cb_type", "dr")
        for option, value in _options(words)
    )


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yields each option with its value, an empty one for a flag."""
    rest = iter(words)
    for word in rest:
        option, separator, value = word.partition("=")
        if option in _FLAGS and not separator:
            yield option, ""
        elif option in _VALUED:
            value = value if separator else next(rest, "")
            if not value:
                raise PolicySpecError(f"policy 'vw': {option} has no value")
            yield option, value
        else:
            known = ", ".join(sorted(_FLAGS | _VALUED))
            raise PolicySpecError(f"policy 'vw': args has {word!r}; expected one of: {known}")
