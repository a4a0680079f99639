"""Which column of a table plays which part; nothing is guessed from names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bandit.errors import ReaderError

PLAIN: Final = ("reward", "propensity", "action", "event_id", "timestamp_ms", "actions", "pmf")
PREFIXES: Final = ("context.", "action.", "available.", "pmf.", "target.", "target_pmf.")


class Roles(NamedTuple):
    """The columns by the part that they play.

    Attributes:
        plain: of the roles that one column plays.
        context: of the context's features, by their names.
        features: of the chosen action's features, by their names.
        available: of whether an action could be chosen, by the action.
        pmf: of the logged pmf, by the action.
        targets: of what other policies give the chosen action, by the policy.
        target_pmfs: of other policies' pmfs, by the policy: one column, or one by the action.
    """

    plain: dict[str, str]
    context: dict[str, str]
    features: dict[str, str]
    available: dict[str, str]
    pmf: dict[str, str]
    targets: dict[str, str]
    target_pmfs: dict[str, str | dict[str, str]]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns whose cells are names."""
        return tuple(self.plain[role] for role in ("action", "event_id") if role in self.plain)

    @property
    def wide(self) -> bool:
        """Whether columns say more of a row's choice than what was chosen."""
        return self.told or bool(self.target_pmfs)

    @property
    def whole(self) -> bool:
        """Whether columns hold the log's whole pmf."""
        return "pmf" in self.plain or bool(self.pmf)

    @property
    def told(self) -> bool:
        """Whether columns say which actions could be chosen."""
        return self.whole or "actions" in self.plain or bool(self.available)

    def columns(self) -> list[str]:
        """Returns all columns, each once."""
        named = [self.plain, self.context, self.features, self.available, self.pmf, self.targets]
        found = [column for columns in named for column in columns.values()]
        for given in self.target_pmfs.values():
            found += [given] if isinstance(given, str) else given.values()
        return list(dict.fromkeys(found))


def table_roles(columns: Mapping[str, str], *, propensities: bool = True) -> Roles:
    """Returns which column plays which part.

    Args:
        columns: from a role to the column that plays it.
        propensities: whether there are propensities; if not, none are asked for, and columns of
            them play no part.

    Raises:
        ReaderError: a role that does not exist, or one that is missing.
    """
    known = ", ".join((*PLAIN, *(prefix + "NAME" for prefix in PREFIXES)))
    for role in columns:
        if role not in PLAIN and not (role.startswith(PREFIXES) and role.partition(".")[2]):
            raise ReaderError(f"column role {role!r} does not exist; expected one of: {known}")

    if not propensities:
        columns = {
            role: column
            for role, column in columns.items()
            if role not in ("propensity", "pmf") and not role.startswith("pmf.")
        }

    def named(prefix: str) -> dict[str, str]:
        return {r.removeprefix(prefix): c for r, c in columns.items() if r.startswith(prefix)}

    target_pmfs: dict[str, str | dict[str, str]] = {}
    for name, column in named("target_pmf.").items():
        policy, dot, action = name.partition(".")
        if not dot:
            target_pmfs[policy] = column
            continue
        of_policy = target_pmfs.setdefault(policy, {})
        if isinstance(of_policy, str):
            raise ReaderError(f"target_pmf.{policy} is one column, or one an action; not both")
        of_policy[action] = column
    plain = {role: column for role, column in columns.items() if role in PLAIN}
    roles = Roles(
        plain=plain,
        context=named("context."),
        features=named("action."),
        available=named("available."),
        pmf=named("pmf."),
        targets=named("target."),
        target_pmfs=target_pmfs,
    )
    _check(roles, propensities)
    return roles


def _check(roles: Roles, propensities: bool) -> None:
    plain = roles.plain
    if "reward" not in plain:
        raise ReaderError("no column is named for reward; give reward=COLUMN")
    if propensities and "propensity" not in plain and not roles.whole:
        raise ReaderError(
            "no column is named for propensity, the probability with which the action was chosen; "
            "give propensity=COLUMN, or, if nobody wrote them down, --propensities estimate"
        )
    if not propensities and "action" not in plain:
        raise ReaderError("no column is named for action; propensities are estimated from actions")
    if (roles.wide or roles.features) and "action" not in plain:
        raise ReaderError("columns tell of actions, but none which was chosen; give action=COLUMN")
    for one, other, what in (
        ("pmf" in plain, bool(roles.pmf), "pmf"),
        ("actions" in plain, bool(roles.available), "actions and available"),
    ):
        if one and other:
            raise ReaderError(f"{what}: give one column of lists, or one an action; not both")


def expand(columns: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Returns the roles with each `*` replaced by what it stands for among a table's columns.

    >>> expand({"pmf.*": "p_*"}, ["p_red", "p_blue", "reward"])
    {'pmf.red': 'p_red', 'pmf.blue': 'p_blue'}

    Raises:
        ReaderError: a role with `*` whose column has not one, or that no column fits.
    """
    found: dict[str, str] = {}
    for role, column in columns.items():
        if not role.endswith("*") or column in names:
            found[role] = column
            continue
        before, star, after = column.partition("*")
        fits = [re.fullmatch(f"{re.escape(before)}(.+){re.escape(after)}", n) for n in names]
        stands_for = [match[1] for match in fits if match]
        if not star or not stands_for:
            raise ReaderError(f"no column of the table fits {role}={column}; it has one '*'")
        found |= {role[:-1] + text: before + text + after for text in stands_for}
    return found
