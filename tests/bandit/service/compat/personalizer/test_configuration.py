from datetime import timedelta

import msgspec
import pytest

from bandit.policies import open_policy
from bandit.service.compat.personalizer.configuration import (
    ARGUMENTS,
    DEFAULT,
    KEPT,
    NAME,
    LearningSettings,
    LoopAttributes,
    ServiceConfiguration,
    configuration_of,
    kept_of,
    new_placement,
    placement_of,
    policy_of,
    settings_of,
)
from bandit.service.compat.personalizer.wire import PersonalizerError
from streams.events import CORRECTIONS, Placement, RewardKind, RewardRule, decode, encode


def configured(**changes):
    return msgspec.structs.replace(DEFAULT, **changes)


def test_a_new_placement_is_as_a_new_loop_was():
    placement = new_placement("shop", 5)
    assert configuration_of(placement) == DEFAULT
    assert settings_of(placement) == LearningSettings(NAME, ARGUMENTS)
    assert placement.reward == RewardRule(
        kinds={"reward": RewardKind(aggregation="first")}, minimum=-1.0, corrections=CORRECTIONS
    )
    assert placement.policy["name"] == "floor"
    assert placement.policy["epsilon"] == 0.2
    assert placement.learn == "window"


@pytest.mark.parametrize("mode", ["Online", "Apprentice", "LoggingOnly"])
@pytest.mark.parametrize("aggregation", ["earliest", "sum"])
@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
def test_a_configuration_comes_back_from_its_placement(mode, aggregation, share):
    wanted = configured(
        learning_mode=mode,
        reward_aggregation=aggregation,
        exploration_percentage=share,
        default_reward=-0.5,
        reward_wait_time=timedelta(hours=1),
        log_retention_days=30,
        auto_optimization_frequency=timedelta(days=7),
    )
    placement = decode(encode(placement_of("shop", wanted, LoopAttributes())))
    assert configuration_of(placement) == wanted
    assert settings_of(placement) == LearningSettings(NAME, ARGUMENTS)
    again = placement_of("shop", configuration_of(placement), kept_of(placement), placement)
    assert again == placement


def test_logging_only_learns_nothing_and_apprentice_does():
    def beneath(mode):
        return placement_of("shop", configured(learning_mode=mode), LoopAttributes()).policy[
            "policy"
        ]

    assert beneath("LoggingOnly") == {"name": "uniform"}
    assert beneath("Apprentice")["policy"]["name"] == "vw"


def test_a_secret_address_is_not_kept():
    wanted = configured(log_mirror_sas_uri="https://store.example/?sig=secret")
    placement = placement_of("shop", wanted, LoopAttributes())
    assert b"secret" not in encode(placement)


@pytest.mark.parametrize("seconds", [4, 2 * 86_400 + 1])
def test_a_wait_that_is_too_short_or_too_long_is_refused(seconds):
    with pytest.raises(PersonalizerError) as refused:
        placement_of(
            "shop", configured(reward_wait_time=timedelta(seconds=seconds)), LoopAttributes()
        )
    assert refused.value.known_code == "InvalidRewardWaitTime"


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        (ARGUMENTS, "--cb_explore_adf --power_t 0 -l 0.001 --cb_type mtr -q :: --epsilon 0"),
        ("--cb_explore_adf --epsilon=0.3 --dsjson --quiet", "--cb_explore_adf --epsilon 0"),
        ("--cb_explore_adf --squarecb", "--cb_explore_adf --squarecb"),
        ("--cb_explore_adf --bag 4 --epsilon 0.1", "--cb_explore_adf --bag 4 --epsilon 0.1"),
    ],
)
def test_vowpal_wabbits_arguments_explore_as_the_configuration_says(arguments, args):
    spec = policy_of(arguments)
    assert spec == {"name": "vw", "args": args}
    assert open_policy(spec).spec["args"] == args


@pytest.mark.parametrize(
    "arguments",
    ["--cb_explore_adf -f /tmp/x", "--cb_explore_adf --epsilon", "nobody", "/etc/passwd.json", "{"],
)
def test_settings_of_no_policy_are_refused(arguments):
    kept = LoopAttributes(settings=LearningSettings("mine", arguments))
    with pytest.raises(PersonalizerError) as refused:
        placement_of("shop", DEFAULT, kept)
    assert refused.value.known_code == "InvalidPolicyConfiguration"


def test_a_policy_of_ours_learns_in_real_time():
    kept = LoopAttributes(settings=LearningSettings("counts", "gaussian_thompson"))
    placement = placement_of("shop", DEFAULT, kept)
    assert placement.learn == "realtime"
    assert settings_of(placement) == kept.settings


def test_a_placement_made_otherwise_is_told_in_personalizers_words():
    native = Placement(name="home", policy=open_policy({"name": "thompson"}).spec)
    configuration, settings = configuration_of(native), settings_of(native)
    assert configuration.exploration_percentage == 0.0
    assert (settings.name, settings.arguments[:1]) == ("thompson", "{")
    # Written back, it is the same but for what is kept with it.
    again = placement_of("home", configuration, LoopAttributes(settings=settings), native)
    assert (again.policy, again.reward, again.learn) == (
        native.policy,
        native.reward,
        native.learn,
    )
    assert set(again.attributes) == {KEPT}


def test_other_kinds_of_reward_stay():
    native = Placement(name="home")
    wanted = msgspec.structs.replace(configuration_of(native), reward_aggregation="earliest")
    kept = LoopAttributes(settings=LearningSettings("counts", "gaussian_thompson"))
    rule = placement_of("home", wanted, kept, native).reward
    assert rule.kinds["click"] == native.reward.kinds["click"]
    assert (rule.kinds["reward"].aggregation, rule.minimum, rule.maximum) == ("first", -1.0, 1.0)


def test_a_configuration_is_read_as_clients_write_it():
    text = (
        '{"rewardWaitTime":"PT10M","defaultReward":0,"rewardAggregation":"earliest",'
        '"explorationPercentage":0.2,"modelExportFrequency":"PT5M","logRetentionDays":-1,'
        '"unknown":[1]}'
    )
    assert msgspec.json.decode(text, type=ServiceConfiguration) == DEFAULT
