"""One declaration of each resource: FastAPI takes, answers and documents msgspec's structs.

FastAPI works by pydantic, which gets a model that is made from a struct's fields: their types,
limits, defaults and descriptions. So what is documented is what is checked, and what is checked is
what the log holds.
"""

from __future__ import annotations

import json
from functools import cache, reduce
from inspect import cleandoc
from operator import or_
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    ForwardRef,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import fastapi
import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    GetCoreSchemaHandler,
    JsonValue,
    create_model,
)
from pydantic_core import CoreSchema, core_schema

from bandit.errors import RequestError
from bandit.service.requests import check_depth
from streams.events import MAX_ID_LENGTH

_T = TypeVar("_T")
_S = TypeVar("_S", bound=Struct)

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Text: TypeAlias = Annotated[str, Meta(max_length=10_000)]
JsonBody = Annotated[_T, fastapi.Body()]
"""A request's body that is a resource."""

_JSON: Final = (Raw, dict[str, object], dict[str, Any])
_EVENTS_OWN: Final = ("type", "v")
"""What tells events apart and what schema they are of; no resource has these."""
_LIMITS: Final = ("ge", "gt", "le", "lt", "min_length", "max_length", "description")


class Resource:
    """Mixin for the structs that routes take or answer.

    A misspelt field of a request is refused rather than left out, in nested structs too. A null
    counts as left out, except where the field's type has None beside `UnsetType`.

    Attributes:
        examples: bodies for the documentation.
    """

    __slots__ = ()
    examples: ClassVar[tuple[dict[str, Any], ...]] = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def taken(value: Any, check: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return value if isinstance(value, cls) else _struct(source, check(value))

        return core_schema.no_info_wrap_validator_function(
            taken,
            handler.generate_schema(model_of(source)),
            serialization=core_schema.plain_serializer_function_ser_schema(plain),
        )


class Page(Struct, Resource, Generic[_T], frozen=True):
    """Some of the items; `next` is the `after` of the page that follows, null on the last."""

    items: list[_T]
    next: str | None


def view_of(kind: type[_S], known: Any, /, **more: Any) -> _S:
    """Returns a struct with the fields of the same names, as far as they are set, and more."""
    fields = {name: getattr(known, name, UNSET) for name in kind.__struct_fields__} | more
    return kind(**{name: value for name, value in fields.items() if value is not UNSET})


def plain(value: Any) -> Any:
    """Returns what JSON has for a resource: defaults spelled out, null for what is unset.

    >>> from streams.events import RewardKind
    >>> plain(RewardKind(weight=2.0))
    {'weight': 2.0, 'aggregation': 'sum', 'window_seconds': None, 'cap': None}
    """
    match value:
        case Struct():
            names = (name for name in value.__struct_fields__ if name not in _EVENTS_OWN)
            return _tag(type(value)) | {name: plain(getattr(value, name)) for name in names}
        case Raw():
            return json.loads(bytes(value))
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
    return None if value is UNSET else value


@cache
def model_of(struct: Any) -> type[BaseModel]:
    """Returns the pydantic model of a struct, or of a generic one with its arguments."""
    kind = get_origin(struct) or struct
    fields: dict[str, Any] = {name: (Literal[tag], ...) for name, tag in _tag(kind).items()}
    for field in msgspec.structs.fields(struct):
        if field.name not in _EVENTS_OWN:
            fields[field.encode_name] = (_type(field.type, kind), _default(field))
    examples = list(vars(kind).get("examples", ()))
    return create_model(
        _name(struct),
        __config__=ConfigDict(
            extra="forbid",
            json_schema_extra={"examples": examples} if examples else None,
            # `plain` spells defaults out; a resource that omits them is encoded by its route.
            json_schema_serialization_defaults_required=not (
                issubclass(kind, Resource) and kind.__struct_config__.omit_defaults
            ),
        ),
        __doc__=cleandoc(kind.__doc__ or ""),
        __module__=kind.__module__,
        **fields,
    )


def _struct(source: Any, model: BaseModel) -> Any:
    """Returns the struct that a request's body is, once its model has let it through."""
    given = model.model_dump(exclude_unset=True, exclude_none=True)
    for name in _nullable(source) & model.model_fields_set:
        given.setdefault(name, None)
    try:
        return msgspec.json.decode(_json(given), type=source)
    except msgspec.ValidationError as error:  # a rule of the struct's over several fields
        what, _, where = str(error).partition(" - at `$.")
        raise RequestError(422, "body_invalid", what, target=where.rstrip("`") or None) from error


def parsed(kind: type[_S], value: Any) -> _S:
    """Returns the struct that a value is, checked as a request's body is.

    Raises:
        pydantic.ValidationError: it is none.
        RequestError: `body_invalid`: its fields contradict each other.
    """
    found: _S = _struct(kind, model_of(kind).model_validate(value))
    return found


@cache  # to look at the types takes longer than to decode a body
def _nullable(struct: Any) -> frozenset[str]:
    """Returns the fields in which a null is not the same as nothing."""
    found = []
    for field in msgspec.structs.fields(struct):
        kind = get_args(field.type)[0] if get_origin(field.type) is Annotated else field.type
        if {NoneType, UnsetType} <= {*get_args(kind)}:
            found.append(field.name)
    return frozenset(found)


def _tag(kind: type[Struct]) -> dict[str, str]:
    config = kind.__struct_config__
    if config.tag is None or config.tag_field in (None, *_EVENTS_OWN):
        return {}
    return {str(config.tag_field): str(config.tag)}


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return plain(field.default_factory())
    return ... if field.default is msgspec.NODEFAULT else plain(field.default)


def _type(kind: Any, owner: type[Struct]) -> Any:
    """Returns the type that pydantic checks in place of one of msgspec's."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return Annotated[(_type(arguments[0], owner), *map(_limits, arguments[1:]))]
    if kind in _JSON:
        return Annotated[dict[str, JsonValue], AfterValidator(_storable)]
    if kind is float:
        return FiniteFloat
    if kind is UnsetType:
        return None
    if kind is owner:  # a tree
        return ForwardRef(owner.__name__)
    if _is_struct(origin or kind):
        return model_of(kind)
    if origin in (Union, UnionType):
        structs = [_type(each, owner) for each in arguments if _is_struct(each)]
        others = [_type(each, owner) for each in arguments if not _is_struct(each)]
        if len(structs) > 1:
            told_by = Field(discriminator=arguments[0].__struct_config__.tag_field)
            structs = [Annotated[reduce(or_, structs), told_by]]
        return reduce(or_, structs + others)
    if origin in (list, tuple):  # a tuple is as long as it likes, as arrays are
        return list[_type(arguments[0], owner)]  # type: ignore[misc]
    if origin is dict:
        return dict[tuple(_type(each, owner) for each in arguments)]  # type: ignore[misc]
    return kind


def _limits(meta: Meta) -> Any:
    """Returns a field's limits, those included that hold for requests and not for the log."""
    found: dict[str, Any] = {name: getattr(meta, name) for name in _LIMITS}
    schema = meta.extra_json_schema or {}
    found |= {"min_length": schema.get("minLength", found["min_length"])}
    found |= {"max_length": schema.get("maxLength", found["max_length"]), **(meta.extra or {})}
    return Field(**{name: value for name, value in found.items() if value is not None})


def _name(struct: Any) -> str:
    arguments = ", ".join(each.__name__ for each in get_args(struct))
    return f"{struct.__name__}[{arguments}]" if arguments else str(struct.__name__)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    check_depth(_json(value))
    return value


def _json(value: Any) -> bytes:
    """Returns the value as the log keeps it; NaN and half a surrogate pair are a ValueError."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode()
