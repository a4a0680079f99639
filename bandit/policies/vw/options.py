"""Which of Vowpal Wabbit's options a policy may set, and what its options say of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from bandit.errors import PolicySpecError

_CROSSING: Final = frozenset(["-q", "--quadratic", "--cubic", "--interactions"])


def interactions_of(words: list[str]) -> list[str]:
    """Returns the interactions among options: by first letter, the namespaces that each crosses.

    >>> interactions_of(["--cb_explore_adf", "-q", "::", "--cubic=uic"])
    ['::', 'uic']
    """
    return [value for option, value in listed_options(words) if option in _CROSSING]


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
    for option, value in listed_options(words):
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
        for option, value in listed_options(words)
    )


def listed_options(words: list[str]) -> Iterator[tuple[str, str]]:
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
