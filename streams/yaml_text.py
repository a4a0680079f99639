"""YAML of other people's: read within bounds, whatever its aliases make of it.

An alias stands for all that its anchor holds, so a few lines can stand for more than any memory.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

MAX_NODES: Final = 100_000
"""The most values, keys and lists that a file may stand for, with each alias written out."""


class YamlTooLarge(yaml.MarkedYAMLError):
    """YAML that stands for too much, contains itself, or nests too deep."""


def yaml_tree(text: str) -> yaml.Node | None:
    """Returns YAML with its positions, None if there is nothing in it.

    Raises:
        yaml.YAMLError: it is not YAML.
        YamlTooLarge: likewise, of YAML that nobody should read.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if tree is not None:
            _count(tree, {}, set())
    except RecursionError as error:
        raise YamlTooLarge(problem="nests too deep") from error
    return tree


def yaml_value(text: str | bytes) -> Any:
    """Returns what YAML holds; see `yaml_tree` for what is refused."""
    text = text if isinstance(text, str) else text.decode()
    yaml_tree(text)
    return yaml.safe_load(text)


def _count(node: yaml.Node, known: dict[int, int], outer: set[int]) -> int:
    """Returns how many nodes a node stands for; each is looked at once, however often it is met."""
    place = id(node)
    if place in known:
        return known[place]
    if place in outer:
        raise YamlTooLarge(
            problem="an alias is within its own anchor", problem_mark=node.start_mark
        )
    outer.add(place)
    total = 1
    for inner in _inner(node):
        total += _count(inner, known, outer)
        if total > MAX_NODES:
            problem = f"its aliases stand for more than {MAX_NODES} values"
            raise YamlTooLarge(problem=problem, problem_mark=node.start_mark)
    outer.discard(place)
    known[place] = total
    return total


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
