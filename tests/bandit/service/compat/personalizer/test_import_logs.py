import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from bandit.commands.imports import app
from bandit.errors import ReaderError
from bandit.learning.imported import take_in
from bandit.policies import open_policy
from bandit.service.compat.personalizer.configuration import new_placement
from bandit.service.compat.personalizer.import_logs import look_through, read_logs
from bandit.verification import audit
from streams.catalogue.state import catalogue_message
from streams.events import INTERACTIONS, decode
from streams.fold import scan_topic
from streams.logs.opening import open_log
from streams.topics import create_topics
from tests.bandit.histories import folded
from tests.bandit.service.api_server import wait_until
from tests.running import copyloop_up

DATA = Path(__file__).parents[5].parent / "shared" / "data" / "dsjson"
ACTIONS = ("tea", "coffee", "juice")
STARTED = datetime(2024, 5, 1, 8, tzinfo=UTC)


def event(number):
    """Whoever comes in the morning wants coffee, all others tea; the log chose evenly."""
    morning, chosen = number % 2 == 0, number % 3
    wanted = "coffee" if morning else "tea"
    at = (STARTED + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    return {
        "_label_cost": -float(ACTIONS[chosen] == wanted),
        "_label_probability": 1 / 3,
        "_label_Action": chosen + 1,
        "EventId": f"e{number}",
        "Timestamp": at,
        "a": [chosen + 1, *(n + 1 for n in range(3) if n != chosen)],
        "p": [1 / 3] * 3,
        "c": {
            "FromUrl": [{"time": "morning" if morning else "evening"}],
            "_multi": [
                {"_tag": name, "i": {"id": name}, "j": [{"drink": name}]} for name in ACTIONS
            ],
        },
        "VWState": {"m": "theirs"},
    }


def write(path, numbers):
    path.write_text("".join(json.dumps(event(number)) + "\n" for number in numbers))
    return path


GOOD = "".join(json.dumps(event(number)) + "\n" for number in range(3))


def interactions(log):
    return list(scan_topic(log, INTERACTIONS))


def imported(log, *paths):
    return take_in(log, "default", read_logs(paths), progress=lambda n: None)


@pytest.fixture
def log(tmp_path):
    log = open_log(f"sqlite:///{tmp_path}/log.db")
    create_topics(log)
    log.append([catalogue_message(new_placement("default", 0))])
    yield log
    log.close()


def test_decisions_become_interactions_of_the_placement(log, tmp_path):
    assert imported(log, write(tmp_path / "a", range(7))) == (7, 0)
    found = [decode(record.value) for record in interactions(log)]
    assert [one.decision.event_id for one in found] == [f"e{n}" for n in range(7)]
    assert {(one.decision.placement, one.status) for one in found} == {("default", "closed")}
    assert [one.reward for one in found] == [-event(n)["_label_cost"] for n in range(7)]
    assert [action.id for action in found[0].decision.actions] == list(ACTIONS)


def test_taking_in_again_changes_nothing_and_what_is_new_is_added(log, tmp_path):
    imported(log, write(tmp_path / "a", range(600)))
    before = [record.value for record in interactions(log)]
    assert imported(log, tmp_path / "a") == (0, 600)
    assert imported(log, write(tmp_path / "b", range(500, 700))) == (100, 100)
    after = [record.value for record in interactions(log)]
    assert after[:600] == before
    assert [decode(value).sequence for value in after] == list(range(700))


def test_the_learner_folds_what_was_taken_in(log, tmp_path):
    imported(log, write(tmp_path / "a", range(300)))
    policy = open_policy(new_placement("default", 0).policy)
    for logged in read_logs([tmp_path / "a"]):
        policy.learn(logged.decision, logged.reward)
    assert folded(log).placements["default"].policy.to_bytes() == policy.to_bytes()


def test_an_audit_says_why_imported_decisions_are_not_checked(log, tmp_path):
    imported(log, write(tmp_path / "a", range(30)))
    report = audit(log)
    assert (report.mismatches, report.decisions, report.imported) == ((), 0, 30)
    assert report.summary() == (
        "0 decisions, 0 of 0 policy versions verified: there is nothing to check; 30 imported "
        "decisions of another system cannot be derived from this log"
    )


def test_lines_that_are_no_decisions_are_counted_and_events_that_come_again(tmp_path):
    line = json.dumps(event(1))
    text = f'{GOOD}{{"RewardValue": 1.0, "EventId": "lost"}}\n[checkpoint]\n{line}\n{line[:-9]}'
    (tmp_path / "a").write_text(text)
    contents = look_through([tmp_path / "a", tmp_path / "a"], new_placement("default", 0))
    assert (contents.events, contents.repeated) == (8, 5)
    assert {one.reason: one.count for one in contents.skipped} == {
        "reward_without_decision": 2,
        "not_an_event": 2,
        "cut_off": 2,
    }


def test_bad_lines_can_be_skipped(log, tmp_path):
    path = write(tmp_path / "a", range(5))
    path.write_text(f"{json.dumps(event(7) | {'p': [1.0]})}\n{{oops\n{path.read_text()}")
    with pytest.raises(ReaderError, match="a:1 is no event"):
        look_through([path], new_placement("default", 0))
    words = [str(path), "--data", str(tmp_path), "--on-bad-row", "skip"]
    done = CliRunner().invoke(app, [*words, "--format", "json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(one["reason"], one["count"]) for one in found["skipped"]] == [
        ("event_invalid", 1),
        ("not_json", 1),
    ]
    assert (found["new"], found["evaluation"]["n"]) == (5, 5)
    assert found["evaluation"]["skipped"] == found["skipped"]


def test_an_apprentices_rewards_are_what_was_earned(log, tmp_path):
    path = tmp_path / "a"
    lines = [
        event(n) | {"_label_cost": -float(n % 3 == 0), "_original_label_cost": -float(n == 4)}
        for n in range(6)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert imported(log, path) == (6, 0)
    found = [decode(record.value) for record in interactions(log)]
    assert [one.reward for one in found] == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    # the first action was shown, whatever the apprentice would have done
    assert {(one.decision.action.id, one.decision.pmf) for one in found} == {
        ("tea", (1.0, 0.0, 0.0))
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "{oops", "a:4 is no event"),
        (GOOD + json.dumps(event(1) | {"p": [1.0]}), "a:4 is no event"),
        ("[]", "no decision that counts; 1 row was skipped: not_an_event"),
        (json.dumps(event(1) | {"_label_cost": -7.0}), "rewards go from 7 to 7"),
        ("", "no decision that counts"),
    ],
)
def test_what_cannot_be_taken_in_is_refused_before_anything_is_written(tmp_path, text, words):
    (tmp_path / "a").write_text(f"{text}\n")
    with pytest.raises(ReaderError, match=words):
        look_through([tmp_path / "a"], new_placement("default", 0))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA} here")
def test_real_logs_of_one_slot_and_of_several_are_taken_in(log):
    paths = [DATA / "dsjson_cb.json", DATA / "ccb_data.json"]
    contents = look_through(paths, new_placement("default", 0))
    assert (contents.events, contents.lowest, contents.highest) == (89, 0.0, 1.0)
    assert imported(log, *paths) == (89, 0)
    assert imported(log, *paths) == (0, 89)
    assert folded(log).placements["default"].offset == 89


def run_import(folder, *words):
    command = [sys.executable, "-m", "bandit", "import", "personalizer-logs", *words]
    return subprocess.run(
        [*command, "--data", str(folder)], capture_output=True, text=True, check=False
    )


def test_a_placement_starts_from_the_logs(tmp_path):
    """By the command, and then asked over HTTP as Personalizer's clients ask."""
    done = run_import(tmp_path, str(write(tmp_path / "a.dsjson", range(900))), "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["new"], found["known"]) == (900, 0)
    values = {
        one["policy"]: next(e for e in one["estimates"] if e["estimator"] == "snips")
        for one in found["evaluation"]["policies"]
    }
    assert set(values) == {"logged", "placement", "first action", "uniform"}
    assert values["logged"]["value"] == pytest.approx(1 / 3, abs=0.01)
    assert values["placement"]["interval"]["low"] > values["logged"]["interval"]["high"]

    with copyloop_up(tmp_path, "--no-generator") as url, httpx.Client(base_url=url) as client:
        wait_until(lambda: best(client, "morning") == "coffee")
        wait_until(lambda: best(client, "evening") == "tea")


def best(client, time):
    body = {
        "contextFeatures": [{"time": time}],
        "actions": [{"id": name, "features": [{"drink": name}]} for name in ACTIONS],
    }
    answer = client.post("/personalizer/v1.0/rank", json=body).raise_for_status()
    return max(answer.json()["ranking"], key=lambda one: one["probability"])["id"]
