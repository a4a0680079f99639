"""A placement's versions: which there were, what they earned, and what going back restores."""

import msgspec
import pytest
from typer.testing import CliRunner

from bandit.commands.policy import app
from bandit.errors import PolicySpecError, VersionError
from bandit.learning.fold import PlacementFold, interactions_of
from bandit.learning.trials import Plan
from bandit.learning.versions import (
    counted,
    differences,
    rollback,
    version,
    versions_of,
    with_policy,
)
from bandit.policies import open_policy
from streams.catalogue.writer import CatalogueWriter
from streams.events import INTERACTIONS, POLICIES, encode
from streams.logs.base import Message, TopicPartition
from streams.logs.sqlite import SqliteLog
from tests.bandit.histories import (
    NOW_MS,
    data_folder,
    decision,
    interaction,
    interaction_message,
    live,
    new_log,
    placement,
    put,
)
from tests.bandit.learning.test_worker import learning, published, undisturbed
from tests.bandit.service.api_server import wait_until as until

SHY = open_policy({"name": "thompson", "alpha": 2.0}).spec
BOLD = open_policy({"name": "thompson", "alpha": 1.0}).spec
HOME = placement(policy=SHY)


def history(*policies, why=msgspec.UNSET):
    """A history in which the policy changes every 100 ms."""
    return [
        (NOW_MS + 100 * n, placement(policy=policy, why=why)) for n, policy in enumerate(policies)
    ]


def test_a_version_begins_where_the_policy_changes_and_only_there():
    found = versions_of([*history(SHY, SHY, BOLD, SHY), (NOW_MS + 999, placement(policy=SHY))])
    assert [(v.number, v.spec, v.since_ms - NOW_MS) for v in found] == [
        (1, SHY, 0),
        (2, BOLD, 200),
        (3, SHY, 300),
    ]
    assert versions_of(history(SHY, why="by hand"))[0].why == "by hand"


def test_decisions_and_rewards_count_to_the_version_of_their_time():
    log, policy = new_log(placement(), placement("else"), partitions=2), open_policy(SHY)

    def say(event_id, at_ms, sequence, reward, name="home", **fields):
        made = decision(event_id, policy, "v", placement=name)
        made = msgspec.structs.replace(made, timestamp_ms=NOW_MS + at_ms)
        log.append([interaction_message(interaction(made, sequence, reward, **fields))])

    say("early", -5, 0, 1.0)
    say("first", 99, 1, 0.0, status="provisional")
    say("second", 100, 2, 1.0)
    say("first", 99, 3, 0.5, status="corrected", previous=0.0)
    say("second", 100, 2, 1.0)
    say("other", 100, 4, 1.0, name="else")
    found = counted(log, "home", versions_of(history(SHY, BOLD, SHY)))
    assert [(v.decisions, v.reward) for v in found] == [(2, 1.5), (1, 1.0), (0, 0.0)]


def test_without_a_number_it_is_the_one_before():
    versions = versions_of(history(SHY, BOLD, SHY))
    assert version(versions, None).number == 2
    assert version(versions, 1).number == 1
    for number in (0, 4):
        with pytest.raises(VersionError, match=f"version is {number}; expected 1 to 3"):
            version(versions, number)
    with pytest.raises(VersionError, match="no way back"):
        version(versions[:1], None)


def test_differences_are_by_parameter_however_deep():
    floor = {"name": "floor", "epsilon": 0.1, "policy": SHY}
    found = differences(floor, {"name": "floor", "epsilon": 0.2, "policy": BOLD})
    assert [(d.parameter, d.before, d.after) for d in found] == [
        ("epsilon", 0.1, 0.2),
        ("policy.alpha", 2.0, 1.0),
    ]
    assert differences(floor, floor) == []


def test_a_policy_that_cannot_learn_from_the_rewards_is_not_promoted():
    with pytest.raises(PolicySpecError, match="cannot correct a reward"):
        with_policy(HOME, {"name": "vw"}, "to see")


def test_rolling_back_serves_what_the_old_policy_would_be_now_bit_for_bit(tmp_path):
    log = new_log(HOME)
    with learning(log, tmp_path):
        live(log, HOME, 30, seed=1)
        until(lambda: published(log) == undisturbed(log))
        before = published(log)
        put(log, with_policy(HOME, BOLD, "to see"))
        until(lambda: published(log).spec == BOLD)
        live(log, placement(policy=BOLD), 10, seed=2, first=30)
        catalogue = CatalogueWriter(log).catalogue
        put(log, *rollback(catalogue, "home", None))
        until(lambda: published(log).spec == SHY and published(log).offset == 40)
    records = log.read(TopicPartition(INTERACTIONS, 0), 0)
    fold = PlacementFold(SHY)
    for record in records:
        fold.take_all(interactions_of(record), record.offset)
        if record.offset == 29:
            assert fold.snapshot("home", 0).version == before.version
    assert published(log) == fold.snapshot("home", 0)


@pytest.fixture
def data(tmp_path):
    return data_folder(tmp_path, HOME)


def run(data, *words):
    return CliRunner().invoke(app, [*words, "--data", str(data)])


def listed(data):
    return msgspec.json.decode(run(data, "list", "home", "--format", "json").output)["versions"]


def test_by_hand_promote_list_diff_and_go_back(data):
    done = run(data, "promote", "home", "--policy", "thompson:alpha=1", "--why", "bolder")
    assert done.exit_code == 0, done.output
    assert (
        "nothing was changed" in run(data, "promote", "home", "--policy", "thompson:alpha=1").output
    )
    found = listed(data)
    assert [v["why"] for v in found] == [None, "bolder"]
    assert found[1]["spec"] == BOLD
    compared = run(data, "diff", "home", "--format", "json")
    assert msgspec.json.decode(compared.output) == [
        {"parameter": "alpha", "version 1": "2.0", "version 2": "1.0"}
    ]
    assert run(data, "rollback", "home").exit_code == 0
    assert [v["spec"] for v in listed(data)] == [SHY, BOLD, SHY]
    assert listed(data)[-1]["why"] == "rolled back to version 1"
    assert "bolder" in run(data, "list", "home").output


def test_a_placement_that_is_not_there_is_named(data):
    done = run(data, "list", "elsewhere")
    assert isinstance(done.exception, VersionError)
    assert "'elsewhere'; the log has: home" in str(done.exception)


def test_how_challengers_do_is_listed_beside_the_versions(data):
    fold = PlacementFold(SHY, plan=Plan({"bold": BOLD}, None, 0, 0.0, 1.0))
    fold.take(interaction(decision("e", open_policy(SHY), "v"), 0, 1.0), 0)
    log = SqliteLog(data / "log.db")
    log.append([Message(POLICIES, b"home", encode(fold.snapshot("home", 0)))])
    log.close()
    told = msgspec.json.decode(run(data, "list", "home", "--format", "json").output)["trials"]
    assert {name: (trial["n"], trial["value"]) for name, trial in told.items()} == {
        "champion": (1, 1.0),
        "bold": (1, 1.0),
    }
    assert "bold" in run(data, "list", "home").output


def test_a_challenger_is_promoted_by_hand(data):
    data_folder(data, msgspec.structs.replace(HOME, challengers={"bold": BOLD}))
    assert run(data, "promote", "home", "bold").exit_code == 0
    assert listed(data)[-1]["spec"] == BOLD
    assert run(data, "promote", "home").exit_code == 2
    assert run(data, "promote", "home", "bold", "--policy", "uniform").exit_code == 2


def test_a_challenger_that_refused_every_context_is_not_promoted_by_hand(data):
    """It reads an array of flags as no feature, which the champion never looks at."""
    reads = open_policy({"name": "lin_ts"}).spec
    data_folder(data, msgspec.structs.replace(HOME, challengers={"reads": reads}))
    fold = PlacementFold(SHY, plan=Plan({"reads": reads}, None, 0, 0.0, 1.0))
    seen = decision("e", open_policy(SHY), "v", context={"flags": [True]})
    fold.take(interaction(seen, 0, 1.0), 0)
    log = SqliteLog(data / "log.db")
    log.append([Message(POLICIES, b"home", encode(fold.snapshot("home", 0)))])
    log.close()
    refused = run(data, "promote", "home", "reads")
    assert isinstance(refused.exception, PolicySpecError)
    assert "challenger 'reads' refused 1 of 1 decisions" in str(refused.exception)
    assert listed(data)[-1]["spec"] == SHY
