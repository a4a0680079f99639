"""Policies by name: what opens, what loads, and in which words the rest is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.errors import PolicyError, PolicySpecError, PolicyStateError
from bandit.policies import POLICIES, check_policy, load_policy, open_policy, parse_policy
from bandit.policies.base import seal, unseal
from streams.events import EMPTY, Action, RewardRule
from tests.bandit.policy_laws import Step

MINIMAL = {name: {"name": name} for name in POLICIES} | {
    wrapper: {"name": wrapper, "policy": {"name": "uniform"}}
    for wrapper in ("floor", "apprentice", "newcomers", "guarded")
}


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_opens_with_its_defaults_and_spells_them_out(name):
    policy = open_policy(MINIMAL[name])
    assert policy.spec["name"] == name
    assert MINIMAL[name].items() <= policy.spec.items()
    assert policy.pmf(EMPTY, [Action("a")]).tolist() == [1.0]


@pytest.mark.parametrize("name", POLICIES)
def test_a_parameter_that_there_is_not_is_refused_with_those_that_there_are(name):
    with pytest.raises(PolicySpecError, match=f"policy '{name}': .*`gama`; its parameters: "):
        open_policy(MINIMAL[name] | {"gama": 1})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "name is None; expected one of: uniform, "),
        ({"name": "thomson"}, "name is 'thomson'; expected one of: uniform, epsilon_greedy, "),
        ({"name": ["vw"]}, r"name is \['vw'\]; expected one of"),
        ({"name": "thompson", "alpha": 0}, "'thompson': alpha is 0; expected `float` >= 0.01"),
        ({"name": "thompson", "beta": "90"}, "beta is '90'; expected `float`, got `str`"),
        ({"name": "thompson", "beta": float("inf")}, "beta is inf; expected `float` <= "),
        ({"name": "thompson", "beta": None}, "beta is None; expected `float`, got `null`"),
        ({"name": "gaussian_thompson", "noise": 0.0}, "noise is 0.0; expected `float` > 0"),
        ({"name": "epsilon_greedy", "epsilon": 1.5}, "epsilon is 1.5; expected `float` <= 1"),
        ({"name": "floor", "epsilon": -0.1, "policy": {}}, "epsilon is -0.1; expected `float`"),
        ({"name": "floor"}, "'floor': object missing required field `policy`"),
        ({"name": "floor", "policy": "uniform"}, "policy is 'uniform'; expected `object`"),
        ({"name": "floor", "policy": {"name": "x"}}, "name is 'x'"),
        ({"name": "lin_ts", "dimensions": 64.5}, "dimensions is 64.5; expected `int`"),
        ({"name": "lin_ts", "dimensions": 4096}, "dimensions is 4096; expected `int` <= 1024"),
        ({"name": "lin_ts", "seed": -1}, "seed is -1; expected `int` >= 0"),
        ({"name": "vw", "args": 7}, "args is 7; expected `str`"),
    ],
)
def test_a_spec_that_is_off_is_refused_by_what_was_seen_and_what_is_expected(spec, message):
    with pytest.raises(PolicySpecError, match=message) as caught:
        open_policy(spec)
    assert caught.value.code == "policy_spec_invalid"


@pytest.mark.parametrize("name", [*POLICIES, "uniform"])
def test_what_can_be_corrected_may_learn_in_real_time_and_anything_in_windows(name):
    check_policy(MINIMAL[name], "window")
    if name == "vw":
        with pytest.raises(PolicySpecError, match=r"'vw' cannot correct a reward.*'window'"):
            check_policy(MINIMAL[name], "realtime")
    else:
        check_policy(MINIMAL[name], "realtime")


def test_checking_refuses_what_cannot_be_opened():
    with pytest.raises(PolicySpecError, match="alpha is -1"):
        check_policy({"name": "thompson", "alpha": -1}, "window")


@pytest.mark.parametrize("name", ["thompson", "gaussian_thompson", "vw"])
@pytest.mark.parametrize(("minimum", "maximum"), [(0.0, 1.0), (0.0, 5.0), (-1.0, 1.0)])
def test_rewards_that_a_policy_could_not_learn_from_are_refused_beforehand(name, minimum, maximum):
    rule = RewardRule(minimum=minimum, maximum=maximum)
    if name == "thompson" and (minimum, maximum) != (0.0, 1.0):
        with pytest.raises(PolicySpecError, match=r"'thompson': reward .*, expected 0 to 1; set"):
            check_policy(MINIMAL[name], "window", rule)
    else:
        check_policy(MINIMAL[name], "window", rule)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("uniform", {"name": "uniform"}),
        (" thompson ", {"name": "thompson"}),
        ("thompson:", {"name": "thompson"}),
        ("thompson:alpha=1.4,beta=90", {"name": "thompson", "alpha": 1.4, "beta": 90}),
        ("default", {"name": "text_thompson"}),
        ("default:width=1", {"name": "text_thompson", "width": 1}),
        ("floor:policy=default", {"name": "floor", "policy": {"name": "text_thompson"}}),
        ("vw", {"name": "vw"}),
        (
            "vw:--cb_explore_adf -q ui --hash=all, x",
            {"name": "vw", "args": "--cb_explore_adf -q ui --hash=all, x"},
        ),
        (
            "floor:epsilon=0.1,policy=floor:epsilon=1,policy=vw:--cb_explore_adf -q a,b",
            {
                "name": "floor",
                "epsilon": 0.1,
                "policy": {
                    "name": "floor",
                    "epsilon": 1,
                    "policy": {"name": "vw", "args": "--cb_explore_adf -q a,b"},
                },
            },
        ),
        ("other:word=some,flag=true", {"name": "other", "word": "some", "flag": True}),
    ],
)
def test_a_word_on_the_command_line_stands_for_a_spec(text, spec):
    assert parse_policy(text) == spec


def test_a_spec_may_be_in_a_file(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"name": "thompson", "alpha": 2}')
    assert parse_policy(str(path)) == {"name": "thompson", "alpha": 2}
    path.write_text("thompson")
    with pytest.raises(PolicySpecError, match=r"policy.json.*expected a file with a spec as one"):
        parse_policy(str(path))
    with pytest.raises(PolicySpecError, match=r"absent.json.*No such file"):
        parse_policy(str(tmp_path / "absent.json"))


@pytest.mark.parametrize("text", ["thompson:alpha", "thompson:=1", "thompson:alpha=1,beta"])
def test_a_parameter_without_a_value_is_refused(text):
    with pytest.raises(PolicySpecError, match="has no value; expected name:parameter=value"):
        parse_policy(text)


@given(text=st.text(max_size=30))
def test_any_other_text_is_a_spec_or_refused(text):
    try:
        spec = parse_policy(text)
    except PolicySpecError:
        return
    with pytest.raises(PolicySpecError):
        open_policy(spec | {"name": f"no {spec['name']}"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    name=st.sampled_from(["uniform", "thompson", "gaussian_thompson", "epsilon_greedy", "floor"]),
    parameters=st.dictionaries(
        st.sampled_from(["alpha", "beta", "epsilon", "policy", "mean", "sd", "x"]), json_values
    ),
)
def test_any_json_makes_a_policy_that_works_or_is_refused(name, parameters):
    try:
        policy = open_policy({"name": name, **parameters})
    except PolicySpecError:
        return
    step = Step(0, [0, 1, 2], 1, 1.0)
    policy.learn(step.decision(), 1.0)
    pmf = policy.pmf(EMPTY, step.decision().actions)
    assert pmf.sum() == pytest.approx(1.0)
    assert (pmf >= 0).all()


def test_bytes_do_not_depend_on_the_order_of_the_spec():
    one = open_policy({"name": "thompson", "alpha": 2, "beta": 5})
    other = open_policy({"beta": 5.0, "alpha": 2.0, "name": "thompson"})
    assert one.to_bytes() == other.to_bytes()


def test_what_is_sealed_is_unsealed():
    spec = json.loads('{"name": "x", "b": [1, null], "a": {"d": 1.5, "c": "é"}}')
    assert unseal(seal(spec, b"\x00state")) == (spec, b"\x00state")


@given(data=st.binary(max_size=60))
def test_bytes_of_anything_else_are_refused(data):
    with pytest.raises(PolicyStateError):
        load_policy(data)


@given(state=st.binary(min_size=1, max_size=40), name=st.sampled_from(POLICIES))
def test_a_sound_envelope_around_another_state_is_refused(state, name):
    with pytest.raises(PolicyError):
        load_policy(seal(MINIMAL[name], state))
