"""Structs as FastAPI takes, answers and documents them."""

from __future__ import annotations

from typing import Annotated

import pytest
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from pydantic import TypeAdapter, ValidationError

from bandit.errors import RequestError
from bandit.service.resource import Page, Resource, model_of, plain, view_of
from streams.events import Lineage, RewardKind, RewardRule
from streams.events.fields import doc
from streams.events.placement import Caps, Safety, ValuePerImpression


class Body(Struct, Resource, frozen=True, kw_only=True):
    """What is sent."""

    examples = ({"name": "a"},)

    name: Annotated[str, Meta(min_length=1, extra={"max_length": 3})]
    caps: Annotated[Caps | UnsetType, doc("How often.")] = UNSET
    kept: Caps | UnsetType | None = UNSET
    rule: RewardRule = RewardRule()
    safety: Safety | UnsetType = UNSET
    features: Raw = Raw(b"{}")
    lineage: Lineage = Lineage()


TAKEN = TypeAdapter(Body)


def test_a_body_becomes_the_struct():
    rule = {"objective": {"name": "value_per_impression", "most": 2}, "kinds": {"buy": {}}}
    features = {"x": [1, None, "é"]}
    body = TAKEN.validate_python({"name": "a", "rule": rule, "features": features})
    assert body.rule.objective == ValuePerImpression(most=2.0)
    assert body.rule.kinds == {"buy": RewardKind()}
    assert bytes(body.features) == '{"x":[1,null,"é"]}'.encode()
    again = TAKEN.validate_python(plain(body))
    assert plain(again) == plain(body)


def test_a_null_is_told_from_what_is_left_out_only_where_the_struct_does():
    body = TAKEN.validate_python({"name": "a", "caps": None, "kept": None})
    assert (body.caps, body.kept) == (UNSET, None)
    assert TAKEN.validate_python({"name": "a"}).kept is UNSET


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ("name",)),
        ({"name": ""}, ("name",)),
        ({"name": "long"}, ("name",)),
        ({"name": "a", "other": 1}, ("other",)),
        ({"name": "a", "caps": {"total": 0}}, ("caps", "total")),
        ({"name": "a", "caps": {"totals": 1}}, ("caps", "totals")),
        ({"name": "a", "rule": {"default": float("nan")}}, ("rule", "default")),
        ({"name": "a", "rule": {"objective": {"name": "fame"}}}, ("rule", "objective")),
        ({"name": "a", "features": []}, ("features",)),
        (
            {"name": "a", "lineage": {"parts": {"p": {"seed": "x"}}}},
            ("lineage", "parts", "p", "seed"),
        ),
    ],
)
def test_a_body_that_is_off_is_refused_where_it_is(body, where):
    with pytest.raises(ValidationError) as refused:
        TAKEN.validate_python(body)
    assert refused.value.errors()[0]["loc"] == where


def test_a_rule_over_several_fields_is_refused_at_the_struct_that_has_it():
    with pytest.raises(RequestError, match="without a baseline") as refused:
        TAKEN.validate_python({"name": "a", "safety": {"fall_back": True}})
    assert (refused.value.code, refused.value.target) == ("body_invalid", "safety")


def test_the_document_has_the_limits_the_descriptions_and_the_examples():
    schema = model_of(Body).model_json_schema()
    assert (schema["description"], schema["examples"]) == ("What is sent.", [{"name": "a"}])
    assert schema["properties"]["name"] | {"title": ""} == {
        "title": "",
        "type": "string",
        "minLength": 1,
        "maxLength": 3,
    }
    assert schema["properties"]["caps"]["description"] == "How often."
    assert schema["required"] == ["name"]
    answered = TypeAdapter(Page[Body]).json_schema(mode="serialization")
    assert set(answered["$defs"]["Body"]["required"]) == set(Body.__struct_fields__)


def test_a_view_has_what_the_thing_has_that_is_set_and_more():
    view = view_of(Body, TrialOf(caps=Caps(total=3)), name="b")
    assert (view.name, view.caps, view.safety) == ("b", Caps(total=3), UNSET)


class TrialOf(Struct):
    caps: Caps
    safety: Safety | UnsetType = UNSET
    other: int = 1
