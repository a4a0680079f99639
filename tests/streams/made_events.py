"""Events of every type, as Hypothesis makes them up."""

from hypothesis import strategies as st
from msgspec import UNSET, Raw
from msgspec import inspect as types
from msgspec.json import encode
from msgspec.structs import fields

from streams.events import (
    FIRST_VERSION,
    LONGEST_WINDOW_SECONDS,
    SHORTLIST_VERSION,
    Action,
    Decision,
    RewardKind,
    RewardRule,
    Slate,
    SlateInteraction,
    SlateReward,
    SlateSlot,
)
from streams.events.creatives import Lineage
from streams.events.placement import Rotation, Safety, Shortlisted
from streams.events.slates import runs_of
from streams.schema import EVENTS

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = words.filter(bool)
slots = st.integers(0, 2**16 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
# No 1.0: an integer to JSON Schema, but not to us.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just(0.5) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(words, json_values, max_size=2)
raw_objects = objects.map(lambda value: Raw(encode(value)))
seconds = st.floats(0.001, LONGEST_WINDOW_SECONDS)


def made(cls, *, without=(), **given):
    """Returns what makes structs of a class: each field by its type, unless given or left out."""
    defaults = {field.name: field.default for field in fields(cls)}
    found = {}
    for field in types.type_info(cls).fields:
        if field.name not in {"v", *without, *given}:
            values = of_type(field.type)
            unset = defaults[field.name] is UNSET
            found[field.name] = st.just(UNSET) | values if unset else values
    return st.builds(cls, **found, **given)


def of_type(kind):
    """Returns what makes values of a type, within the bounds that its annotation states."""
    match kind:
        case types.Metadata(type=inner, extra_json_schema=extra):
            return ids if (extra or {}).get("minLength") else of_type(inner)
        case types.UnionType(types=options):
            return st.one_of(*map(of_type, options))
        case types.LiteralType(values=values):
            return st.sampled_from(values)
        case types.NoneType():
            return st.none()
        case types.BoolType():
            return st.booleans()
        case types.IntType(ge=low, lt=end, le=high):
            return st.integers(low or 0, high or (end or 2**53) - 1)
        case types.FloatType(ge=low, gt=above, le=high):
            bounds = {"exclude_min": above is not None, "allow_nan": False, "allow_infinity": False}
            return st.floats(low if above is None else above, high, **bounds)
        case types.StrType(min_length=shortest):
            return ids if shortest else words
        case types.BytesType():
            return st.binary(max_size=9)
        case types.RawType():
            return raw_objects
        case types.VarTupleType(item_type=item):
            return st.lists(of_type(item), max_size=2).map(tuple)
        case types.DictType(value_type=value):
            return st.dictionaries(words, of_type(value), max_size=2)
        case types.CustomType():
            return json_values
        case types.StructType(cls=cls):
            return BOUND[cls] if cls in BOUND else made(cls)
    raise NotImplementedError(kind)


shortlists = st.just(UNSET) | made(Shortlisted)


@st.composite
def decisions(draw):
    actions = draw(st.lists(made(Action), min_size=1, max_size=4))
    index = draw(st.integers(0, len(actions) - 1))
    pmf = [0.0] * len(actions)
    pmf[index] += 0.5
    pmf[draw(st.integers(0, len(actions) - 1))] += 0.5
    shortlist = draw(shortlists)
    exact = {
        "actions": tuple(actions),
        "pmf": tuple(pmf),
        "index": index,
        "shortlist": shortlist,
        "v": SHORTLIST_VERSION if shortlist else FIRST_VERSION,
    }
    given = {name: st.just(value) for name, value in exact.items()}
    return draw(made(Decision, without=("fallback", "lid"), **given))


@st.composite
def slates(draw):
    """As many actions as slots or more; each slot takes one that is left at random."""
    actions = draw(st.lists(made(Action), min_size=2, max_size=5))
    numbers = draw(st.lists(slots, min_size=1, max_size=len(actions), unique=True))
    shortlist = draw(shortlists)
    chosen = [
        SlateSlot(
            slot=number,
            pmf=runs_of([1.0 / left] * left),
            index=draw(st.integers(0, left - 1)),
            features=draw(st.just(UNSET) | raw_objects),
            first=draw(st.none() | st.integers(0, len(actions) - 1)),
            inclusion=draw(st.floats(0.1, 1.0)) if shortlist else UNSET,
        )
        for number, left in zip(numbers, range(len(actions), 0, -1), strict=False)
    ]
    given = {"actions": tuple(actions), "slots": tuple(chosen), "shortlist": shortlist}
    exact = {name: st.just(value) for name, value in given.items()}
    context = st.dictionaries(words, json_values, max_size=2).filter(lambda c: "slot" not in c)
    return draw(
        made(Slate, without=("lid",), context=context.map(lambda c: Raw(encode(c))), **exact)
    )


@st.composite
def slate_interactions(draw):
    slate = draw(slates())
    rewards = [draw(made(SlateReward, slot=st.just(each.slot))) for each in slate.slots]
    return draw(made(SlateInteraction, decision=st.just(slate), slots=st.just(tuple(rewards))))


kinds = made(RewardKind, window_seconds=st.none() | seconds)
rules = made(
    RewardRule,
    without=("objective",),
    kinds=st.dictionaries(words, kinds, max_size=2),
    default=st.just(0.5),
    window_seconds=seconds,
    grace_seconds=seconds,
    minimum=st.floats(-1, 0),
    maximum=st.floats(1, 2),
)
BOUND = {
    Decision: decisions(),
    Slate: slates(),
    SlateInteraction: slate_interactions(),
    Lineage: made(Lineage, without=("parts",)),
    RewardRule: rules,
    Rotation: made(Rotation, brief=raw_objects),
    Safety: made(Safety, without=("fall_back",)),
}
"""What keeps to more than the types say; of lineages, only those of a whole text."""
MADE = {event.__name__: BOUND[event] if event in BOUND else made(event) for event in EVENTS}
