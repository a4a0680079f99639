"""YAML stands for what it says, and never for more than can be read."""

import pytest
import yaml

from generator.brief.schema import load_brief
from generator.errors import BriefError
from streams.errors import MappingError
from streams.ingest.mapping import read_mapping
from streams.yaml_text import YamlTooLarge, yaml_value


def aliased(levels):
    """Lines each of which stands for ten times the one before."""
    many = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels))
    return "\n".join(["a0: &a0 x", *many])


WRONG = {
    "many": aliased(9),
    "merged": aliased(9) + "\nb: {<<: {c: *a8}}",
    "keys": aliased(9).replace("a8: ", "? *a7\n: "),
    "itself": "a: &a [1, *a]",
    "deep": "a: " + "[" * 3000,
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_stands_for_too_much_is_refused_before_it_is_made(text, tmp_path):
    with pytest.raises(YamlTooLarge):
        yaml_value(text)
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(BriefError, match=r"file\.yaml"):
        load_brief(path)
    with pytest.raises(MappingError, match=r"file\.yaml"):
        read_mapping(path)


def test_aliases_stand_for_what_they_name():
    text = "base: &b {x: 1, y: [1, 2]}\nother: {<<: *b, y: 3}\n" + aliased(4)
    assert yaml_value(text) == yaml.safe_load(text)
    assert yaml_value("") is None
    assert yaml_value(b"a: \xc3\xa9") == {"a": "\u00e9"}
