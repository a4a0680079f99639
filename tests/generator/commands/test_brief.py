import json

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from generator.brief.channels import load_channel
from generator.commands.brief import TEMPLATES, app, brief_schema, template_names
from generator.errors import BriefError

run = CliRunner().invoke


@pytest.mark.parametrize("name", template_names())
def test_every_template_is_a_good_brief_that_tells_what_it_is_for(tmp_path, name):
    file = tmp_path / "brief.yaml"
    assert run(app, ["new", str(file), "--template", name]).exit_code == 0
    assert file.read_text().startswith("# ")
    checked = run(app, ["check", str(file)])
    assert checked.exit_code == 0
    assert checked.stdout.startswith(f"{file}: good; ")


def test_the_usual_cases_have_templates():
    usual = {"brand", "product", "promotion", "search", "social", "item", "push", "email"}
    assert set(template_names()) == usual


def test_a_template_is_printed_where_no_file_is_given():
    done = run(app, ["new", "--template", "push"])
    assert done.stdout == (TEMPLATES / "push.yaml").read_text()


def test_a_file_that_is_there_is_left_alone(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    done = run(app, ["new", str(file)])
    assert isinstance(done.exception, BriefError)
    assert "cannot be written" in str(done.exception)
    assert file.read_text() == "mine"


def test_an_unknown_template_is_named_with_those_that_there_are():
    done = run(app, ["new", "--template", "radio"])
    assert "'radio' is unknown; expected one of brand, email" in str(done.exception)


def test_each_bad_brief_is_told_and_the_good_ones_too(tmp_path):
    texts = {"a": "product: tea\n", "b": "produkt: tea\n", "c": "product: tea\nfacts: [7]\n"}
    files = []
    for name, text in texts.items():
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(text)
    done = run(app, ["check", *map(str, files)])
    assert f"{files[0]}: good" in done.stdout
    assert str(done.exception).splitlines() == [
        f"{files[1]}:1: produkt: there is no such field",
        f"{files[2]}:2: facts[0]: Expected `str`, got `int`",
    ]


@pytest.mark.parametrize("name", template_names())
def test_the_templates_keep_to_the_printed_schema(name):
    schema = json.loads(run(app, ["schema"]).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text()), schema)


@pytest.mark.parametrize(
    "brief",
    [
        {"version": 1, "product": "tea"},
        {"version": 2, "product": ""},
        {"version": 2, "product": "tea", "environment": {"channel": "tv"}},
        {"version": 2, "product": "tea", "language": "tlh"},
        {"version": 2, "product": "tea", "tone": "warm"},
    ],
)
def test_the_schema_refuses_what_reading_refuses(brief):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(brief, brief_schema())


def test_a_brief_that_generate_would_refuse_is_refused_and_slips_are_told(tmp_path):
    file = tmp_path / "brief.yaml"
    file.write_text("product: tea\nenvironment: {channel: banner}\n")
    done = run(app, ["check", str(file)])
    assert str(done.exception) == f"{file}: brand: is missing; a Banner ad shows it".replace(
        "Banner ad", load_channel("banner").title
    )
    file.write_text("product: shoes\nfacts: [Rated 4.8 by 2,300 runners]\n")
    done = run(app, ["check", str(file)])
    assert done.exit_code == 0
    assert '  facts: 2: "Rated 4.8 by 2", "300 runners"' in done.stdout.splitlines()
    assert f"{file}: warning: facts: " in done.stderr
