"""The laws of every change of the catalogue, over the command line and over HTTP.

- A change that somebody else made in between is never overwritten.
- An act says who made each change, and one that came too late is taken back.
- The same request twice counts once.
"""

import itertools
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from bandit.errors import BanditError
from bandit.policies import open_policy
from generator.commands.main import app
from generator.errors import GeneratorError
from streams.catalogue.audit_log import latest_acts
from streams.catalogue.state import CatalogueReader, catalogue_message
from streams.errors import StreamsError
from streams.events import Caps, Creative, Generation, Lineage, Placement, RewardRule
from streams.events.creatives import GeneratorVersion
from streams.logs.sqlite import SqliteLog
from streams.process import run_command
from streams.topics import create_topics
from tests.bandit.decisions import a_creative
from tests.bandit.service.api_server import code_of, running
from tests.bandit.service.compat.personalizer.test_import_logs import write
from tests.crossed_log import CrossedLog

SHY, BOLD = (open_policy({"name": "thompson", "alpha": alpha}).spec for alpha in (2.0, 1.0))
HOME = Placement(name="home", policy=SHY, challengers={"bold": BOLD})


WORLD = (
    replace(HOME, policy=open_policy({"name": "uniform"}).spec),
    HOME,
    a_creative("a", status="screened"),
    a_creative("c", lineage=Lineage(model="m", adapter="v2")),
    Generation(
        id="g", placement="home", brief=b"{}", n=3, seed=1, status="done", timestamp_ms=1
    ),
    GeneratorVersion(id="v1", status="retired", timestamp_ms=1),
    GeneratorVersion(id="v2", status="live", timestamp_ms=2, parent="v1", replaces="v1"),
    GeneratorVersion(id="v3", status="candidate", timestamp_ms=3, parent="v2"),
)  # fmt: skip


class Change(NamedTuple):
    """One change of the catalogue, as a command and as a request, where it is both."""

    of: str
    command: tuple[str, ...] = ()
    request: tuple[str, str, object] | None = None
    relative: bool = False
    """True if it means another thing when made again, such as a second rollback."""
    keyed: bool = True
    """True if it takes an `Idempotency-Key`."""
    overwrites: bool = False
    """True if it replaces the whole thing where no condition is given."""
    conditional: bool = True
    """True if it takes `If-Match`, which Personalizer's protocol has not."""

    @property
    def target(self):
        """What the audit log calls it."""
        return self.of.partition("/")[2]


POLICY, REVIEW = "/v1/placements/home/policy", "/v1/placements/home/creatives/a/review"
CHANGES = {
    "promote a policy": Change(
        "placement/home",
        ("policy", "promote", "home", "--policy", "thompson:alpha=3"),
        ("POST", f"{POLICY}/promote", {"policy": {"name": "thompson", "alpha": 3.0}}),
    ),
    "promote a challenger": Change(
        "placement/home",
        ("policy", "promote", "home", "bold"),
        ("POST", f"{POLICY}/promote", {"challenger": "bold"}),
        relative=True,
    ),
    "roll a policy back": Change(
        "placement/home",
        ("policy", "rollback", "home", "--to", "1"),
        ("POST", f"{POLICY}/rollback", {"version": 1}),
    ),
    "approve a creative": Change(
        "creative/home/a",
        ("creatives", "approve", "home", "a"),
        ("POST", REVIEW, {"verdict": "approve"}),
    ),
    "reject a creative": Change(
        "creative/home/a",
        ("creatives", "reject", "home", "a", "--reason", "tone: loud"),
        ("POST", REVIEW, {"verdict": "reject", "reason": "tone: loud"}),
    ),
    "promote a version": Change(
        "generator_version/v3",
        ("generator", "promote", "v3"),
        ("POST", "/v1/generator/versions/v3/promote", {}),
    ),
    "reject a version": Change(
        "generator_version/v3",
        ("generator", "reject", "v3"),
        ("POST", "/v1/generator/versions/v3/reject", {}),
    ),
    "roll a version back": Change(
        "generator_version/v2",
        ("generator", "rollback"),
        ("POST", "/v1/generator/rollback", {}),
        relative=True,
    ),
    "edit a creative": Change(
        "creative/home/a",
        request=("POST", REVIEW, {"verdict": "edit", "parts": {"headline": "Warm"}}),
    ),
    "change a creative": Change(
        "creative/home/c",
        request=("PATCH", "/v1/placements/home/creatives/c", {"status": "paused"}),
        keyed=False,
    ),
    "put a placement": Change(
        "placement/home",
        # It names all that would be reset, or it would be asked for a condition.
        request=(
            "PUT",
            "/v1/placements/home",
            {
                "learn": "window",
                "challengers": {},
                "review": False,
                "reward": {"window_seconds": 600},
            },
        ),
        keyed=False,
        overwrites=True,
    ),
    "delete a placement": Change(
        "placement/home",
        request=("DELETE", "/v1/placements/home", None),
        keyed=False,
        overwrites=True,
    ),
    "change Personalizer's settings": Change(
        "placement/home",
        request=(
            "PUT",
            "/placements/home/personalizer/v1.1-preview.3/configurations/policy",
            {"name": "shy", "arguments": "thompson:alpha=3,beta=9"},
        ),
        keyed=False,
        conditional=False,
    ),
}
COMMANDS = {name: change for name, change in CHANGES.items() if change.command}
REQUESTS = {name: change for name, change in CHANGES.items() if change.request}


def by_somebody_else(event):
    """Returns what somebody else makes of it meanwhile, which forbids no other change."""
    match event:
        case Placement():
            return replace(event, review=True, reward=RewardRule(window_seconds=77.0))
        case Creative():
            return replace(event, caps=Caps(total=7))
        case _:
            return replace(event, reason="reads well")


def kept(event, theirs):
    """Returns whether what somebody else made of it is still there."""
    match event:
        case Placement():
            return (event.review, event.reward) == (theirs.review, theirs.reward)
        case Creative():
            return event.caps == theirs.caps
        case _:
            return True


class Hand:
    """A log, and what the laws ask of it."""

    def __init__(self, log):
        self.log = CrossedLog(log)
        create_topics(log)
        log.append([catalogue_message(event) for event in WORLD])

    @property
    def reader(self):
        reader = CatalogueReader(self.log)
        reader.catch_up()
        return reader

    def now(self, name):
        catalogue, (kind, *path) = self.reader.catalogue, name.split("/")
        match kind:
            case "placement":
                return catalogue.placement(*path)
            case "creative":
                return catalogue.creative(*path)
            case _:
                return catalogue.generator_version(*path)

    def stamp(self, name):
        return self.reader.changes.stamp(name)

    def cross(self, name):
        """Has somebody else change this between the next look and the write; returns to what."""
        theirs = by_somebody_else(self.now(name))
        self.log.crossing = [catalogue_message(theirs)]
        return theirs

    def acts(self, target):
        return [act for act in latest_acts(self.log, limit=100) if act.target == target]


@pytest.fixture
def hand(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    yield Hand(log)
    log.close()


@pytest.fixture
def run(hand, monkeypatch, capsys):
    """Returns what runs a command on the log, and returns its exit code and stderr."""
    monkeypatch.setattr("streams.commands.options.open_log", lambda url: hand.log)

    def run(*words):
        command = [*words, "--log", "memory://"]
        with pytest.raises(SystemExit) as ended:
            run_command(lambda: app(command), StreamsError, BanditError, GeneratorError)
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.fixture
def ask(hand):
    """Returns what sends a change as a request."""
    with running(hand.log) as api:

        def ask(change, **headers):
            method, path, body = change.request
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return api.client.request(method, path, json=body, headers=named)

        yield ask


def each(changes):
    return pytest.mark.parametrize("change", changes.values(), ids=changes.keys())


@each(COMMANDS)
def test_a_command_refuses_to_overwrite_what_came_in_between(change, hand, run):
    theirs = hand.cross(change.of)
    code, said = run(*change.command)
    assert code == 2
    assert said.startswith("copyloop: precondition_failed: ")
    assert hand.now(change.of) == theirs
    assert hand.acts(change.target)[-1].what.endswith(": came too late")


@each(REQUESTS)
def test_a_request_refuses_or_keeps_what_came_in_between_and_counts_once(change, hand, ask):
    if change.conditional:
        tag = f'"{hand.stamp(change.of)}"'
        theirs = hand.cross(change.of)
        assert code_of(ask(change, if_match=tag)) == (412, "precondition_failed")
        assert hand.now(change.of) == theirs
        assert hand.acts(change.target)[-1].what.endswith(": came too late")
    key = {"idempotency_key": "once"} if change.keyed else {}
    before, theirs = hand.now(change.of), hand.cross(change.of)
    answer = ask(change, **key)
    assert answer.is_success
    assert hand.now(change.of) not in (before, theirs)
    assert change.overwrites or kept(hand.now(change.of), theirs)
    act = hand.acts(change.target)[-1]
    assert (act.who, act.before != act.after) == ("open", True)
    if change.keyed:
        stamp = hand.stamp(change.of)
        again = ask(change, **key)
        assert (again.status_code, again.json()) == (answer.status_code, answer.json())
        assert (hand.stamp(change.of), hand.acts(change.target)[-1]) == (stamp, act)


@each(COMMANDS)
def test_a_command_is_recorded_with_who_typed_it(change, hand, run):
    assert run(*change.command)[0] == 0
    [act] = hand.acts(change.target)
    assert act.who.startswith("cli:")
    assert act.before != act.after


@each({name: change for name, change in COMMANDS.items() if not change.relative})
def test_the_same_command_twice_counts_once(change, hand, run):
    run(*change.command)
    stamp, acts = hand.stamp(change.of), hand.acts(change.target)
    run(*change.command)
    assert (hand.stamp(change.of), hand.acts(change.target)) == (stamp, acts)


def test_a_text_that_was_edited_while_it_was_read_is_not_approved_unread(hand, run, monkeypatch):
    edited = replace(hand.now("creative/home/a"), parts={"headline": "Buy now"})
    answers = itertools.chain(["y"], itertools.repeat("q"))

    def prompt(*_, **__):
        hand.log.append([catalogue_message(edited)])
        return next(answers)

    monkeypatch.setattr("typer.prompt", prompt)
    code, said = run("creatives", "review")
    assert (code, said.startswith("copyloop: precondition_failed: ")) == (2, True)
    assert hand.now("creative/home/a") == edited


def test_an_import_makes_a_placement_unless_somebody_else_does_so_first(hand, run, tmp_path):
    words = ("import", "personalizer-logs", str(write(tmp_path / "logs", range(3))))
    words = (*words, "--no-judge", "--data", str(tmp_path), "--placement")
    theirs = Placement(name="theirs", review=True)
    hand.log.crossing = [catalogue_message(theirs)]
    code, said = run(*words, "theirs")
    assert (code, said.startswith("copyloop: precondition_failed: ")) == (2, True)
    assert hand.now("placement/theirs") == theirs
    assert run(*words, "ours")[0] == 0
    [act] = hand.acts("ours")
    assert (act.who[:4], act.what, act.before) == ("cli:", "placement created", None)
